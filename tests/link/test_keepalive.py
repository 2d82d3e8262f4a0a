"""Links to other machines that fall silent: they are asked, and end where nobody answers.

The seconds are scaled down; in their full length tests/network has them, on cables that are cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from catena.link import channels, server, tls
from catena.link.client import connect
from catena.link.service import ALIVE_MS, KEEPALIVE
from catena.security.credentials import Credentials
from tests.link.ends import Listener
from tests.security.ends import W1, Worker, is_served, link_to, make_folders
from tests.support import run

SCALE = 50
SECONDS = ALIVE_MS / 1000 / SCALE


@pytest.fixture(autouse=True)
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, in a fiftieth of the time."""
    quick = [(name, value // SCALE if name.endswith("_ms") else value) for name, value in KEEPALIVE]
    for module in (channels, server, tls):
        monkeypatch.setattr(module, "KEEPALIVE", quick)


class Relay:
    """Hands on what both ends of a connection send, until it is ``cut``."""

    def __init__(self, target: str) -> None:
        self.cut = False
        self.target = ""
        self._host, _, self._port = target.rpartition(":")
        self._writers: list[asyncio.StreamWriter] = []

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect to the other end, and hand on until both have ended."""
        there, back = await asyncio.open_connection(self._host, self._port)
        self._writers += (writer, back)
        await asyncio.gather(self._hand_on(reader, back), self._hand_on(there, writer))

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if not self.cut:
                    writer.write(data)
        if not self.cut:
            writer.close()

    async def close(self) -> None:
        """End the connections."""
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def relayed(target: str) -> AsyncIterator[Relay]:
    """Stand between the ends until the block is left."""
    relay = Relay(target)
    listening = await asyncio.start_server(relay.join, "127.0.0.1", 0)
    relay.target = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        listening.close()
        await relay.close()


def test_a_silent_peer_is_let_go_of_by_both_ends(tmp_path: Path) -> None:
    """D6: neither is told that the other one is gone, and neither sends anything."""
    make_folders(tmp_path, "alice.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker, relayed(worker.server.target) as relay:
            alice = Credentials(tmp_path / "alice")
            link = await connect(relay.target, "caller", credentials=alice, verify=W1)
            listener = Listener()
            link.start(listener)
            while not worker.links:
                await asyncio.sleep(0.01)
            await asyncio.sleep(3 * SECONDS)
            assert link.up
            relay.cut = True
            async with asyncio.timeout(10):
                await asyncio.gather(link.wait_ended(), worker.links[0].wait_ended())
            assert isinstance(listener.ends[0], ConnectionError)
            await link.close()

    run(main(), timeout=30)


def test_nobody_is_punished_for_asking(tmp_path: Path) -> None:
    """An idle link lives on, however often both ends have asked, and also while Python is busy."""
    make_folders(tmp_path, "alice.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            link = await link_to(worker, tmp_path / "alice")
            link.start(Listener())
            await asyncio.sleep(12 * SECONDS)
            busy, number = time.monotonic(), 20_000_000
            while time.monotonic() - busy < 4 * SECONDS:
                # Nothing else runs in Python until it returns.
                sum(range(number))
            await asyncio.sleep(2 * SECONDS)
            assert link.up
            assert worker.links[0].up
            assert await is_served(worker, tmp_path / "alice")
            await link.close()

    run(main(), timeout=30)
