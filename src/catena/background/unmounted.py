"""The task that the engine runs here without Catena's mount, and where its snapshot is read.

So it is in a worker of the engine that an application has started itself. Its one rule: nothing is
awaited here, and nobody waits longer than READ_SECONDS for each thing that the store has to do.
"""

from __future__ import annotations

import importlib
import threading
from contextlib import closing
from typing import Any
from weakref import WeakKeyDictionary, ref

from catena.background.docket_loading import Docket, current_docket, current_execution
from catena.background.lookup import SnapshotLookup
from catena.background.mounting import RunningTask
from catena.background.queue import MARK, BackgroundQueue
from catena.background.sealing import Secrets
from catena.background.snapshot import TaskContextSnapshot
from catena.background.store import DocketStore
from catena.background.transfers import on_the_way
from catena.dispatch.queueing import find_queue
from catena.errors import NoQueue, QueueUnreachable

READ_SECONDS = 2.0
"""How long a connection to the store may take, and its answer."""

_READABLE = ("redis:", "rediss:", "unix:")

_lookups: WeakKeyDictionary[Docket, SnapshotLookup] = WeakKeyDictionary()
_lock = threading.Lock()


def find_unmounted_task() -> tuple[RunningTask, SnapshotLookup] | None:
    """Return the task that the engine runs here, and what finds its snapshot; None outside of one.

    The secrets are those of the queue that is bound here, or of the process's default one, where
    that is the queue of the task.
    """
    execution, docket = current_execution.get(None), current_docket.get(None)
    if execution is None or docket is None:
        return None
    task = RunningTask(
        execution.key,
        execution.function_name,
        docket.name,
        execution.attempt,
        getattr(execution.kwargs, MARK, ""),
    )
    with _lock:
        lookup = _lookups.get(docket)
        if lookup is None:
            lookup = _lookups[docket] = _make_lookup(docket)
    return task, lookup


def _make_lookup(docket: Docket) -> SnapshotLookup:
    try:
        queue = find_queue("")
    except NoQueue:
        queue = None
    if not isinstance(queue, BackgroundQueue) or (queue.url, queue.name) != (
        docket.url,
        docket.name,
    ):
        return SnapshotLookup(DocketSource(docket, None))
    options = queue.options
    return SnapshotLookup(DocketSource(docket, options.secrets), options.tolerate)


class DocketSource:
    """Reads the snapshots of a docket: those on their way here, and those in its Redis."""

    def __init__(self, docket: Docket, secrets: Secrets | None) -> None:
        self._url = docket.url
        self._name = docket.name
        self._credentials = docket.credential_provider
        # Weakly: it is kept for as long as the docket, which must not keep itself alive.
        self._docket = ref(docket)
        self._secrets = secrets

    def read(self, task: RunningTask, /) -> str | None:
        """Return the stored text of a task, None when there is none.

        Raises QueueUnreachable where only code that awaits can read, and what the client raises.
        """
        docket = self._docket()
        if docket is None:
            return None
        store = DocketStore(docket, is_local=self._url.startswith("memory:"))
        place = store.name_snapshot(task.key, task.submission)
        text = on_the_way.get(place)
        if text is not None or self._url.startswith("memory:"):
            return text
        if not self._url.startswith(_READABLE):
            cause = "code that cannot await does not read from a cluster, nor through a sentinel"
            raise QueueUnreachable(queue=self._name, doing="read a snapshot", cause=cause)
        with closing(self._connect()) as redis:
            found: bytes | None = redis.get(place)
        return None if found is None else found.decode()

    def open(self, text: str, task: RunningTask, /) -> TaskContextSnapshot:
        """Return the snapshot of a text. Raises SnapshotError, also for one of another task."""
        return TaskContextSnapshot.from_json(
            text, key=self._secrets, task_key=task.key, submission=task.submission
        )

    def _connect(self) -> Any:
        """Return a client that tries once."""
        redis: Any = importlib.import_module("redis")
        retry: Any = importlib.import_module("redis.retry")
        backoff: Any = importlib.import_module("redis.backoff")
        return redis.Redis.from_url(
            self._url,
            credential_provider=self._credentials,
            socket_connect_timeout=READ_SECONDS,
            socket_timeout=READ_SECONDS,
            retry=retry.Retry(backoff.NoBackoff(), 0),
        )
