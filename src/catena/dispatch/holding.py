"""What a call holds on its worker while it runs: slots, and a thread that cannot be interrupted.

A call finds its ``Holding`` in its own Context. The calls that it makes in turn ask there whether
it was cancelled meanwhile, and lend its slots for as long as it waits for them.
"""

from __future__ import annotations

import asyncio
import contextvars


class Holding:
    """What one call holds. ``cancelled`` says that it was cancelled or that its time is up."""

    __slots__ = ("cancelled", "routine")

    def __init__(self, routine: str) -> None:
        self.routine = routine
        self.cancelled = False

    def check_cancelled(self) -> None:
        """Raise CancelledError when nobody waits for the call any more."""
        if self.cancelled:
            raise asyncio.CancelledError(f"routine {self.routine} was cancelled")


holding: contextvars.ContextVar[Holding | None] = contextvars.ContextVar(
    "catena.holding", default=None
)
"""What the call that runs here holds; None for a call that holds nothing, and outside of calls."""


def cancelled() -> bool:
    """Say whether the plain routine that runs here was cancelled, or its time is up.

    A thread cannot be interrupted: a plain function goes on although its caller has stopped
    waiting. One that takes long asks now and then, and returns early. False in coroutines, which
    are interrupted where they wait, and outside of routines.
    """
    held = holding.get()
    return held is not None and held.cancelled
