"""Who listens at a Unix socket is asked before anything is sent there."""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from catena.errors import PeerRefused
from catena.events import PeerAccessRefused
from catena.link import listener
from catena.link.client import connect
from catena.link.server import Server
from catena.targets import unix_target
from catena.testing import recording
from tests.link.ends import Listener
from tests.support import run


@pytest.mark.skipif(sys.platform != "linux", reason="asks by the option of Linux")
def test_a_listener_is_known(tmp_path: Path) -> None:
    """Its user and its process, as the system says it."""
    with socket.socket(socket.AF_UNIX) as here, socket.socket(socket.AF_UNIX) as plain:
        here.bind(str(tmp_path / "s"))
        here.listen()
        plain.connect(str(tmp_path / "s"))
        assert listener.read_listener(plain) == (os.geteuid(), os.getpid())


def test_a_listener_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that somebody else has put there gets nothing, not even the secret."""
    target = unix_target(tmp_path / "s")
    monkeypatch.setattr(listener, "read_listener", lambda _: (os.geteuid() + 4711, 12))

    async def main() -> None:
        accepted: list[Any] = []
        server = Server(target, "worker", lambda link: (accepted.append(link), Listener())[1])
        await server.start()
        with recording(PeerAccessRefused) as heard, pytest.raises(PeerRefused) as caught:
            await connect(target, "caller")
        assert "it runs as user" in caught.value.reason
        assert (caught.value.peer, caught.value.pid) == (str(tmp_path / "s"), 12)
        assert len(heard.of(PeerAccessRefused)) == 1
        assert accepted == []
        await server.stop(0)

    run(main())


@pytest.mark.parametrize("user", [0, os.geteuid()])
def test_root_and_ones_own_user_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    """Both could do anything to this process."""
    target = unix_target(tmp_path / "s")
    monkeypatch.setattr(listener, "read_listener", lambda _: (user, 1))

    async def main() -> None:
        server = Server(target, "worker", lambda _: Listener())
        await server.start()
        link = await connect(target, "caller")
        link.start(Listener())
        await link.close()
        await server.stop(1)

    run(main())


def test_where_nobody_listens(tmp_path: Path) -> None:
    """The path, and what the system says; nothing is tried after that."""
    with pytest.raises(ConnectionError, match=r"unavailable: .*/s: No such file"):
        run(connect(unix_target(tmp_path / "s"), "caller"))


def test_a_listener_that_takes_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue is full: that is waited for, a while."""
    monkeypatch.setattr(listener, "CONNECT_SECONDS", 0.05)
    with socket.socket(socket.AF_UNIX) as here:
        here.bind(str(tmp_path / "s"))
        here.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(str(tmp_path / "s"))
        with pytest.raises(ConnectionError, match="overrun"):
            run(connect(unix_target(tmp_path / "s"), "caller"))
        for one in waiting:
            one.close()


def test_a_listener_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the option is another one, and says no process."""

    class Plain:
        def getsockopt(self, *asked: int) -> bytes:
            assert asked == (0, 1, 76)
            return struct.pack("=II", 0, 501) + bytes(68)

    monkeypatch.setattr(listener, "_PEERCRED", None)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert listener.read_listener(Plain()) == (501, 0)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(sys, "platform", "plan9")
    with pytest.raises(OSError, match="plan9 does not say"):
        listener.read_listener(Plain())  # pyright: ignore[reportArgumentType]
