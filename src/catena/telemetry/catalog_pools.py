"""The rows of the catalog about workers that do not answer, and about what they log."""

from __future__ import annotations

from catena import events
from catena.telemetry.rows import ERROR, INFO, POOL, WARNING, Log, Row, counter, make_row

_WORKER = {
    "catena.worker.id": "worker",
    "process.pid": "pid",
    "catena.worker.silence": "seconds",
}

ANSWERING: tuple[Row, ...] = (
    make_row(
        events.WorkerSuspected,
        counter(
            "catena.workers.suspected",
            "{event}",
            "How often a worker did not answer in time, and got no calls while another one did.",
        ),
        Log("catena.worker.suspected", INFO, POOL),
        fields={**_WORKER, "catena.worker.cause": "cause", "code.stacktrace": "stack"},
    ),
    make_row(events.WorkerRecovered, Log("catena.worker.recovered", INFO, POOL), fields=_WORKER),
    make_row(
        events.WorkerGivenUp,
        counter(
            "catena.workers.given_up",
            "{worker}",
            "Workers that were killed because they did not answer.",
        ),
        Log("catena.worker.given_up", ERROR, POOL),
        fields=_WORKER,
    ),
    make_row(
        events.RoutineOverran,
        counter(
            "catena.routines.overran",
            "{call}",
            "How often a routine went on when its time was up, and its worker took no more calls.",
        ),
        Log("catena.routine.overran", WARNING, POOL),
        fields={
            "rpc.method": "routine",
            "catena.worker.id": "worker",
            "process.pid": "pid",
            "catena.routine.kill_after": "kill_after",
        },
    ),
    make_row(
        events.LogRecordsDropped,
        counter(
            "catena.log.dropped",
            "{record}",
            "Log records of workers that did not reach their parent.",
            keeping="direct",
        ),
        Log("catena.log.dropped", WARNING, POOL),
        fields={"catena.worker.id": "worker", "catena.log.records": "count"},
    ),
)
