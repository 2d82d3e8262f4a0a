"""The chain: one serial branch of the async call tree, as an immutable index.

A chain holds no values. It says which variables are bound, who runs it and where it came from; the
values live in the variables' own backing ``contextvars.ContextVar``. Its one rule: a chain never
changes, whoever wants another state makes another chain. Two chains are equal only when identical.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weakref import ref

    from catena.context.current import Home
    from catena.context.var import ContextVar

__all__ = ["Chain"]

_NONE: frozenset[Any] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """An index of one branch: identity, owner, home and bound variables.

    ``id`` and ``parent`` are 16 bytes; ``thread`` is the owner's thread id; ``task`` a weak
    reference to the owning task or None while nobody has claimed it; ``home`` proves the Context
    that the chain was put into; ``dropped`` are variables that were bound here once and were reset.
    """

    id: bytes
    parent: bytes | None
    thread: int
    task: ref[Any] | None
    home: Home
    bound: frozenset[ContextVar[Any]] = _NONE
    dropped: frozenset[ContextVar[Any]] = _NONE

    def owned_by(self, thread: int, task: object) -> Chain:
        """Return the same branch with another owner; ``task`` is a weak reference or None."""
        return replace(self, thread=thread, task=task)

    def bind(self, var: ContextVar[Any]) -> Chain:
        """Return the chain with one more bound variable."""
        return replace(self, bound=self.bound | {var}, dropped=self.dropped - {var})

    def unbind(self, var: ContextVar[Any]) -> Chain:
        """Return the chain after a reset that left the variable without a value."""
        return replace(self, bound=self.bound - {var}, dropped=self.dropped | {var})

    def fork(self, *, id: bytes, thread: int, task: object, home: Home) -> Chain:
        """Return a branch of its own with the same bindings, which names this one as parent."""
        return replace(
            self, id=id, parent=self.id, thread=thread, task=task, home=home, dropped=_NONE
        )

    def merge(
        self, *, bound: frozenset[ContextVar[Any]], dropped: frozenset[ContextVar[Any]]
    ) -> Chain:
        """Return the chain after a mount: what came wins, what only this chain had survives."""
        return replace(
            self,
            bound=(self.bound | bound) - dropped,
            dropped=(self.dropped - bound) | dropped,
        )

    def __repr__(self) -> str:
        return f"<Chain {self.id.hex()} bound={len(self.bound)}>"
