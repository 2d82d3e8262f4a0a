"""Calls that wait for long: once in a while it is announced what one of them waits for."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import monotonic

from catena.events import CallWaited
from catena.events.bus import announce

LONG = 60.0
"""Seconds after which it is announced what a call waits for; and until the next announcement."""


class LongWaits:
    """The calls of one pool that wait for the same kind of thing, on its loop."""

    def __init__(self) -> None:
        self._watched = 0
        self._announced_at = float("-inf")

    def note(self, routine: str, waited: float, calls: int, describe: Callable[[], str]) -> None:
        """Announce what a call waits for, one of so many, if it has waited for long.

        For all that wait, once in a while is enough.
        """
        now = monotonic()
        if waited < LONG or now - self._announced_at < LONG:
            return
        self._announced_at = now
        if CallWaited.listeners:
            announce(CallWaited(routine, waited, calls, describe()))

    @contextmanager
    def watch(self, routine: str, began: float, describe: Callable[[], str]) -> Generator[None]:
        """Note a call that waits within the block, when it has waited for long since ``began``.

        That is a time of the monotonic clock; ``describe`` says what the call waits for.
        """
        loop, nobodys = asyncio.get_running_loop(), contextvars.Context()

        def look() -> None:
            nonlocal timer
            self.note(routine, monotonic() - began, self._watched, describe)
            timer = loop.call_later(LONG, look, context=nobodys)

        timer = loop.call_later(max(began + LONG - monotonic(), 0.0), look, context=nobodys)
        self._watched += 1
        try:
            yield
        finally:
            self._watched -= 1
            timer.cancel()
