"""Targets of Unix sockets: what gRPC reads as a URI, and what everybody else reads."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from catena.link.client import connect
from catena.link.server import Server
from catena.targets import address_of, unix_target
from tests.link.ends import Listener
from tests.support import run

NAMES = ["a b", "a%20b", "a#b", "a?b", "ü☃", "a:b", "a;b@c&d=e+f", os.fsdecode(b"a\xffb")]


@pytest.mark.parametrize(
    ("target", "address"),
    [("unix:/t/s", "/t/s"), ("unix:///t/s", "/t/s"), ("unix:s", "s"), ("[::1]:1", "[::1]:1")],
)
def test_an_address_is_what_opentelemetry_calls_one(target: str, address: str) -> None:
    """``server.address``: a socket's path without gRPC's scheme."""
    assert address_of(target) == address


@pytest.mark.parametrize("name", NAMES)
def test_a_path_of_any_bytes_is_a_target(tmp_path: Path, name: str) -> None:
    """L13: both ends meet at the very path, and call it by its plain name."""
    folder = tmp_path / name
    folder.mkdir()
    target = unix_target(folder / "s")

    async def main() -> None:
        server = Server(target, "worker", lambda _: Listener())
        await server.start()
        link = await connect(target, "caller")
        assert (folder / "s").is_socket()
        assert link.address == str(folder / "s")
        link.start(Listener())
        await link.close()
        await asyncio.gather(server.stop(1))

    run(main())
