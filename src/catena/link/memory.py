"""A stream inside one process: for tests of links, and to see what gRPC adds."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class MemoryTransport:
    """One end of a pair; what is written here is read there."""

    def __init__(self) -> None:
        self.other: MemoryTransport = self
        self.messages: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.open = True

    async def write(self, message: bytes) -> None:
        """Send one message. Raises ConnectionError when the other side is gone."""
        if not (self.open and self.other.open):
            raise ConnectionResetError("the other end of the memory link is closed")
        self.other.messages.put_nowait(message)

    def read(self) -> Coroutine[Any, Any, bytes | None]:
        """Return the next message, or None when the other side has closed."""
        return self.messages.get()

    async def close(self) -> None:
        """End the stream in both directions."""
        if self.open:
            self.open = False
            self.other.messages.put_nowait(None)
            self.messages.put_nowait(None)

    abort = close


def make_pair() -> tuple[MemoryTransport, MemoryTransport]:
    """Return two transports that are each other's other end."""
    one, other = MemoryTransport(), MemoryTransport()
    one.other, other.other = other, one
    return one, other
