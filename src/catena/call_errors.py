"""Errors of how a call is made; ``catena.errors``, where they are known by, re-exports them."""

from __future__ import annotations

from dataclasses import dataclass

from catena.facts import OURS, CatenaError


@dataclass(kw_only=True, eq=False, repr=False)
class BlockingRefused(CatenaError, RuntimeError):
    """``.blocking(...)`` was called on the thread of the pool's event loop.

    That thread would wait for itself. ``routine`` is the routine that was called.
    """

    __module__ = OURS

    routine: str

    def text(self) -> str:
        """The sentence that the facts make."""
        name = self.routine.rpartition(".")[2]
        return (
            f"routine {self.routine} cannot be waited for here: this thread runs the event loop of"
            f" the pool, and would wait for itself; write `await {name}(...)`, or block in another"
            f" thread, `await catena.to_thread({name}.blocking, ...)`"
        )
