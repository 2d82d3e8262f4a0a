"""Congestion: senders of large frames wait, in turn, until less is queued.

A frame can always be queued, because code that sends a frame may not wait for room. So senders that
can wait do so before they make another frame, and each goes on only when the one before it has
sent.

A caller may send frames that are answered, and read no answers. A worker reads nothing more of such
a link until some of them have left, so that what the caller sends waits at the caller. Callers read
always, so that two ends never wait for each other.
"""

from __future__ import annotations

import asyncio
from collections import deque

from catena.link.outbox import Outbox
from catena.wire.frames import SMALL

HIGH_WATER = 8 << 20
"""How many bytes may be queued before senders wait."""


UNREAD = (1 << 16, 2 << 30)
"""How many answers may wait to leave, and with how many bytes, before a worker reads on."""

UNREAD_LEAST = UNREAD[0] * SMALL
"""With fewer bytes than that there are not so many."""


class Congestion:
    """Those who wait for room in an outbox; ``limit`` is how many queued bytes others may find.

    ``reader`` is what the link's reader waits for, None where it reads.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.reader: asyncio.Future[None] | None = None
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
        """Let the first of those who wait go on, if there is one and there is room.

        The reader looks for itself.
        """
        self._wake_reader()
        waiting = self.waiting
        while waiting and waiting[0].done():
            waiting.popleft()
        if not waiting:
            self.limit = HIGH_WATER
        elif self._outbox.bytes <= HIGH_WATER:
            waiting.popleft().set_result(None)

    async def wait_until_read(self) -> None:
        """Wait while more answers are queued than a caller may leave unread."""
        most, most_bytes = UNREAD
        while self._outbox.count > most or self._outbox.bytes > most_bytes:
            self.reader = asyncio.get_running_loop().create_future()
            try:
                await self.reader
            finally:
                self.reader = None

    def _wake_reader(self) -> None:
        if self.reader is not None and not self.reader.done():
            self.reader.set_result(None)

    def release_all(self) -> None:
        """Let everybody go on: nothing is sent any more."""
        self._wake_reader()
        waiting, self.waiting = self.waiting, deque()
        self.limit = HIGH_WATER
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
