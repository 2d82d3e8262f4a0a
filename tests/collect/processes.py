"""``catena collect`` as a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO

ANY = ("--listen", "127.0.0.1:0", "--listen-http", "127.0.0.1:0")
DEADLINE = 60


class Collecting:
    """A running command: what it said so far, and where it listens."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "catena", "collect", *ANY, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self._opened = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,))
        self._reader.start()
        if not self._opened.wait(DEADLINE):
            self.process.kill()
            raise TimeoutError("".join(self.said))

    def where(self, what: str) -> str:
        """The address that was printed for gRPC, HTTP or metrics."""
        found = re.search(rf"\b{what} (\S+?)(?:,|\n|$)", "".join(self.said))
        if found is None:
            raise LookupError("".join(self.said))
        return found[1]

    def send(self, body: bytes, signal_name: str = "traces") -> int:
        """Post a request and return the status."""
        request = urllib.request.Request(
            f"{self.where('HTTP')}/v1/{signal_name}",
            body,
            {"Content-Type": "application/x-protobuf"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal, wait, and return the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.said.append(line)
            if "gRPC http" in line:
                self._opened.set()
        self._opened.set()


@contextmanager
def collecting(*arguments: str) -> Generator[Collecting]:
    """Run the command for the length of the block."""
    running = Collecting(*arguments)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.end(signal.SIGKILL)
        for stream in (running.process.stdout, running.process.stderr):
            if stream:
                stream.close()
