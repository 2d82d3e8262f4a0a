"""The rows of the catalog about workers: how they come and go, answer or not, and what they log."""

from __future__ import annotations

from catena import events
from catena.telemetry.rows import (
    ERROR,
    INFO,
    POOL,
    WARNING,
    Log,
    Row,
    counter,
    gauge,
    histogram,
    make_row,
)

_WORKERS = gauge(
    "catena.workers",
    "{worker}",
    "Workers that this process started.",
    {"catena.state": ("running", "exited")},
)
_MEMBERS = gauge(
    "catena.members",
    "{worker}",
    "Workers that get this process's calls and that it did not start.",
    {"catena.member.source": ("discovery", "launcher")},
)
_FOUND = {
    "catena.worker.id": "worker",
    "server.address": "target",
    "catena.member.source": "source",
}
_MEMBER = "worker %(catena.worker.id)s at %(server.address)s, known by %(catena.member.source)s,"
_WORKER = {"catena.worker.id": "worker", "process.pid": "pid"}
_SILENT = {**_WORKER, "catena.worker.silence": "seconds"}
_NAME = "worker %(catena.worker.id)s%(process)s"

WORKERS: tuple[Row, ...] = (
    make_row(
        events.WorkerStarted,
        _WORKERS,
        Log("catena.worker.started", f"{_NAME} is ready", INFO, POOL),
        fields=_WORKER,
    ),
    make_row(
        events.WorkerExited,
        _WORKERS,
        Log(
            "catena.worker.exited",
            f"{_NAME} is gone%(reason)s%(follows)s",
            INFO,
            POOL,
            unexpected=WARNING,
            always=True,
        ),
        fields={
            **_WORKER,
            "catena.exit.code": "exit_code",
            "catena.exit.reason": "reason",
            "catena.exit.follows": "follows",
        },
    ),
    make_row(
        events.WorkerReplaced,
        _WORKERS,
        Log(
            "catena.worker.replaced",
            "worker %(catena.worker.replacement)s has taken the place of worker"
            " %(catena.worker.id)s%(why)s",
            INFO,
            POOL,
        ),
        fields={
            "catena.worker.id": "worker",
            "catena.worker.replacement": "replacement",
            "catena.exit.reason": "reason",
        },
    ),
    make_row(
        events.WorkerJoined,
        _MEMBERS,
        Log(
            "catena.member.joined",
            f"{_MEMBER} gets calls from now on",
            INFO,
            POOL,
        ),
        fields=_FOUND,
    ),
    make_row(
        events.WorkerLeft,
        _MEMBERS,
        Log(
            "catena.member.left",
            f"{_MEMBER} gets no more calls%(reason)s",
            INFO,
            POOL,
            unexpected=WARNING,
        ),
        fields={**_FOUND, "catena.exit.reason": "reason"},
    ),
    make_row(
        events.RecordRefused,
        counter(
            "catena.records.refused",
            "{record}",
            "Member records at whose address another worker was found.",
        ),
        Log(
            "catena.record.refused",
            "worker %(catena.worker.id)s is at %(server.address)s, and not"
            " %(catena.record.expected)s as its record says; it gets no calls",
            WARNING,
            POOL,
            always=True,
        ),
        fields={
            "catena.worker.id": "worker",
            "server.address": "target",
            "catena.record.expected": "expected",
        },
    ),
    make_row(
        events.LoopTicked,
        histogram(
            "catena.worker.event_loop.lag",
            "s",
            "How late the event loop's timer fired, in pools and in workers.",
            keeping="direct",
        ),
    ),
    make_row(
        events.WorkerSuspected,
        counter(
            "catena.workers.suspected",
            "{event}",
            "How often a worker did not answer in time, and got no calls while another one did.",
        ),
        Log(
            "catena.worker.suspected",
            f"{_NAME} has not answered for %(catena.worker.silence).1f s: %(catena.worker.cause)s;"
            " it gets no calls while another worker answers%(stack)s",
            WARNING,
            POOL,
            always=True,
        ),
        fields={**_SILENT, "catena.worker.cause": "cause", "code.stacktrace": "stack"},
    ),
    make_row(
        events.WorkerRecovered,
        Log(
            "catena.worker.recovered",
            f"{_NAME} answers again, after about %(catena.worker.silence).1f s",
            INFO,
            POOL,
        ),
        fields=_SILENT,
    ),
    make_row(
        events.WorkerGivenUp,
        counter(
            "catena.workers.given_up",
            "{worker}",
            "Workers that were killed, or lost their link, because they did not answer.",
        ),
        Log(
            "catena.worker.given_up",
            f"{_NAME} did not answer for %(catena.worker.silence).1f s, and %(given_up)s",
            ERROR,
            POOL,
            always=True,
        ),
        fields=_SILENT,
    ),
    make_row(
        events.RoutineOverran,
        counter(
            "catena.routines.overran",
            "{call}",
            "How often a routine went on when its time was up, and its worker took no more calls.",
        ),
        Log(
            "catena.routine.overran",
            f"{_NAME} takes no more calls: routine %(rpc.method)s went on when its time was up;"
            " the worker is killed if that has not ended %(catena.routine.kill_after)g s later",
            WARNING,
            POOL,
            always=True,
        ),
        fields={
            "rpc.method": "routine",
            **_WORKER,
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
        Log(
            "catena.log.dropped",
            "%(catena.log.records)s log records of worker %(catena.worker.id)s were dropped:"
            " too many were waiting",
            WARNING,
            POOL,
            always=True,
        ),
        fields={"catena.worker.id": "worker", "catena.log.records": "count"},
    ),
)
