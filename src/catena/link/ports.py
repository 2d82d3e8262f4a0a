"""The two sides of a link: what carries its messages, and who takes its frames."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from catena.wire.frames import Frame


class Transport(Protocol):
    """What carries messages; gRPC's client and server sides and the memory link are transports."""

    async def write(self, message: bytes, /) -> None:
        """Send one message. Raises ConnectionError when the other side is gone."""
        ...

    def read(self) -> Coroutine[Any, Any, bytes | None]:
        """Return the next message, or None at the end of the stream.

        Raises ConnectionError when the stream broke off.
        """
        ...

    async def close(self) -> None:
        """Let go of the stream; what was written before has left."""
        ...

    async def abort(self) -> None:
        """Let go of the stream at once."""
        ...


class Receiver(Protocol):
    """Who takes what a link brings; called from the event loop, must not block."""

    def receive(self, frame: Frame, /) -> None:
        """Take one frame."""
        ...

    def handle_unsent(self, frame: Frame, error: Exception, /) -> None:
        """Learn that a frame did not leave, and why: its call has to end, and the others go on.

        What it raises ends the link.
        """
        ...

    def receive_goodbye(self, reason: str, /) -> None:
        """Learn that the peer takes no more calls, or makes none; and why, if it says so."""
        ...

    def link_ended(self, error: Exception | None, /) -> None:
        """Learn that the link is down; no frame comes after this."""
        ...
