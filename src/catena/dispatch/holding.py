"""What a call holds on its worker while it runs: slots, and perhaps a thread.

A call finds its ``Holding`` in its own Context. The calls that it makes in turn ask there whether
it was cancelled meanwhile, and have its slots lent to others for as long as it waits for them.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Protocol

from catena.context.ownership import running_loop
from catena.dispatch.posting import post


class SlotCounter(Protocol):
    """The worker's slots, as far as those who hold some know them."""

    def release(self, slots: int, /) -> None:
        """Count so many as free again, and offer them to those who wait."""
        ...

    def retake(self, slots: int, /) -> None:
        """Count so many as taken, also when that is more than there are."""
        ...

    def finish(self, held: Holding, slots: int, /) -> None:
        """Forget a call that has ended, and count so many slots as free again."""
        ...


class Holding:
    """What one call holds. ``cancelled`` says that it was cancelled or that its time is up.

    Several calls may be awaited at once: the slots are lent from the first to the last.
    """

    __slots__ = ("_counter", "_ended", "_waits", "cancelled", "loop", "routine", "slots")

    def __init__(self, routine: str, slots: int = 0, counter: SlotCounter | None = None) -> None:
        self.routine = routine
        self.slots = slots
        self.cancelled = False
        self.loop = running_loop()
        self._counter = counter
        self._waits = 0
        self._ended = False

    def check_cancelled(self) -> None:
        """Raise CancelledError when nobody waits for the call any more."""
        if self.cancelled:
            raise asyncio.CancelledError(f"routine {self.routine} was cancelled")

    def lend(self) -> None:
        """Let others have the slots while the call waits."""
        self._waits += 1
        if self._waits == 1 and not self._ended and self._counter is not None:
            self._counter.release(self.slots)

    def take_back(self) -> None:
        """Take the slots back, when the last of what was awaited has come."""
        self._waits -= 1
        if not self._waits and not self._ended and self._counter is not None:
            self._counter.retake(self.slots)

    def end(self) -> None:
        """Let go of the slots; later calls do nothing."""
        if not self._ended:
            self._ended = True
            if self._counter is not None:
                self._counter.finish(self, 0 if self._waits else self.slots)


class Loan:
    """The slots of a call that waits for one call of its own: lent once, and taken back once.

    The call may wait in a thread: the slots are counted on the loop of the worker.
    """

    __slots__ = ("_holding", "_lent")

    def __init__(self, held: Holding) -> None:
        self._holding = held
        self._lent = False

    def _run_on_loop(self, count: Callable[[], object]) -> None:
        loop = self._holding.loop
        if loop is None or loop is running_loop():
            count()
        else:
            post(loop, count)

    def lend(self) -> None:
        """Lend the slots, from now on."""
        if not self._lent:
            self._lent = True
            self._run_on_loop(self._holding.lend)

    def take_back(self) -> None:
        """Take them back, if they were lent."""
        if self._lent:
            self._lent = False
            self._run_on_loop(self._holding.take_back)


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


def open_loan() -> Loan | None:
    """Return the loan of the call that runs here and is about to wait; None where it has no slots.

    Raises CancelledError when it was cancelled.
    """
    held = holding.get()
    if held is None:
        return None
    held.check_cancelled()
    return Loan(held)
