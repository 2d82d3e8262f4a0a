"""The output of workers appears on the parent's streams, in whole lines.

One thread reads the pipes of all workers of a pool. It writes to whatever ``sys.stdout`` and
``sys.stderr`` are at that moment, so code that captures output captures that of workers, too. Even
when such a stream raises, the thread reads on, because a worker whose pipe is full would stand
still; lost lines are logged.
"""

from __future__ import annotations

import logging
import os
import selectors
import sys
import threading
from collections import Counter, deque
from typing import Any, Literal

from catena.pool.held import hold_descriptor, let_go
from catena.pool.records import RecordRelay

Output = Literal["stdout", "stderr"]

_LINE_LIMIT = 8 << 20
_TAIL_LINES = 20
_CHUNK = 65536
_LEFT = 1 << 20
"""The most bytes that a pipe holds, and so all that its worker can have left in it."""

_log = logging.getLogger("catena")


class Pipe:
    """One pipe: the rest of a line that has begun, and the last lines for a report.

    ``ended`` says that all of it has been read.
    """

    def __init__(self, name: str, stream: Output) -> None:
        self.name = name
        self.stream: Output = stream
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.ended = False
        self._rest = bytearray()

    def take_lines(self, data: bytes) -> str:
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


class OutputRelay:
    """Copies lines, in a thread of its own, until it is finished; pipes may be added until then.

    With a ``prefix`` each line begins with its worker's id. With ``records`` there is a way for the
    log records of workers, too.
    """

    def __init__(self, *, prefix: bool = False, records: bool = False) -> None:
        self._prefix = prefix
        self.records = RecordRelay() if records else None
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="catena-relay", daemon=True)
        self._stop_reader, self._stop_writer = map(hold_descriptor, os.pipe())
        self._selector.register(self._stop_reader, selectors.EVENT_READ, None)
        self._lock = threading.Lock()
        # Lines of each worker's stream that could not be written and are not reported yet.
        self._lost: Counter[tuple[str, str]] = Counter()
        self._broken: set[str] = set()
        self._thread.start()

    def add(self, fd: int, name: str, stream: Output) -> Pipe:
        """Begin to copy from a pipe, whose file descriptor the relay closes at its end."""
        pipe = Pipe(name, stream)
        os.set_blocking(hold_descriptor(fd), False)
        with self._lock:
            self._selector.register(fd, selectors.EVENT_READ, pipe)
        return pipe

    def finish_copying(self, timeout: float) -> None:
        """Copy what the pipes hold, within ``timeout`` seconds, and let go of them.

        Their workers have ended, so no more is to come from them; their children may live on.
        """
        os.write(self._stop_writer, b".")
        if self.records is not None:
            self.records.finish(timeout)
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._selector.close()
        for fd in (self._stop_reader, self._stop_writer):
            let_go(fd)
        for (name, stream), lines in self._lost.items():
            self._log_loss(f"{lines} more lines of worker {name} could not be written to {stream}")

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._copy_rest()
                    return
                self._copy_pipe(key.fd, key.data)

    def _copy_pipe(self, fd: int, pipe: Pipe) -> int:
        """Copy what a pipe has now, up to a limit; return how many bytes, -1 when it has none."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return -1
        self._write_lines(pipe.take_lines(data), pipe)
        if not data:
            pipe.ended = True
            self._close_pipe(fd)
            return -1
        return len(data)

    def _copy_rest(self) -> None:
        """Copy what is in the pipes, and let go of those that somebody still has open."""
        self._selector.unregister(self._stop_reader)
        for key in list(self._selector.get_map().values()):
            fd, pipe = key.fd, key.data
            left = _LEFT
            while left > 0 and (copied := self._copy_pipe(fd, pipe)) >= 0:
                left -= copied
            if not pipe.ended:
                self._write_lines(pipe.take_lines(b""), pipe)
                self._close_pipe(fd)

    def _close_pipe(self, fd: int) -> None:
        with self._lock:
            self._selector.unregister(fd)
        let_go(fd)

    def _write_lines(self, text: str, pipe: Pipe) -> None:
        if not text:
            return
        name = pipe.stream
        if self._prefix:
            text = "".join(f"[{pipe.name}] {line}\n" for line in text[:-1].split("\n"))
        try:
            _put(getattr(sys, name, None), text)
        except BaseException as error:
            lines = text.count("\n")
            if name in self._broken:
                self._lost[pipe.name, name] += lines
            else:
                self._broken.add(name)
                self._log_loss(
                    f"what workers print to {name} is lost, because sys.{name} cannot take it"
                    f" ({type(error).__name__}: {error}): {lines} lines of worker {pipe.name}"
                )
        else:
            self._broken.discard(name)

    def _log_loss(self, text: str) -> None:
        """Log a loss. Where the log goes to the same broken stream, there is nobody to hear it."""
        try:
            _log.warning("%s", text)
        except BaseException:
            os.write(2, f"catena: {text}\n".encode("utf-8", "backslashreplace"))


def _put(stream: Any, text: str) -> None:
    """Write to a stream, as well as its encoding allows. Raises what the stream raises."""
    if stream is None:
        raise ValueError("it is None")
    try:
        stream.write(text)
    except UnicodeEncodeError as error:
        stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
    flush = getattr(stream, "flush", None)
    if flush is not None:
        flush()
