"""The heartbeat of a loop that serves a pool: once a second it lets attendants look around.

So telemetry that is configured late is found, and a loop that is kept busy shows by how late the
beat comes. It runs in an empty Context and keeps nobody's variables alive.
"""

from __future__ import annotations

import asyncio
import contextvars

from catena.events import LoopTicked
from catena.observe import announce, attend

__all__ = ["SECONDS", "Heartbeat"]

SECONDS = 1.0


class Heartbeat:
    """Beats on the running loop from ``start`` to ``stop``; the first beat is at once."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Let attendants look now, and go on beating."""
        attend()
        self._next(asyncio.get_running_loop())

    def stop(self) -> None:
        """Beat no more; may be called twice, and without a start."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + self._seconds
        self._timer = loop.call_at(self._due, self._beat, loop, context=contextvars.Context())

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        if LoopTicked.listeners:
            announce(LoopTicked(max(int((loop.time() - self._due) * 1e9), 0)))
        attend()
        self._next(loop)
