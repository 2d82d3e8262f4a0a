"""The framing of the bare echo: fixed frames, gathered per loop turn into one gRPC message."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

METHOD: Final = "/benchmark.Echo/Frames"

# Number of the call, the value; padded to 48 bytes, about what a small call weighs.
FRAME: Final = struct.Struct("<QQ32x")
CAP: Final = 256 * FRAME.size


def unpack(message: bytes) -> Iterator[tuple[int, int]]:
    """The (number, value) of each frame of a message."""
    return FRAME.iter_unpack(message)


class Writer:
    """Gathers frames and writes them as few messages.

    The first frame starts a flush; it waits one turn of the loop for company, writes at most
    `CAP` bytes, and goes on until nothing is left.
    """

    def __init__(self, write: Callable[[bytes], Awaitable[object]]) -> None:
        self._write = write
        self._frames = bytearray()
        self._flush: asyncio.Task[None] | None = None

    def send(self, number: int, value: int) -> None:
        """Put one frame into the next message."""
        self._frames += FRAME.pack(number, value)
        if self._flush is None:
            self._flush = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._frames:
                await asyncio.sleep(0)
                message = bytes(self._frames[:CAP])
                del self._frames[:CAP]
                await self._write(message)
        finally:
            self._flush = None
