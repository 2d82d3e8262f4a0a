"""Reading a variable of a background task from code that does not run the task's chain.

Inside of a task a variable is simply read. Two kinds of code cannot do that: a thread to which the
task's Context was copied, for the chain has one runner at a time, and code in a worker that mounts
no snapshots. Both find what the task was submitted with in one of three places: in the Context,
where the mount has left it; among the snapshots on their way within this process; and in the store,
by one read that blocks. Its one rule: what is found is of the task that runs, and of that very
submission of it, or it is not used.

What was found is remembered, a missing snapshot for a short while only, and so is a store that does
not answer: code that asks for three variables waits once.
"""

from __future__ import annotations

import importlib
import math
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from functools import partial
from threading import get_ident
from typing import Any, NamedTuple, Protocol, TypeVar

from catena.background.holding import HeldValues, held
from catena.background.mounting import RunningTask, current_task_key, refuse_snapshot
from catena.background.persistence import find_expired
from catena.background.snapshot import TaskContextSnapshot
from catena.context.chain import UNMOUNTED, current
from catena.context.var import ContextVar
from catena.context.variable import MISSING
from catena.errors import QueueUnreachable, SnapshotError
from catena.events import announced
from catena.events.bus import announce
from catena.events.tasks import ValueExpired
from catena.ids import Key
from catena.wording import reason

T = TypeVar("T")

MISS_SECONDS = 5.0
"""How long a snapshot that could not be used is not asked for again."""

OUTAGE_SECONDS = 1.0
"""How long a store that did not answer is not asked again."""

MOST_FOUND = 1024
"""How many tasks of a queue are remembered."""

_ENGINE = "docket.dependencies"
_UNMOUNTED = "catena.background.unmounted"


def read_variable(var: ContextVar[T]) -> T:
    """Return a variable's value, also in a thread that does not run the chain.

    Where the chain runs this is ``var.get()``. On another thread with a copy of its Context it is
    the value that the background task was submitted with, or that the middleware of a web service
    found; and in a worker that mounts no snapshots, the value in the task's stored one. Where there
    is none it is the variable's default.

    Raises LookupError where there is no default either, and ChainContention on another thread where
    nobody has left values. Where the store has to be asked it raises QueueUnreachable if it cannot
    be, and SnapshotError for a snapshot that cannot be used, by the same rules as a mount.
    """
    key = current_task_key()
    values = _find_unmounted() if key is None else None
    if values is None:
        chain = current.get()
        if chain is not None and chain is not UNMOUNTED and chain.thread == get_ident():
            return var.get()
        values = held.get()
        if values is None or values.task_key != (key or ""):
            return var.get()
    value = values.values.get(var.key, var.default)
    if value is MISSING:
        raise LookupError(var)
    return value


def _find_unmounted() -> HeldValues | None:
    """Return the values of a task that the engine runs here without a mount, None outside of one.

    What lies in its Context is of whoever started the worker, the chain included.
    """
    if _ENGINE not in sys.modules:
        return None
    unmounted = importlib.import_module(_UNMOUNTED).find_unmounted_task()
    if unmounted is None:
        return None
    task, lookup = unmounted
    return lookup.find(task)


class SnapshotSource(Protocol):
    """Where the snapshots of one queue lie, for code that cannot await."""

    def read(self, task: RunningTask, /) -> str | None:
        """Return the stored text of a task, None when there is none.

        Raises QueueUnreachable, or whatever its client raises.
        """
        ...

    def open(self, text: str, task: RunningTask, /) -> TaskContextSnapshot:
        """Return the snapshot of a text. Raises SnapshotError, also for one of another task."""
        ...


class _Found(NamedTuple):
    """What is known of a task: its values, or what is wrong with its snapshot, until when."""

    values: HeldValues | None
    error: SnapshotError | None = None
    until: float = math.inf


class SnapshotLookup:
    """Finds the snapshots of one queue for code that cannot await.

    ``tolerate`` names the faults for which a task runs without context. ``clock`` returns seconds
    of a clock that never goes back. Any thread may use it.
    """

    def __init__(
        self,
        source: SnapshotSource,
        tolerate: Collection[str] = ("unmarked",),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._tolerate = tolerate
        self._clock = clock
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[str, str], _Found] = OrderedDict()
        self._outage = ("", -math.inf)

    def find(self, task: RunningTask) -> HeldValues:
        """Return a task's values. Blocks for one read of the store.

        Raises QueueUnreachable when the store does not answer, and SnapshotError for a snapshot
        that is missing or cannot be used, unless the task may run without; each is announced once.
        """
        place = task.key, task.submission
        with self._lock:
            found = self._found.get(place)
        if found is None or self._clock() >= found.until:
            found = self._look(task)
            with self._lock:
                self._found[place] = found
                self._found.move_to_end(place)
                if len(self._found) > MOST_FOUND:
                    self._found.popitem(last=False)
        if found.values is None and found.error is not None:
            error = found.error
            raise SnapshotError(task=error.task, fault=error.fault, cause=error.cause)
        return found.values or HeldValues(task.key, dict)

    def _look(self, task: RunningTask) -> _Found:
        try:
            snapshot = self._open(task)
        except SnapshotError as error:
            until = self._clock() + MISS_SECONDS
            try:
                refuse_snapshot(error, task, self._tolerate)
            except SnapshotError:
                return _Found(None, error, until)
            return _Found(HeldValues(task.key, dict), error, until)
        return _Found(HeldValues(task.key, partial(_judge_values, snapshot, task)))

    def _open(self, task: RunningTask) -> TaskContextSnapshot:
        """Return a task's snapshot. Raises SnapshotError and QueueUnreachable."""
        if not task.submission:
            cause = "it was added without one"
            raise SnapshotError(task=task.key, fault="unmarked", cause=cause)
        text = self._ask_store(task)
        if text is None:
            cause = "it was stored, and is gone"
            raise SnapshotError(task=task.key, fault="missing", cause=cause)
        return self._source.open(text, task)

    def _ask_store(self, task: RunningTask) -> str | None:
        """Return the text that the store has of a task, unless it was down just now."""
        with self._lock:
            cause, until = self._outage
        if self._clock() >= until:
            try:
                return self._source.read(task)
            except Exception as error:
                # Whatever the client of a store raises: that of Redis raises no OSError.
                cause = error.cause if isinstance(error, QueueUnreachable) else reason(error)
                with self._lock:
                    self._outage = cause, self._clock() + OUTAGE_SECONDS
                raise announced(_refuse(task, cause)) from error
        raise _refuse(task, cause)


def _refuse(task: RunningTask, cause: str) -> QueueUnreachable:
    return QueueUnreachable(queue=task.queue, doing="read a snapshot", cause=cause)


def _judge_values(snapshot: TaskContextSnapshot, task: RunningTask) -> Mapping[Key, Any]:
    """Return the values of a snapshot that are still valid; each other one is announced."""
    values = snapshot.values
    expired = find_expired(values)
    if ValueExpired.listeners:
        for key in sorted(expired):
            announce(ValueExpired(key, task.key, task.function))
    return {key: value for key, value in values.items() if key not in expired}
