"""Congestion: senders of large frames wait, in turn, until less is queued.

A frame can always be queued, because code that sends a frame may not wait for room. So senders that
can wait do so before they make another frame, and each goes on only when the one before it has
sent.
"""

from __future__ import annotations

import asyncio
from collections import deque

from catena.link.outbox import Outbox

HIGH_WATER = 8 << 20
"""How many bytes may be queued before senders wait."""


class Congestion:
    """Those who wait for room in an outbox; ``limit`` is how many queued bytes others may find."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.waiting: deque[asyncio.Future[None]] = deque()
        # Below zero while somebody waits: who comes later stands behind.
        self.limit = HIGH_WATER

    async def wait_for_room(self) -> None:
        """Wait for room behind those who wait already."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self.waiting.append(waiter)
        self.limit = -1
        try:
            await waiter
        finally:
            if not loop.is_closed():
                loop.call_soon(self.admit_next)

    def admit_next(self) -> None:
        """Let the first of those who wait go on, if there is one and there is room."""
        waiting = self.waiting
        while waiting and waiting[0].done():
            waiting.popleft()
        if not waiting:
            self.limit = HIGH_WATER
        elif self._outbox.bytes <= HIGH_WATER:
            waiting.popleft().set_result(None)

    def release_all(self) -> None:
        """Let everybody go on: nothing is sent any more."""
        waiting, self.waiting = self.waiting, deque()
        self.limit = HIGH_WATER
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
