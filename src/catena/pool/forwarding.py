"""Log records of a worker, on their way to the handlers of its parent.

``LogForwarder`` takes every record that a logger of the worker would hand to its handlers, pickles
it on the spot, in the thread that logs, and leaves it to a thread of its own to send it: code that
logs never waits for the parent. What waits to be sent is bounded; records beyond that are dropped
and counted, and the parent is sent the number.

A record is sent as a dictionary of what the standard library makes it of. Its message is complete,
so its arguments stay behind; the exception goes along as one that a routine raises does, and as the
text of its traceback; of further attributes those go that can be pickled, the others as their repr.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from catena.context.carried import Unread, read_carried, sources
from catena.context.variable import MISSING
from catena.pickling import pickler
from catena.pool import forking
from catena.pool.held import hold_descriptor
from catena.remote_exceptions.pickled import pickle_exception
from catena.wording import reason

HEADER = struct.Struct(">I")
"""How long a message is: it stands before each."""

RECORDS_LIMIT = (10_000, 16 << 20)
"""How many records may wait to be sent, and with how many bytes: 16 MiB."""

LEVELS_PAUSE = 0.5
"""Seconds until levels that differ from the parent's are set right, on either side."""

_PLAIN = frozenset({str, int, float, bool, type(None)})
_LEFT = frozenset({"args", "msg", "exc_info", "processName"})
_formatter = logging.Formatter()

Levels = Mapping[str, Any]
"""The levels of a process's loggers, as JSON has them: see ``read_levels``."""


def read_levels() -> dict[str, Any]:
    """Return the levels that are set in this process, by logger; that of the root under ""."""
    loggers = list(logging.Logger.manager.loggerDict.items())
    set_ones = [(name, one) for name, one in loggers if isinstance(one, logging.Logger)]
    return {
        "levels": {"": logging.root.level} | {n: one.level for n, one in set_ones if one.level},
        "disabled": sorted(name for name, one in set_ones if one.disabled),
        "below": logging.root.manager.disable,
    }


def apply_levels(new: Levels, old: Levels) -> None:
    """Give this process's loggers the levels of another one, and take back earlier ones."""
    for name in old["levels"].keys() - new["levels"].keys():
        logging.getLogger(name).setLevel(logging.NOTSET)
    here = read_levels()
    for name, level in new["levels"].items():
        if here["levels"].get(name) != level:
            logging.getLogger(name or None).setLevel(level)
    for name in {*here["disabled"], *new["disabled"]}:
        logging.getLogger(name).disabled = name in new["disabled"]
    if here["below"] != new["below"]:
        logging.disable(new["below"])


class LogForwarder:
    """Sends the records of this worker over a socket, on which new levels come."""

    def __init__(self, fd: int, worker: str, levels: Levels) -> None:
        self._socket = socket.socket(fileno=fd)
        self._worker = worker
        self._levels: Levels = {"levels": {}, "disabled": [], "below": 0}
        self._waiting: deque[bytes] = deque()
        self._bytes = self._dropped = 0
        self._changed = threading.Condition()
        self._busy = threading.local()
        self._over = False
        self._own = logging.Logger.callHandlers
        apply_levels(levels, self._levels)
        self._levels = levels
        # In place of all handlers, whatever configuration the modules of routines bring along.
        forwarder = self

        def forward(self: logging.Logger, record: logging.LogRecord) -> None:  # noqa: ARG001
            forwarder.take(record)

        logging.Logger.callHandlers = forward
        # Whoever looks whether anybody handles a record finds that somebody does.
        self._mark = logging.NullHandler()
        logging.root.addHandler(self._mark)
        self._writer = threading.Thread(target=self._send_all, name="catena-log", daemon=True)
        self._writer.start()
        threading.Thread(target=self._keep_levels, name="catena-log-levels", daemon=True).start()

    def take(self, record: logging.LogRecord) -> None:
        """Take a record to send; one that is logged while another one is written down is left."""
        if getattr(self._busy, "now", False):
            return
        self._busy.now = True
        try:
            data = pickle.dumps(_describe_record(record, self._worker))
        except Exception as error:
            # What cannot even be shown; that it was logged is said.
            text = f"a log record could not be sent: {reason(error)}"
            data = pickle.dumps({"name": record.name, "levelno": record.levelno, "msg": text})
        finally:
            self._busy.now = False
        most, most_bytes = RECORDS_LIMIT
        with self._changed:
            if len(self._waiting) >= most or self._bytes + len(data) > most_bytes:
                self._dropped += 1
            else:
                self._waiting.append(data)
                self._bytes += len(data)
            self._changed.notify_all()

    def finish(self, timeout: float) -> None:
        """Send what waits, within ``timeout`` seconds, and take records no more."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._writer.join(timeout)
        self.give_up()

    def give_up(self) -> None:
        """Give the loggers their handlers back, as in a process that was forked from this one."""
        logging.Logger.callHandlers = self._own
        logging.root.removeHandler(self._mark)

    def _send_all(self) -> None:
        while (message := self._next_message()) is not None:
            try:
                self._socket.sendall(HEADER.pack(len(message)) + message)
            except OSError:
                # The parent is gone, or listens no more.
                self.give_up()
                return
        self._socket.close()

    def _next_message(self) -> bytes | None:
        """Wait for the next record, or the number of those that were dropped; None at the end."""
        with self._changed:
            while not (self._waiting or self._dropped or self._over):
                self._changed.wait()
            if self._waiting:
                data = self._waiting.popleft()
                self._bytes -= len(data)
                return data
            if self._dropped:
                data, self._dropped = pickle.dumps(self._dropped), 0
                return data
            return None

    def _keep_levels(self) -> None:
        """Apply the levels that come, and restore them when code of this process has set others."""
        begun = b""
        while not self._over:
            try:
                ready, _, _ = select.select([self._socket], [], [], LEVELS_PAUSE)
                data = self._socket.recv(1 << 16) if ready else b""
            except (OSError, ValueError):
                return
            if ready and not data:
                return
            *lines, begun = (begun + data).split(b"\n")
            new = json.loads(lines[-1]) if lines else self._levels
            apply_levels(new, self._levels)
            self._levels = new


def _describe_record(record: logging.LogRecord, worker: str) -> dict[str, Any]:
    """Return a record as a dictionary of built-in values; what is pickled already is bytes."""
    # Whatever else there is of it: a name that cannot be read costs itself.
    found = {
        name: value if type(value) in _PLAIN else _pickle_value(value)
        for name, value in vars(record).items()
        if name not in _LEFT
    }
    found["msg"], found["processName"] = _message_of(record), f"worker {worker}"
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and record.exc_info:
        found["exc_text"] = record.exc_text or _formatter.formatException(record.exc_info)
        found["catena error"] = pickle_exception(error, worker=worker, routine=record.name)
    if sources:
        found["catena carried"] = _pickle_carried()
    return found


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:
        # As its handler would, which says so on stderr.
        return f"{record.msg!r} could not be filled with its arguments: {reason(error)}"


def _pickle_value(value: Any) -> bytes:
    try:
        return pickler.dumps(value)
    except Exception:
        return pickler.dumps(repr(value))


def _pickle_carried() -> list[tuple[tuple[str, str], bytes]]:
    """Return what is carried and bound where the record is made: the parent's filters read it."""
    found: list[tuple[tuple[str, str], bytes]] = []
    for carried, value in read_carried():
        if value is MISSING or isinstance(value, Unread):
            continue
        try:
            data = pickler.dumps(value)
        except Exception:
            # It is left out of calls as well, which say so.
            data = b""
        if data:
            found.append((carried.key, data))
    return found


def open_forwarder(facts: Mapping[str, Any]) -> LogForwarder | None:
    """Return what sends this worker's records to its parent, None where it keeps them."""
    given = facts["records"]
    if given is None:
        return None
    os.set_inheritable(given["fd"], False)
    forwarder = LogForwarder(hold_descriptor(given["fd"]), facts["worker"], given["levels"])
    forking.in_child(forwarder.give_up)
    return forwarder
