"""A link inside one process, through the real codec: for tests, and to see what gRPC adds."""

from __future__ import annotations

import asyncio

from catena.errors import ProtocolError
from catena.link.service import parse
from catena.wire import codec
from catena.wire.frames import Frame

__all__ = ["MemoryTransport", "pair"]


class MemoryTransport:
    """One end of a pair; what is written here is read there, as bytes in between."""

    def __init__(self) -> None:
        self.other: MemoryTransport = self
        self.messages: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.open = True

    async def write(self, batch: list[Frame]) -> None:
        """Send one message. Raises ConnectionError when the other side is gone."""
        if not (self.open and self.other.open):
            raise ConnectionResetError("the other end of the memory link is closed")
        self.other.messages.put_nowait(codec.encode(batch))

    def write_bytes(self, data: bytes) -> None:
        """Send any bytes as a message, for tests of what must be refused."""
        self.other.messages.put_nowait(data)

    async def read(self) -> list[Frame] | ProtocolError | None:
        """Return the next message's frames, or None when the other side has closed."""
        message = await self.messages.get()
        return None if message is None else parse(message)

    async def close(self) -> None:
        """End the stream in both directions."""
        if self.open:
            self.open = False
            self.other.messages.put_nowait(None)
            self.messages.put_nowait(None)

    async def abort(self) -> None:
        """End the stream in both directions."""
        await self.close()


def pair() -> tuple[MemoryTransport, MemoryTransport]:
    """Return two transports that are each other's other end."""
    one, other = MemoryTransport(), MemoryTransport()
    one.other, other.other = other, one
    return one, other
