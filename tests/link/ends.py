"""Two ends for tests of links: a link on one side, a hand that plays the peer on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from catena.link.link import Link
from catena.link.memory import MemoryTransport, make_pair
from catena.wire import codec, versions
from catena.wire.frames import Frame, Task

__all__ = ["Hand", "Listener", "link_and_hand", "linked", "settle"]

DEADLINE = 3


class Listener:
    """A receiver that keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.unsents: list[tuple[Frame, Exception]] = []
        self.goodbyes: list[str] = []
        self.ends: list[Exception | None] = []
        self._news = asyncio.Event()

    def receive(self, frame: Frame) -> None:
        """Keep a frame."""
        self.frames.append(frame)
        self._news.set()

    def handle_unsent(self, frame: Frame, error: Exception) -> None:
        """Keep what did not leave, and why."""
        self.unsents.append((frame, error))
        self._news.set()

    def receive_goodbye(self, reason: str) -> None:
        """Keep the reason."""
        self.goodbyes.append(reason)
        self._news.set()

    def link_ended(self, error: Exception | None) -> None:
        """Keep why."""
        self.ends.append(error)
        self._news.set()

    async def until(self, condition: Callable[[Listener], bool]) -> None:
        """Wait until the condition holds."""
        async with asyncio.timeout(DEADLINE):
            while not condition(self):
                self._news.clear()
                await self._news.wait()


class Hand:
    """The other end of a memory link, played by the test frame by frame."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self._waiting: list[Frame] = []

    async def send(self, *frames: Frame) -> None:
        """Send frames in one message, and let the link take it."""
        await self.transport.write(codec.encode_message(frames))
        await settle()

    def message(self, data: bytes) -> None:
        """Send any bytes as a message, also where nobody listens any more."""
        self.transport.other.messages.put_nowait(data)

    async def frame(self) -> Frame:
        """Return the next frame that the link sent."""
        while not self._waiting:
            async with asyncio.timeout(DEADLINE):
                message = await self.transport.read()
            if message is None:
                raise ConnectionError("the stream ended")
            for frame in codec.decode_message(message).frames:
                self._waiting += _taken_apart(frame)
        return self._waiting.pop(0)

    async def symbols(self, count: int) -> list[str]:
        """Return the symbols of the next frames."""
        return [(await self.frame()).symbol for _ in range(count)]

    async def nothing(self) -> bool:
        """Say whether the link has sent nothing that was not taken."""
        await settle()
        return not self._waiting and self.transport.messages.empty()


def _taken_apart(frame: Frame) -> list[Frame]:
    """Return a Task and the drive that it brought along as the two frames that they are."""
    if isinstance(frame, Task) and frame.drive is not None:
        return [frame._replace(drive=None), frame.drive]
    return [frame]


async def settle() -> None:
    """Let everything run that is ready to."""
    for _ in range(12):
        await asyncio.sleep(0)


async def link_and_hand(
    name: str = "here", peer: str = "there", *, pings: bool = False
) -> tuple[Link, Hand]:
    """Return a link that has exchanged Hello with a hand; start it yourself.

    Only a hand that can answer ``pings`` is sent any.
    """
    near, far = make_pair()
    link, hand = Link(near, name, "here.sock"), Hand(far)
    hello = versions.make_hello(peer)
    known = [one for one in hello.capabilities if pings or one != versions.PINGS]
    await far.write(codec.encode_message([hello._replace(capabilities=tuple(known))]))
    await link.exchange_hello(first=True)
    await hand.frame()
    return link, hand


async def linked() -> tuple[Link, Link]:
    """Return two links over a memory pair that have exchanged Hello; start them yourself."""
    one, other = make_pair()
    near, far = Link(one, "near", "here.sock"), Link(other, "far", "here.sock")
    await asyncio.gather(near.exchange_hello(first=True), far.exchange_hello(first=False))
    return near, far
