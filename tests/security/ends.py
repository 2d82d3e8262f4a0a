"""A pool beyond this machine for tests: workers at addresses with TLS, and folders to call with."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest

import catena
from catena.dispatch import payloads
from catena.dispatch.dispatcher import dispatcher
from catena.dispatch.worker.sessions import Sessions
from catena.ids import new_id
from catena.link.client import connect
from catena.link.link import Link
from catena.link.operating import Operated
from catena.link.server import Server
from catena.proxy.balance import Proxy
from catena.proxy.table import ProxyTable
from catena.security.authorise import Authorisation
from catena.security.credentials import Credentials
from catena.security.trust import Trust
from tests.security.making import Authority

__all__ = [
    "POOL",
    "W1",
    "Worker",
    "calling",
    "double",
    "heard_of",
    "is_served",
    "link_to",
    "make_folders",
    "witness",
]

POOL = "jobs"
W1 = f"w1.{POOL}.catena"


@catena.routine
async def double(number: int) -> int:
    """Answer with twice the number."""
    return 2 * number


def make_folders(tmp_path: Path, *callers: str) -> Authority:
    """Make credentials folders of worker ``w1`` and of callers, each by its first label."""
    authority = Authority()
    authority.fill(tmp_path / "w1", W1)
    for name in callers:
        authority.fill(tmp_path / name.partition(".")[0], name)
    return authority


def witness(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return what keeps whatever is unpickled from here on: routines, arguments and values."""
    seen: list[bytes] = []
    real = pickle.loads

    def loads(data: Any, *args: Any, **options: Any) -> Any:
        seen.append(bytes(data))
        return real(data, *args, **options)

    monkeypatch.setattr(pickle, "loads", loads)
    # It holds the function itself, for speed.
    monkeypatch.setattr(payloads.unpickle_payload, "__defaults__", (loads,))
    return seen


class Worker:
    """A worker of the pool ``jobs`` in this process; ``peers`` are who has linked to it.

    ``table`` leads to the pools that it has met.
    """

    def __init__(
        self,
        folder: Path,
        callers: Any = None,
        *,
        name: str = "w1",
        operators: Any = None,
        operated: Operated | None = None,
    ) -> None:
        self.peers: list[str] = []
        self.links: list[Link] = []
        self.name = name
        self.table = ProxyTable(name, trust=Trust(Credentials(folder), POOL))
        self.server = Server(
            "127.0.0.1:0",
            name,
            self._accept,
            credentials=Credentials(folder),
            authorisation=Authorisation(POOL, callers, operators),
            operated=operated,
        )

    def _accept(self, link: Link) -> Sessions:
        assert link.permit is not None
        self.links.append(link)
        self.peers.append(str(link.permit.identity))
        return Sessions(link, self.name, self.table.get)

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.table.close()
        await self.server.stop(0.2)


@asynccontextmanager
async def calling(*workers: Worker, folder: Path | None = None) -> AsyncIterator[Proxy]:
    """Dispatch to the workers through a proxy, with or without credentials of its own."""
    credentials = None if folder is None else Credentials(folder)
    members = tuple((one.name, one.server.target) for one in workers)
    proxy = Proxy(new_id(), members, "caller", trust=Trust(credentials, POOL))
    token = dispatcher.set(proxy)
    try:
        yield proxy
    finally:
        dispatcher.reset(token)
        await proxy.close()


async def link_to(worker: Worker, folder: Path, **options: Any) -> Link:
    """Connect to a worker under the credentials of a folder."""
    options = {"credentials": Credentials(folder), "verify": W1, **options}
    return await connect(worker.server.target, "caller", **options)


async def is_served(worker: Worker, folder: Path) -> bool:
    """Say whether a good caller is served: a whole call, over a link of its own."""
    async with calling(worker, folder=folder):
        return await double(21) == 42


async def heard_of(heard: Any, kind: type[Any], many: int = 1) -> None:
    """Wait until something of a kind was announced so many times."""
    async with asyncio.timeout(10):
        while len(heard.of(kind)) < many:
            await asyncio.sleep(0.05)
