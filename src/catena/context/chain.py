"""The chain: one serial branch of the async call tree, as an immutable index.

A chain holds no values. It says which variables are bound, who runs it and where it came from; the
values live in the variables' own backing ``contextvars.ContextVar``. Its one rule: a chain never
changes. Every set and reset makes another chain, so the same chain means the same state, unless a
value was changed in place. Two chains are equal only when identical.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from weakref import ref

    from catena.context.current import Home
    from catena.context.var import ContextVar

__all__ = ["Chain", "Memo"]

_NONE: frozenset[Any] = frozenset()


class Memo:
    """What is known of a state whose values cannot change in place, so that it is found out once.

    ``there`` and ``back`` are its encoded entries for either direction; ``echo`` is what came back
    from a worker and changed nothing.
    """

    __slots__ = ("back", "echo", "there")

    def __init__(self) -> None:
        self.there: bytes | None = None
        self.back: bytes | None = None
        self.echo: bytes | None = None


class Chain(NamedTuple):
    """An index of one branch: identity, owner, home and bound variables.

    ``id`` is 16 bytes, ``parent`` 16 or none; ``thread`` is the owner's thread id; ``task`` a weak
    reference to the owning task or None while nobody has claimed it; ``home`` proves the Context
    that the chain was put into; ``dropped`` are variables that were bound here once and were reset.
    """

    id: bytes
    parent: bytes
    thread: int
    task: ref[Any] | None
    home: Home
    bound: frozenset[ContextVar[Any]]
    dropped: frozenset[ContextVar[Any]]
    memo: Memo

    def owned_by(self, thread: int, task: ref[Any] | None) -> Chain:
        """Return the same state with another owner."""
        return Chain(
            self.id,
            self.parent,
            thread,
            task,
            self.home,
            self.bound,
            self.dropped,
            self.memo,
        )

    def bind(self, var: ContextVar[Any]) -> Chain:
        """Return the chain after a set."""
        if var in self.bound:
            return self._with(self.bound, self.dropped)
        return self._with(self.bound | {var}, self.dropped - {var})

    def unbind(self, var: ContextVar[Any]) -> Chain:
        """Return the chain after a reset that left the variable without a value."""
        return self._with(self.bound - {var}, self.dropped | {var})

    def merge(
        self, bound: frozenset[ContextVar[Any]], unbound: frozenset[ContextVar[Any]], *, tell: bool
    ) -> Chain:
        """Return the chain after a mount: what came wins, what only this chain had survives.

        ``tell`` says that what lost its value did so by a reset, which goes on to the next caller.
        """
        dropped = self.dropped - bound
        return self._with((self.bound | bound) - unbound, dropped | unbound if tell else dropped)

    def fork(self, id: bytes, thread: int, task: ref[Any] | None, home: Home) -> Chain:
        """Return a branch of its own with the same bindings, which names this one as parent."""
        memo = self.memo
        if self.dropped:
            # What was reset before the fork is not the child's to tell.
            memo = Memo()
            memo.there = self.memo.there
        return Chain(id, self.id, thread, task, home, self.bound, _NONE, memo)

    def _with(
        self, bound: frozenset[ContextVar[Any]], dropped: frozenset[ContextVar[Any]]
    ) -> Chain:
        return Chain(
            self.id, self.parent, self.thread, self.task, self.home, bound, dropped, Memo()
        )

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __repr__(self) -> str:
        return f"<Chain {self.id.hex()} bound={len(self.bound)}>"
