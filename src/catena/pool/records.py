"""Log records of workers, handled by the loggers of their parent.

One thread reads what the workers of a pool send, in order for each of them, and hands each record
to the logger of its name here, with its filters and handlers, as if it had been made here. Twice a
second it looks whether the levels of this process's loggers have changed, and sends them to the
workers. ``forwarding`` is the other end.
"""

from __future__ import annotations

import contextvars
import json
import logging
import os
import pickle
import selectors
import socket
import threading
from contextlib import suppress
from typing import Any

from catena.context.carried import receive_carried
from catena.events import LogRecordsDropped
from catena.events.bus import announce, log_exception
from catena.pickling import pickler
from catena.pool.forwarding import HEADER, LEVELS_PAUSE, read_levels
from catena.pool.held import hold_descriptor, let_go
from catena.remote_exceptions.pickled import unpickle_exception

_CHUNK = 1 << 16


class Channel:
    """The parent's end of what one worker sends, and the part of a message that is here already."""

    def __init__(self, worker: str, ours: socket.socket) -> None:
        self.worker = worker
        self.socket = ours
        self.ended = False
        self._rest = bytearray()
        self._unsent = b""

    def take_messages(self, data: bytes) -> list[bytes]:
        """Take what was read; return the messages that are whole now."""
        self._rest += data
        found: list[bytes] = []
        while len(self._rest) >= HEADER.size:
            end = HEADER.size + HEADER.unpack_from(self._rest)[0]
            if len(self._rest) < end:
                break
            found.append(bytes(self._rest[HEADER.size : end]))
            del self._rest[:end]
        return found

    def send(self, line: bytes = b"") -> None:
        """Send a line, as far as the worker takes it now, after what is left of earlier ones."""
        self._unsent += line
        if self._unsent:
            with suppress(OSError):
                self._unsent = self._unsent[self.socket.send(self._unsent) :]


class RecordRelay:
    """Handles records, in a thread of its own, until it is finished."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._stop_reader, self._stop_writer = map(hold_descriptor, os.pipe())
        self._selector.register(self._stop_reader, selectors.EVENT_READ, None)
        self._lock = threading.Lock()
        self._levels = read_levels()
        self._thread = threading.Thread(target=self._run, name="catena-records", daemon=True)
        self._thread.start()

    def open_channel(self, worker: str) -> tuple[int, dict[str, Any]]:
        """Return the worker's end, which whoever starts it closes here, and what it is given."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        hold_descriptor(ours.fileno())
        with self._lock:
            self._selector.register(ours, selectors.EVENT_READ, Channel(worker, ours))
        fd = theirs.detach()
        return fd, {"fd": fd, "levels": read_levels()}

    def finish(self, timeout: float) -> None:
        """Handle what workers that have ended have sent, within ``timeout`` seconds."""
        os.write(self._stop_writer, b".")
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._selector.close()
        for fd in (self._stop_reader, self._stop_writer):
            let_go(fd)

    def _run(self) -> None:
        while True:
            ready = self._selector.select(LEVELS_PAUSE)
            for key, _ in ready:
                if key.data is None:
                    self._handle_rest()
                    return
                self._read(key.data)
            self._send_levels()

    def _read(self, channel: Channel) -> bool:
        """Handle what a worker has sent; say whether there may be more now."""
        try:
            data = channel.socket.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        for message in channel.take_messages(data):
            _handle_message(message, channel.worker)
        if not data:
            self._close(channel)
        return bool(data)

    def _handle_rest(self) -> None:
        self._selector.unregister(self._stop_reader)
        for key in list(self._selector.get_map().values()):
            while self._read(key.data):
                pass
            if not key.data.ended:
                self._close(key.data)

    def _close(self, channel: Channel) -> None:
        channel.ended = True
        with self._lock:
            self._selector.unregister(channel.socket)
        let_go(channel.socket.detach())

    def _send_levels(self) -> None:
        levels, line = read_levels(), b""
        if levels != self._levels:
            self._levels = levels
            line = json.dumps(levels).encode() + b"\n"
        with self._lock:
            channels = [key.data for key in self._selector.get_map().values() if key.data]
        for channel in channels:
            channel.send(line)


def _handle_message(message: bytes, worker: str) -> None:
    """Hand one record to its logger. What handlers and filters raise ends nothing."""
    try:
        found = pickle.loads(message)
        if isinstance(found, int):
            _report_dropped(found, worker)
            return
        carried = found.pop("catena carried", ())
        record = _make_record(found)
        contextvars.Context().run(_handle_record, record, carried)
    except Exception:
        log_exception("a log record of worker %s could not be handled", worker)


def _report_dropped(count: int, worker: str) -> None:
    if LogRecordsDropped.listeners:
        announce(LogRecordsDropped(worker, count))


def _make_record(found: dict[str, Any]) -> logging.LogRecord:
    error = found.pop("catena error", None)
    values = {
        name: pickler.loads(value) if isinstance(value, bytes) else value
        for name, value in found.items()
    }
    record = logging.makeLogRecord(values)
    if error is not None:
        raised = unpickle_exception(error)
        record.exc_info = (type(raised), raised, raised.__traceback__)
    return record


def _handle_record(record: logging.LogRecord, carried: list[tuple[Any, bytes]]) -> None:
    for key, data in carried:
        found = receive_carried(key, "forward", load=False)
        if found is not None and found.is_found:
            found.bind(pickler.loads(data))
    # Its level counted where it was made.
    logging.getLogger(record.name).handle(record)
