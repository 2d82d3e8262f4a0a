"""A caller that sends and does not read: what it sends waits at itself, and not at the worker."""

from __future__ import annotations

import asyncio

import pytest

from catena.link import congestion, link as link_module
from catena.link.link import Link
from catena.link.memory import MemoryTransport, make_pair
from catena.wire import codec, versions
from catena.wire.frames import Ping
from tests.link.ends import Listener, settle
from tests.support import run

MOST = 50
PINGS = 40
"""In one message."""


class _Unread(MemoryTransport):
    """A transport to a peer that reads only when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, message: bytes) -> None:
        await self.gate.wait()
        await super().write(message)


async def flooded(monkeypatch: pytest.MonkeyPatch, *, first: bool) -> tuple[Link, _Unread]:
    """Return a link whose peer has sent a thousand pings, and reads nothing."""
    monkeypatch.setattr(congestion, "UNREAD", (MOST, 1 << 30))
    monkeypatch.setattr(link_module, "UNREAD_LEAST", 32)
    near, (far, _) = _Unread(), make_pair()
    near.other, far.other = far, near
    link = Link(near, "near")
    await far.write(codec.encode_message([versions.make_hello("far")]))
    await link.exchange_hello(first=first)
    near.gate.clear()
    link.start(Listener())
    for number in range(25):
        pings = [Ping(0, PINGS * number + one) for one in range(PINGS)]
        await far.write(codec.encode_message(pings))
    await asyncio.sleep(0.05)
    return link, near


def test_a_worker_reads_no_more_of_a_caller_that_leaves_answers_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trust: what is kept for a peer has a limit; when it reads again, all is answered."""

    async def main() -> None:
        link, near = await flooded(monkeypatch, first=False)
        assert near.messages.qsize() >= 20
        near.gate.set()
        async with asyncio.timeout(5):
            while near.messages.qsize() or link._outbox.bytes:
                await asyncio.sleep(0.001)
        sent: list[bytes | None] = []
        while near.other.messages.qsize():
            sent.append(near.other.messages.get_nowait())
        frames = [one for data in sent if data for one in codec.decode_message(data).frames]
        assert sum(one.symbol == "pong" for one in frames) == 25 * PINGS
        await link.close()

    run(main())


def test_a_link_that_ends_meanwhile_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """D7: the reader that waits is let go, and no task is left."""

    async def main() -> None:
        link, near = await flooded(monkeypatch, first=False)
        link.fail(ConnectionError("gone"))
        near.gate.set()
        await link.close()
        await settle()
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_a_caller_reads_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ends that waited for each other to read would wait for ever."""

    async def main() -> None:
        link, near = await flooded(monkeypatch, first=True)
        assert near.messages.qsize() == 0
        near.gate.set()
        await link.close()

    run(main())
