"""Errors of how a call is made; ``catena.errors``, where they are known by, re-exports them."""

from __future__ import annotations

from dataclasses import dataclass

from catena.facts import OURS, CatenaError
from catena.tags import show_tags


@dataclass(kw_only=True, eq=False, repr=False)
class NoFittingWorker(CatenaError):
    """No worker of the pool has all the ``tags`` that a call asks for, and none is expected.

    ``known`` are the tags that there are; both are sorted.
    """

    __module__ = OURS

    routine: str
    tags: tuple[str, ...]
    known: tuple[str, ...] = ()

    def text(self) -> str:
        """The sentence that the facts make."""
        lack = f"no worker has {show_tags(self.tags)}"
        there = f"those that there are have {show_tags(self.known)}"
        return f"routine {self.routine} cannot be dispatched: {lack}; {there}"


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
