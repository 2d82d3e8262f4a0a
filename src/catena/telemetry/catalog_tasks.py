"""The rows of the catalog about background tasks: submitted, run, and refused their context."""

from __future__ import annotations

from catena import events
from catena.telemetry.rows import (
    BACKGROUND,
    ERROR,
    INFO,
    WARNING,
    Log,
    Row,
    Span,
    counter,
    histogram,
    make_row,
)

FAULTS = (
    *("unmarked", "missing", "stale", "legacy", "newer"),
    *("unauthenticated", "undecryptable", "unreadable"),
)  # of catena.task_errors: a test compares

_TASK = {
    "messaging.system": "system",
    "messaging.operation.name": "operation",
    "messaging.operation.type": "operation",
    "messaging.destination.name": "function",
    "messaging.message.id": "task_key",
    "catena.queue": "queue",
}
_ABOUT = "task %(messaging.message.id)s of routine %(messaging.destination.name)s"

TASKS: tuple[Row, ...] = (
    make_row(
        events.TaskSubmission,
        Span("catena.background", "", "producer", detail="dispatch", verb="send"),
        counter(
            "catena.background.submitted",
            "{task}",
            "Tasks that were submitted; those that were present already were not added.",
            {"catena.outcome": ("added", "present")},
        ),
        Log(
            "catena.background.submitted",
            f"{_ABOUT} was submitted to queue %(catena.queue)s%(with_chain)s",
        ),
        fields={
            **_TASK,
            "catena.chain.id": "chain_id",
            "catena.snapshot.bytes": "size",
            "catena.outcome": "outcome",
        },
    ),
    make_row(
        events.TaskRun,
        Span("catena.background", "", "consumer", detail="dispatch", verb="process"),
        counter(
            "catena.background.runs",
            "{run}",
            "Runs of tasks, by how they ended and by the release that submitted them.",
            {
                "catena.outcome": ("done", "failed", "cancelled", "abandoned", "parked"),
                "catena.producer.release": ("none",),
            },
        ),
        counter(
            "catena.background.snapshots.nearly_lost",
            "{snapshot}",
            "Snapshots that were mounted when less than a fifth of their lifetime was left.",
        ),
        histogram(
            "catena.background.snapshot.age",
            "s",
            "How long before a run its snapshot was captured, by the clocks of both machines.",
            keeping="direct",
        ),
        Log("catena.background.ran", f"{_ABOUT} ran%(with_chain)s, and %(ended)s"),
        fields={
            **_TASK,
            "catena.task.attempt": "attempt",
            "catena.chain.id": "chain_id",
            "catena.chain.parent_id": "parent_id",
            "catena.snapshot.age": "age",
            "catena.producer.version": "producer",
            "catena.outcome": "outcome",
        },
    ),
    make_row(
        events.SnapshotRefused,
        counter(
            "catena.background.snapshots.refused",
            "{snapshot}",
            "Snapshots of tasks that could not be used.",
            {"catena.snapshot.fault": FAULTS},
        ),
        Log(
            "catena.background.snapshot_refused",
            "the snapshot of a task of routine %(messaging.destination.name)s in queue"
            " %(catena.queue)s cannot be used, it is %(catena.snapshot.fault)s%(message)s;"
            " %(catena.snapshot.follows)s",
            WARNING,
            BACKGROUND,
            unexpected=ERROR,
            always=True,
        ),
        fields={
            "messaging.destination.name": "function",
            "messaging.message.id": "task_key",
            "catena.queue": "queue",
            "catena.snapshot.fault": "fault",
            "catena.snapshot.follows": "follows",
        },
    ),
    make_row(
        events.QueueFailed,
        counter(
            "catena.background.queue.failures",
            "{failure}",
            "How often the store of a queue did not answer.",
            keeping="direct",
        ),
        Log(
            "catena.background.queue_failed",
            "queue %(catena.queue)s could not %(catena.queue.request)s%(message)s",
            WARNING,
            BACKGROUND,
            always=True,
        ),
        fields={"catena.queue": "error.queue", "catena.queue.request": "error.doing"},
    ),
    make_row(
        events.ValueExpired,
        counter(
            "catena.background.values.expired",
            "{value}",
            "Stored values that were no longer valid when their task began.",
        ),
        Log(
            "catena.background.value_expired",
            f"variable %(catena.var)s was left out in {_ABOUT}: its value was no longer valid",
            INFO,
            BACKGROUND,
        ),
        fields={
            "catena.var": "key",
            "messaging.message.id": "task_key",
            "messaging.destination.name": "function",
        },
    ),
    make_row(
        events.WorkerWithoutContext,
        counter(
            "catena.background.workers.lacking",
            "{event}",
            "How often workers were seen that mount no snapshots, at most once a minute.",
        ),
        Log(
            "catena.background.worker_lacks_context",
            "workers of queue %(catena.queue)s mount no snapshots, and run tasks without context:"
            " %(catena.queue.workers)s",
            WARNING,
            BACKGROUND,
            always=True,
        ),
        fields={"catena.queue": "queue", "catena.queue.workers": "workers"},
    ),
)
