"""A real Redis (Debian's redis-server) on a Unix socket, for one test or for many."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEADLINE = 20.0


class RedisServer:
    """A server that can be started, stopped, paused and started again, with nothing kept."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a queue finds it."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        self.process = subprocess.Popen(
            [*command, "--appendonly", "no", "--dir", str(self._folder)], stdout=subprocess.DEVNULL
        )
        until = time.monotonic() + DEADLINE
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"redis-server did not start: {self.process.returncode}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it at once; what it holds is gone."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(DEADLINE)

    def send_signal(self, number: int) -> None:
        """Send its process a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def ask(self, *words: str) -> bytes:
        """Send it one command of its own protocol, and return the first 64 KiB of the answer."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(DEADLINE)
            link.connect(str(self.socket))
            parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
            link.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
            return link.recv(65536)

    def count_commands(self) -> dict[str, int]:
        """Return how often each command was called."""
        lines = self.ask("INFO", "commandstats").decode().splitlines()
        calls = [line.removeprefix("cmdstat_") for line in lines if line.startswith("cmdstat_")]
        return {
            name: int(facts.split(",")[0].removeprefix("calls="))
            for name, _, facts in (one.partition(":") for one in calls)
        }

    def _answers(self) -> bool:
        try:
            return self.ask("PING").startswith(b"+PONG")
        except OSError:
            return False


def require_redis() -> None:
    """Skip the test where there is no redis-server, but not in CI."""
    if shutil.which("redis-server") is None:
        assert "CI" not in os.environ, "apt install redis-server"
        pytest.skip("no redis-server: apt install redis-server")


@contextmanager
def serving(folder: Path) -> Iterator[RedisServer]:
    """A server in a folder, ended afterwards."""
    require_redis()
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
