"""The chain: one serial branch of the async call tree, as an immutable index.

A chain holds no values. It says which variables are bound, who runs it and where it came from; the
values live in the variables' own backing ``contextvars.ContextVar``. Its one rule: a chain never
changes. Every set and reset makes another chain, with another binding of the one variable that it
changes; so the same binding means the same object, and two states are compared without their
values. Two chains are equal only when identical.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from weakref import ref

from catena.context.binding import LAZY, Binding, LazyValues
from catena.context.home import Home, held_chain
from catena.context.variable import Variable
from catena.ids import Key


class State(dict[Variable, Binding]):
    """What is bound, by variable; never changed once it is part of a chain, equal when identical.

    ``fixed`` says whether no value can change in place, None before somebody looked;
    ``has_unexposed`` whether a mount brought values that can; ``has_stubs`` whether it brought
    variables that nobody had declared here; ``lazy`` holds all its values that can change, where a
    mount brought them and nothing was bound since. Their bindings are made when they are first
    asked for; ``materialize`` makes all of them. ``getters`` has what gets each value that can
    change, once somebody has looked at all of them. ``was_sent`` says whether this process has sent
    it to anybody.
    """

    fixed: bool | None = None
    has_unexposed: bool = False
    has_stubs: bool = False
    lazy: LazyValues | None = None
    getters: tuple[Callable[[], Any], ...] | None = None
    was_sent: bool = False
    _materialized: bool = False
    _by_key: dict[Key, Binding] | None = None

    @property
    def is_untouched(self) -> bool:
        """Whether no value can have been changed in place: each is fixed, or lazy and unread."""
        return bool(self.fixed or (self.lazy is not None and not self.lazy.bindings))

    @property
    def by_key(self) -> dict[Key, Binding]:
        """The bindings by their variables' keys: for those who must not keep variables alive."""
        if self._by_key is None:
            self.materialize()
            self._by_key = {var.key: binding for var, binding in self.items()}
        return self._by_key

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def binding_of(self, var: Variable) -> Binding | None:
        """Return the binding of a variable, None when it has no value."""
        found = self.get(var)
        if found is LAZY and self.lazy is not None:
            found = self[var] = self.lazy.binding_of(var)
        return found

    def materialize(self) -> State:
        """Put the bindings of all values in their places, and return the state itself."""
        lazy = self.lazy
        if lazy is not None and not self._materialized:
            for var in lazy.encoded:
                if self.get(var) is LAZY:
                    self[var] = lazy.binding_of(var)
            self._materialized = True
        return self

    def merge(self, bound: Mapping[Variable, Binding], unbound: Iterable[Variable]) -> State:
        """Return the state after a mount: what came wins, what only this one had survives."""
        merged = State(self.materialize())
        merged.has_unexposed, merged.has_stubs = self.has_unexposed, self.has_stubs
        merged.update(bound)
        for var in unbound:
            merged.pop(var, None)
        return merged


EMPTY = State()
EMPTY.fixed = True
HIDDEN = State()
"""Of no chain: whatever is bound in its Context, nothing can be read there."""
HIDDEN.has_unexposed = True


class Chain(NamedTuple):
    """An index of one branch: identity, owner, home and what is bound.

    ``id`` is 16 bytes, ``parent`` 16 or none; ``thread`` is the owner's thread id; ``task`` a weak
    reference to the owning task or None while nobody has claimed it; ``home`` proves the Context
    that the chain was put into.
    """

    id: bytes
    parent: bytes
    thread: int
    task: ref[Any] | None
    home: Home
    state: State

    def bind(self, var: Variable, binding: Binding) -> Chain:
        """Return the chain after a set."""
        return self.with_state(self.state.merge({var: binding}, ()))

    def unbind(self, var: Variable) -> Chain:
        """Return the chain after a reset that left the variable without a value."""
        return self.with_state(self.state.merge({}, (var,)))

    def with_state(self, state: State) -> Chain:
        """Return the same branch in another state."""
        return Chain(self.id, self.parent, self.thread, self.task, self.home, state)

    __hash__ = object.__hash__
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def __repr__(self) -> str:
        return f"<Chain {self.id.hex()} bound={len(self.state)}>"


current: contextvars.ContextVar[Chain | None] = held_chain
"""The chain of the current Context; None where nothing was set."""

UNMOUNTED = Chain(b"", b"", 0, None, Home(), HIDDEN)
"""Current in a Context whose values are kept from an earlier call, until a chain is mounted there.

Whoever reads a variable before that finds none of them.
"""
