"""Rows of the catalog: calls at either end."""

from __future__ import annotations

from catena import events
from catena.telemetry.catalog.common import AUDIT, BYTES, DEBUG, INFO, POOL, SECONDS
from catena.telemetry.rows import Log, Metric, Row, Span, make_row

_CALL = ("rpc.system.name", "rpc.method", "error.type", "rpc.status_code")

CALLS: tuple[Row, ...] = (
    make_row(
        events.Dispatch,
        Span("catena.dispatch", "", "client", detail="dispatch"),
        Metric(
            "rpc.client.call.duration",
            "histogram",
            "s",
            "How long a call took at its caller, with all attempts; a stream counts as one call.",
            _CALL,
            keeping="direct",
            boundaries=SECONDS,
        ),
        Metric(
            "catena.frame.size",
            "histogram",
            "By",
            "Payload size of the frames of a call; one call in sixteen is measured.",
            ("catena.direction", "catena.kind"),
            keeping="sampled",
            boundaries=BYTES,
        ),
        Log("catena.call.dispatched", DEBUG, AUDIT),
        attributes=(
            *("rpc.system.name", "rpc.method", "rpc.status_code", "catena.stream"),
            *("catena.worker.id", "catena.call.id", "catena.chain.id", "server.address"),
            *("catena.attempts", "catena.peer.version", "catena.protocol.version"),
            *("catena.outcome", "catena.pending", "error.type", "exception.message"),
        ),
    ),
    make_row(
        events.Execution,
        Span("catena.dispatch", "", "server", detail="dispatch"),
        Metric(
            "rpc.server.call.duration",
            "histogram",
            "s",
            "How long a call took on its worker, including the mount of its chain.",
            _CALL,
            keeping="direct",
            boundaries=SECONDS,
        ),
        Metric(
            "catena.dispatch.queue.duration",
            "histogram",
            "s",
            "Time from sending a call to its start on the worker, by the clocks of both processes;"
            " one call in sixteen is measured.",
            ("rpc.method",),
            keeping="sampled",
            boundaries=SECONDS,
        ),
        Metric(
            "catena.worker.calls.active",
            "updown",
            "{call}",
            "Calls that this worker is running.",
            ("catena.state",),
            zero=(("running",),),
        ),
        Log("catena.call.executed", DEBUG, AUDIT),
        attributes=(
            *("rpc.system.name", "rpc.method", "rpc.status_code", "catena.stream"),
            *("code.function.name", "server.address", "catena.worker.id", "catena.peer.id"),
            *("catena.call.id", "catena.chain.id", "catena.chain.parent_id"),
            *("catena.carrier", "catena.outcome", "catena.peer.version"),
            *("catena.pending", "catena.protocol.version", "error.type", "exception.message"),
        ),
    ),
    make_row(
        events.CallNacked,
        Metric(
            "catena.calls.nacked",
            "counter",
            "{call}",
            "Calls that a worker refused.",
            ("catena.nack.code",),
            zero=(("UNKNOWN",), ("UNLOADABLE",), ("DRAINING",), ("BUSY",)),
        ),
        Log("catena.call.nacked", INFO, POOL),
        attributes=("rpc.method", "catena.worker.id", "catena.nack.code"),
    ),
)
