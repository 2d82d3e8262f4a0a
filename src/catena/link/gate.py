"""The gate: a call that begins late waits until the frames waiting in the socket have been read.

A routine that blocks the event loop keeps its link from reading, and delays calls that have arrived
but not begun. One of them may have been cancelled in the meantime, and its Cancel is still unread
in the socket. So a call that begins long after its link last read waits here. And when the reader
finds that a message is old, it reads on until it gets a new one, before it hands out any.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from time import monotonic

LATE_SECONDS = 0.02
"""A loop that was away for longer may have missed a Cancel."""

_PATIENCE = (0.001, 0.01)
_TURNS = 6
"""How many turns of the loop it takes a message that has arrived to reach its reader."""

_TOGETHER = 64


def patience(age: float) -> float:
    """Return how many seconds to wait for a next message, after one that is so old."""
    least, most = _PATIENCE
    return min(max(age / 20, least), most)


class Gate:
    """Lets late calls begin, as soon as the reader has had its turn.

    ``fresh`` is until when the socket counts as read, in seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self.fresh = 0.0
        self._line: deque[asyncio.Future[None]] = deque()
        self._keeper: asyncio.Task[None] | None = None
        self._reading: asyncio.Future[None] | None = None

    def has_read(self) -> None:
        """Note that the reader hands out what it had; nobody waits for it any more."""
        reading, self._reading = self._reading, None
        if reading is not None and not reading.done():
            reading.set_result(None)

    def reads_on(self) -> None:
        """Note that the reader has something that it will hand out together with what follows."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_future()

    async def wait_passed(self) -> None:
        """Wait until a late call may begin."""
        loop = asyncio.get_running_loop()
        late = True
        while late:
            waiter: asyncio.Future[None] = loop.create_future()
            self._line.append(waiter)
            if self._keeper is None:
                self._keeper = loop.create_task(self._serve_line(), context=contextvars.Context())
            await waiter
            # One that was let go on together with this one may have held the loop up again.
            late = monotonic() > self.fresh

    async def _serve_line(self) -> None:
        try:
            while self._line:
                await self._await_reader()
                await self._let_begin()
        finally:
            self._keeper = None
            # Only a loop that shuts down ends it early.
            for waiter in self._line:
                waiter.cancel()

    async def _await_reader(self) -> None:
        """Give the reader its turn, and the time to hand out what it found."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if self._reading is not None:
            await asyncio.shield(self._reading)

    async def _let_begin(self) -> None:
        """Let some calls begin; those that find the loop held up again come back."""
        self.fresh = monotonic() + LATE_SECONDS
        for _ in range(min(len(self._line), _TOGETHER)):
            waiter = self._line.popleft()
            if not waiter.done():
                waiter.set_result(None)
        await asyncio.sleep(0)
