"""The chain: one serial branch of the async call tree, as an immutable index.

A chain holds no values. It says which variables are bound, who runs it and where it came from; the
values live in the variables' own backing ``contextvars.ContextVar``. Its one rule: a chain never
changes. Every set and reset makes another chain, and another binding of the one variable that it is
about; so the same binding means the same object, and two states are compared without their values.
Two chains are equal only when identical.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from weakref import ref

    from catena.context.current import Home
    from catena.context.manifest import Entry
    from catena.context.registry import Key
    from catena.context.var import ContextVar

__all__ = ["EMPTY", "HIDDEN", "SHELVED", "Binding", "Chain", "Shelf", "State", "new"]


class Shelf:
    """Values of one call that are still the bytes they came as; each is decoded when first read.

    ``closed`` has the entries, ``opened`` the values that were read. Forks share both, so that what
    one of them reads is the object that the others read. ``written`` tells how this process writes
    what the entries say: all calls that name the state share it, for the bytes are the same.
    ``bindings`` has those that somebody asked for: most calls read few of many values.
    """

    __slots__ = ("bindings", "closed", "dumps", "loads", "opened", "written")

    def __init__(
        self,
        closed: Mapping[ContextVar[Any], Entry],
        written: dict[ContextVar[Any], bytes],
        loads: Callable[[bytes], Any],
        dumps: Callable[[Any], bytes],
    ) -> None:
        self.closed = closed
        self.written = written
        self.loads = loads
        self.dumps = dumps
        self.opened: dict[ContextVar[Any], Any] = {}
        self.bindings: dict[ContextVar[Any], Binding] = {}

    def binding(self, var: ContextVar[Any]) -> Binding:
        """Return the one binding of a value that is here."""
        found = self.bindings.get(var)
        if found is None:
            # Threads of the chain's forks may ask at once; the first binding counts for all.
            found = self.bindings.setdefault(var, Binding(False, self.dumps, self))
        return found

    def read(self, var: ContextVar[Any]) -> Any:
        """Return a variable's value. Raises whatever decoding it raises."""
        try:
            return self.opened[var]
        except KeyError:
            pass
        # Threads of the chain's forks may do so at once; the first value counts for all.
        return self.opened.setdefault(var, self.loads(self.closed[var].value))

    def hand_out(self, var: ContextVar[Any]) -> Any:
        """Return a value to somebody who may change it. Raises whatever decoding it raises."""
        binding = self.bindings.get(var)
        if binding is None:
            binding = self.bindings.setdefault(var, Binding(False, self.dumps, self))
        elif binding.seal is None:
            return self.opened[var]
        # As read does it; both are in the way of nearly every call that reads such a value.
        value = self.opened.setdefault(var, self.loads(self.closed[var].value))
        written = self.written.get(var)
        if written is None:
            binding.hand_out(var, value)
        else:
            binding.written, binding.seal = written, None
        return value

    def note(self, var: ContextVar[Any], written: bytes) -> None:
        """Keep how a value that was just decoded is written; mostly as the bytes it came as."""
        came = self.closed[var].value
        self.written[var] = came if came == written else written


class Binding:
    """That a variable was given a value, once: by a set, or by a mount.

    ``fixed`` says whether the value can surely not be changed in place, None before somebody
    looked. A value that came by a mount is sealed until it is first handed out: until then nobody
    here can have changed it. With a ``shelf``, it is not even decoded before. Forks share the
    binding as they share the value.
    """

    __slots__ = ("fixed", "seal", "shelf", "written")

    def __init__(
        self,
        fixed: bool | None = None,  # noqa: FBT001 - by position, for one is made for every value
        seal: Callable[[Any], bytes] | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self.fixed = fixed
        self.seal = seal
        self.shelf = shelf
        self.written: bytes | None = None

    def read(self, var: ContextVar[Any]) -> Any:
        """Return the value on the shelf. Raises LookupError without one, and what decoding does."""
        if self.shelf is None:
            raise LookupError(var)
        return self.shelf.read(var)

    def unread(self, var: ContextVar[Any]) -> bytes | None:
        """Return the variable's bytes while nobody here has read its value, else None."""
        shelf = self.shelf
        return None if shelf is None or var in shelf.opened else shelf.closed[var].value

    def hand_out(self, var: ContextVar[Any], value: Any) -> None:
        """Note how this process writes a sealed value, before anybody can change it."""
        if self.seal is None:
            return
        shelf = self.shelf
        written = None if shelf is None else shelf.written.get(var)
        if written is None:
            try:
                written = self.seal(value)
            except Exception:
                # What cannot be written cannot be compared: it counts as changed.
                written = None
            if shelf is not None and written is not None:
                shelf.note(var, written)
        # Another thread of the same chain's forks may have been quicker, and its user too.
        if self.seal is not None:
            self.written, self.seal = written, None


SHELVED = Binding(fixed=False)
"""Stands in a state for the binding of a value on its shelf that nobody has asked for yet."""


class State(dict["ContextVar[Any]", Binding]):
    """What is bound, by variable; never changed once it is part of a chain, equal when identical.

    ``fixed`` says whether no value can change in place, None before somebody looked; ``sealed``
    whether a mount brought values that can; ``stubs`` whether it brought variables that nobody had
    declared here; ``block`` is what a fixed state makes when it is written whole; ``shelf`` holds
    all its values that can change, where a mount brought them and nothing was bound since. Their
    bindings are made when they are first asked for; ``settle`` makes all of them. ``loose`` has
    what gets each value that can change, once somebody has looked at all of them.
    """

    fixed: bool | None = None
    sealed: bool = False
    stubs: bool = False
    block: bytes | None = None
    shelf: Shelf | None = None
    loose: tuple[Callable[[], Any], ...] | None = None
    _settled: bool = False
    _by_key: dict[Key, Binding] | None = None

    @property
    def by_key(self) -> dict[Key, Binding]:
        """The bindings by their variables' keys: for those who must not keep variables alive."""
        if self._by_key is None:
            self.settle()
            self._by_key = {var.key: binding for var, binding in self.items()}
        return self._by_key

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def binding(self, var: ContextVar[Any]) -> Binding | None:
        """Return the binding of a variable, None when it has no value."""
        found = self.get(var)
        if found is SHELVED and self.shelf is not None:
            found = self[var] = self.shelf.binding(var)
        return found

    def settle(self) -> State:
        """Put the bindings of all values in their places, and return the state itself."""
        shelf = self.shelf
        if shelf is not None and not self._settled:
            for var in shelf.closed:
                if self.get(var) is SHELVED:
                    self[var] = shelf.binding(var)
            self._settled = True
        return self

    def merge(
        self, bound: Iterable[tuple[ContextVar[Any], Binding]], unbound: Iterable[ContextVar[Any]]
    ) -> State:
        """Return the state after a mount: what came wins, what only this one had survives."""
        merged = State(self.settle())
        merged.sealed, merged.stubs = self.sealed, self.stubs
        for var, binding in bound:
            merged[var] = binding
        for var in unbound:
            merged.pop(var, None)
        return merged


EMPTY = State()
EMPTY.fixed = True
HIDDEN = State()
"""Of no chain: whatever is bound in its Context, nothing can be read there."""
HIDDEN.sealed = True

# Past a chain's constructor, which is Python code: the way of sets, of forks and of most calls.
new: Any = getattr(tuple, "__new__")  # noqa: B009 - its type is of no use here
"""Make a chain of its class and all of its fields."""


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

    def owned_by(self, thread: int, task: ref[Any] | None) -> Chain:
        """Return the same state with another owner."""
        return new(Chain, (self.id, self.parent, thread, task, self.home, self.state))

    def bind(self, var: ContextVar[Any], binding: Binding) -> Chain:
        """Return the chain after a set."""
        id, parent, thread, task, home, before = self
        state = State(before if before.shelf is None else before.settle())
        state[var] = binding
        if before.sealed or before.stubs:
            state.sealed, state.stubs = before.sealed, before.stubs
        return new(Chain, (id, parent, thread, task, home, state))

    def unbind(self, var: ContextVar[Any]) -> Chain:
        """Return the chain after a reset that left the variable without a value."""
        return self.holding(self.state.merge((), (var,)))

    def holding(self, state: State) -> Chain:
        """Return the same branch in another state."""
        return Chain(self.id, self.parent, self.thread, self.task, self.home, state)

    def fork(self, id: bytes, thread: int, task: ref[Any] | None, home: Home) -> Chain:
        """Return a branch of its own in the same state, which names this one as parent."""
        return new(Chain, (id, self.id, thread, task, home, self.state))

    __hash__ = object.__hash__
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def __repr__(self) -> str:
        return f"<Chain {self.id.hex()} bound={len(self.state)}>"
