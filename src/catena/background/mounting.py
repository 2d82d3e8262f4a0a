"""Mounting a task's snapshot in the Context that the task runs in, and taking it out again.

Its one rule: the mount is total. Every variable that this process knows is set to what the snapshot
says or has no value, before the task's own code begins; so nothing remains of an earlier task, nor
of whoever started the worker, and a task without a snapshot finds nothing at all. No engine is
imported here.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from catena.background.holding import HeldValues, held
from catena.background.persistence import persisted
from catena.background.snapshot import TaskContextSnapshot
from catena.context import registry
from catena.context.proxy import proxy
from catena.context.variable import UNSET
from catena.dispatch.answers import mount_frame
from catena.dispatch.payloads import values_for
from catena.errors import SnapshotError
from catena.events import ChainForked
from catena.events.bus import announce, end_of
from catena.events.carrier import relayed
from catena.events.tasks import SnapshotRefused, TaskRun, ValueExpired
from catena.ids import new_id
from catena.transfer.manifest import NO_CHAIN, ChainManifest, Entry, EntryKind, Values
from catena.transfer.mount import leave_chain, unmount
from catena.wire.manifests import pack_entries, unpack_entries

TOLERABLE: frozenset[str] = frozenset({"unmarked", "missing", "stale", "legacy"})
"""The faults of a snapshot for which a task may be allowed to run without context."""


class RunningTask(NamedTuple):
    """The task that runs here: its key, its routine, its queue, and what it came with.

    ``submission`` is the id of the submission that it is of, empty where none is known;
    ``snapshot`` is None for a task without one. ``attempt`` counts from 1. ``nearly_lost`` says
    that most of the time had passed for which the snapshot would have been kept.
    """

    key: str
    function: str
    queue: str
    attempt: int = 1
    submission: str = ""
    snapshot: TaskContextSnapshot | None = None
    nearly_lost: bool = False


_running: contextvars.ContextVar[RunningTask | None] = contextvars.ContextVar(
    "catena.running_task", default=None
)


def current_task() -> RunningTask | None:
    """Return the background task that the running code belongs to, None outside of one.

    Tasks and threads that it starts with a copy of its Context belong to it as well.
    """
    return _running.get()


def current_task_key() -> str | None:
    """Return the key of the background task that runs here, None outside of one."""
    running = _running.get()
    return None if running is None else running.key


def refuse_snapshot(error: SnapshotError, task: RunningTask, tolerate: Collection[str]) -> None:
    """Announce that a snapshot cannot be used; raise the error unless that is tolerated."""
    tolerated = error.fault in tolerate and error.fault in TOLERABLE
    if SnapshotRefused.listeners:
        announce(SnapshotRefused(error, task.function, task.queue, tolerated))
    if not tolerated:
        raise error


@contextmanager
def mount_task(
    task: RunningTask,
    *,
    strict: bool,
    is_child: bool,
    parks: tuple[type[BaseException], ...] = (),
) -> Generator[None]:
    """Run a block in the context that a task came with.

    It is entered and left in the Context that the task runs in, and in no other one. What ``parks``
    has is raised where the engine puts a task off. Raises as ``mount`` does where the values cannot
    be mounted; they are all taken out again then.
    """
    clear_variables()
    snapshot, values = task.snapshot, values_for(strict=strict)
    manifest = NO_CHAIN if snapshot is None else _leave_expired(task, snapshot.manifest, values)
    if manifest.chain_id:
        manifest = manifest._replace(chain_id=new_id(), parent_id=manifest.chain_id)
    run = _observe_run(task, manifest, is_child=is_child)
    if run is not None:
        run.begin()
    error: BaseException | None = None
    _running.set(task)
    held.set(_hold_values(task, manifest))
    relayed.set(manifest.carrier or None)
    try:
        mount_frame(manifest, values, None, to_worker=True)
        if manifest.chain_id and ChainForked.listeners:
            announce(ChainForked(manifest.chain_id, manifest.parent_id))
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        unmount()
        clear_variables()
        relayed.set(None)
        _running.set(None)
        held.set(None)
        if run is not None:
            run.outcome = "parked" if isinstance(error, parks) else end_of(error)
            run.end(None if run.outcome == "parked" else error)


def clear_variables() -> None:
    """Leave every variable that this process knows without a value in the current Context.

    The way to a pool is none of them: a worker keeps its own.
    """
    leave_chain()
    with registry.lock:
        variables = tuple(registry.variables.values())
    for var in variables:
        if var is not proxy and var.backing.get() is not UNSET:
            var.backing.set(UNSET)


def _hold_values(task: RunningTask, manifest: ChainManifest) -> HeldValues:
    """Return what threads of a task read; without the values that were left out for their age."""
    snapshot = task.snapshot
    if snapshot is None:
        return HeldValues(task.key, dict)
    return HeldValues(task.key, lambda: replace(snapshot, manifest=manifest).values)


def _observe_run(task: RunningTask, manifest: ChainManifest, *, is_child: bool) -> TaskRun | None:
    """Return a run to be announced, None where nobody observes it."""
    if not TaskRun.observers:
        return None
    snapshot = task.snapshot
    return TaskRun(
        task.function,
        task.queue,
        task.key,
        task.attempt,
        chain_id=manifest.chain_id,
        parent_id=manifest.parent_id,
        carrier=manifest.carrier,
        # Two machines' clocks may differ by more than a task has waited.
        age=None if snapshot is None else max(0.0, time.time() - snapshot.captured_at),
        producer="" if snapshot is None else snapshot.producer,
        is_child=is_child,
        nearly_lost=task.nearly_lost,
    )


def _leave_expired(task: RunningTask, manifest: ChainManifest, values: Values) -> ChainManifest:
    """Return a manifest without the values that are no longer valid; each of them is announced."""
    if not manifest.entries or not any(one.has_expired for one in persisted.values()):
        return manifest
    entries = unpack_entries(manifest.entries)
    kept = [entry for entry in entries if not _has_expired(entry, values)]
    if len(kept) == len(entries):
        return manifest
    if ValueExpired.listeners:
        for key in sorted({entry.key for entry in entries} - {entry.key for entry in kept}):
            announce(ValueExpired(key, task.key, task.function))
    return manifest._replace(entries=pack_entries(kept))


def _has_expired(entry: Entry, values: Values) -> bool:
    declared = persisted.get(entry.key)
    if declared is None or declared.has_expired is None or entry.kind is not EntryKind.VALUE:
        return False
    try:
        return declared.has_expired(values.loads(entry.value))
    except Exception:
        # What cannot be read or judged is no credential that anybody may use.
        return True
