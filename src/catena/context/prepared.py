"""Prepared: a state that a worker keeps, in a Context that is copied for each call that names it.

Whatever can change is kept as bytes there and decoded anew for each call that reads it, so that no
two calls ever share a mutable object.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterable
from typing import Any

from catena.context.capture import Baseline
from catena.context.chain import EMPTY, SHELVED, Binding, Chain, Shelf, State
from catena.context.changes import size_of
from catena.context.current import UNMOUNTED, current
from catena.context.decoding import Found
from catena.context.manifest import Entry, Values
from catena.context.problems import problem
from catena.context.registry import Key
from catena.context.token import TOKEN_MARK, UNREAD, UNSET
from catena.context.var import ContextVar

__all__ = ["Prepared"]


class Prepared:
    """A state that a link has carried, in a Context that is copied for each call.

    Its values are those of an earlier call: nobody reads them before a chain is mounted in a copy.

    ``state`` and ``context`` hold what cannot change. ``closed`` are the entries of what can and is
    decoded when a call first reads it, ``written`` tells how this process writes it. ``mutable``
    are those that are decoded for each call at its mount: what holds a token, which has to be known
    here, and what could not be read, of which each call is to hear. ``loose`` says whether there is
    any of either. ``shelved`` is the state of a call that has read none of the ``closed`` yet, but
    for its shelf. ``size`` is how many bytes all entries count for.
    """

    __slots__ = (
        "baseline",
        "closed",
        "context",
        "loose",
        "mutable",
        "shelved",
        "size",
        "sizes",
        "state",
        "written",
    )

    def __init__(self, context: contextvars.Context, state: State = EMPTY) -> None:
        self.context = context
        self.state = self.shelved = state
        # For every call that names the state and nothing else: which chain it is does not matter.
        self.baseline = Baseline(b"", state)
        self.loose = False
        self.closed: dict[ContextVar[Any], Entry] = {}
        self.written: dict[ContextVar[Any], bytes] = {}
        self.mutable: dict[ContextVar[Any], Entry] = {}
        self.sizes: dict[Key, int] = {}
        self.size = 0

    def after(self, found: Found) -> Prepared:
        """Return the state that follows when a manifest has changed this one."""
        loose = [var for var, _, binding, _ in found.bound if not binding.fixed]
        gone = (*found.unbound, *loose)
        fixed = [(var, binding) for var, binding in found.bindings if binding.fixed]
        state = self.state.merge(fixed, gone)
        state.fixed = True
        state.stubs = self.state.stubs or found.stubs > 0
        then = Prepared(self.context.copy(), state)
        then.context.run(current.set, UNMOUNTED)
        then.closed, then.mutable = dict(self.closed), dict(self.mutable)
        then.written, then.sizes = dict(self.written), dict(self.sizes)
        for var in found.mentioned:
            then.sizes.pop(var.key, None)
            then.closed.pop(var, None)
            then.written.pop(var, None)
            then.mutable.pop(var, None)
        for var in gone:
            then.context.run(var.backing.set, UNSET)
        for var, value, binding, entry in found.bound:
            then.sizes[var.key] = size_of(entry)
            if binding.fixed:
                then.context.run(var.backing.set, value)
            elif TOKEN_MARK in entry.value:
                then.mutable[var] = entry
            else:
                then.closed[var] = entry
                then.context.run(var.backing.set, UNREAD)
        for var, entry in found.unread:
            # Told again to each call, which is cheaper than to have the sender tell all of it.
            then.mutable[var], then.sizes[var.key] = entry, size_of(entry)
        then.loose = bool(then.closed or then.mutable)
        if then.closed:
            then.shelved = State(state)
            then.shelved.update(dict.fromkeys(then.closed, SHELVED))
        then.size = sum(then.sizes.values())
        return then

    def baseline_of(self, chain: Chain) -> Baseline:
        """Return the baseline of a call whose chain was mounted by the name of this state."""
        state = chain.state
        return self.baseline if state is self.state else Baseline(chain.id, state)

    def with_shelf(self, values: Values, changed: Iterable[ContextVar[Any]]) -> State:
        """Return the state of one call, whose values that can change are bytes until it reads them.

        Variables that its manifest ``changed`` are left out.
        """
        if values.strict or not self.closed:
            return self.state
        state = State(self.shelved)
        for var in changed:
            state.pop(var, None)
        state.shelf = Shelf(self.closed, self.written, values.loads, values.dumps)
        state.sealed, state.stubs = True, self.state.stubs
        return state

    def open(self, values: Values, changes: Found) -> None:
        """Decode what has to be decoded at the mount, unless the manifest changed it.

        In strict mode that is everything.
        """
        changed = changes.mentioned
        entries = self.closed | self.mutable if values.strict else self.mutable
        loads, dumps, bound = values.loads, values.dumps, changes.bound
        for var, entry in entries.items():
            if var in changed:
                continue
            try:
                bound.append((var, loads(entry.value), Binding(False, dumps), entry))
            except Exception as error:
                changes.problems.append(problem(var.key, error, "read"))
