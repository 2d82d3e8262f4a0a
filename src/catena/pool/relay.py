"""What workers print appears on the parent's streams, in whole lines.

One thread reads the pipes of all workers of a pool. It writes to whatever ``sys.stdout`` and
``sys.stderr`` are at that moment, so captured output is captured.
"""

from __future__ import annotations

import os
import selectors
import sys
import threading
from collections import deque
from typing import TextIO

__all__ = ["Pipe", "Relay"]

_LINE_LIMIT = 8 << 20
_TAIL_LINES = 20


class Pipe:
    """One pipe: the rest of a line that has begun, and the last lines for a report.

    ``ended`` says that all of it has been read.
    """

    def __init__(self, name: str, *, error: bool) -> None:
        self.name = name
        self.error = error
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.ended = False
        self._rest = bytearray()

    def feed(self, data: bytes) -> str:
        """Take what was read, b"" at the end; return the whole lines there are now."""
        begin = len(self._rest)
        self._rest += data
        cut = self._rest.rfind(b"\n", begin) + 1
        if not data or len(self._rest) > _LINE_LIMIT:
            cut = len(self._rest)
        lines = self._rest[:cut]
        del self._rest[:cut]
        text = lines.decode("utf-8", "replace")
        self.tail.extend(text.splitlines())
        return text if not text or text.endswith("\n") else text + "\n"


class Relay:
    """Copies lines until every pipe has ended."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._thread: threading.Thread | None = None
        self._stop_reader, self._stop_writer = os.pipe()
        self._selector.register(self._stop_reader, selectors.EVENT_READ, None)
        self._open = 0
        self._lock = threading.Lock()

    def add(self, fd: int, name: str, *, error: bool) -> Pipe:
        """Begin to copy from a pipe, whose file descriptor the relay closes at its end."""
        pipe = Pipe(name, error=error)
        os.set_blocking(fd, False)
        with self._lock:
            self._open += 1
            self._selector.register(fd, selectors.EVENT_READ, pipe)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="catena-relay", daemon=True)
                self._thread.start()
        return pipe

    def finish(self, timeout: float) -> None:
        """Wait until all pipes have ended, at most ``timeout`` seconds, and let go of them."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
            if thread.is_alive():
                os.write(self._stop_writer, b".")
                thread.join(1.0)
        for fd in (self._stop_reader, self._stop_writer):
            os.close(fd)
        self._selector.close()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._open:
                    # The next pipe, of a worker that starts later, gets a thread of its own.
                    self._thread = None
                    return
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                self._copy(key.fd, key.data)

    def _copy(self, fd: int, pipe: Pipe) -> None:
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return
        text = pipe.feed(data)
        if text:
            _write(text, error=pipe.error)
        if not data:
            pipe.ended = True
            with self._lock:
                self._selector.unregister(fd)
                self._open -= 1
            os.close(fd)


def _write(text: str, *, error: bool) -> None:
    stream: TextIO | None = sys.stderr if error else sys.stdout
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        # The parent's stream is closed: there is nobody left to tell.
        return
