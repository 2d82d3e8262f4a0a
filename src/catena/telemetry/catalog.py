"""The catalog: one table with a row for each event of the core, and what each signal records of it.

Spans, metrics and logs are made from it; documentation, boards and tests are checked against it.
It is data and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

from catena import events
from catena.events.bus import Event
from catena.telemetry.catalog_pools import ANSWERING
from catena.telemetry.rows import (
    CONTEXT,
    ERROR,
    INFO,
    LINK,
    POOL,
    WARNING,
    Log,
    Metric,
    Row,
    Span,
    counter,
    gauge,
    histogram,
    make_row,
    updown,
)

DROPPED = Metric(
    "catena.telemetry.dropped",
    "counter",
    "{item}",
    "Telemetry items that were lost, or recorded outside of their trace.",
    ("catena.signal", "catena.reason"),
    zero=(
        *(("traces", "malformed"), ("traces", "oversized"), ("traces", "raised")),
        *(("metrics", "names"), ("metrics", "samples"), ("metrics", "raised")),
        ("logs", "raised"),
    ),
)
"""Belongs to no event: telemetry counts its own losses."""

_CALL = ("rpc.system.name", "rpc.method", "error.type", "rpc.status_code")
_FRAMES = (
    *("next", "send", "throw", "cancel", "ack", "nack"),
    *("yield", "yield+", "return", "return+", "exception"),
)  # of catena.wire.call_states, which stands higher: a test compares
_PROTOCOL = "1.0"  # of catena.wire.versions, which stands higher: a test compares
_ANY, _CHAIN = "catena.errors.SerializationError", "catena.errors.ChainSerializationError"
_SERIALIZATION = (
    *(("sent", _ANY), ("read", _ANY), ("loaded", _ANY)),
    *(("sent", _CHAIN), ("read", _CHAIN)),
)

_PEERS = gauge(
    "catena.links",
    "{link}",
    "Links that are up.",
    {"catena.version.local": (_PROTOCOL,), "catena.version.remote": (_PROTOCOL,)},
)
_WORKERS = gauge(
    "catena.workers",
    "{worker}",
    "Workers that this process started.",
    {"catena.state": ("running", "exited")},
)

CATALOG: tuple[Row, ...] = (
    make_row(
        events.Dispatch,
        Span("catena.dispatch", "", "client", detail="dispatch"),
        histogram(
            "rpc.client.call.duration",
            "s",
            "How long a call took at its caller, with all attempts; a stream counts as one call.",
            *_CALL,
            keeping="direct",
        ),
        histogram(
            "catena.frame.size",
            "By",
            "Payload size of the frames of a call; one call in sixteen is measured.",
            "catena.direction",
            "catena.kind",
        ),
        Log("catena.call.dispatched"),
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
        histogram(
            "rpc.server.call.duration",
            "s",
            "How long a call took on its worker, including the mount of its chain.",
            *_CALL,
            keeping="direct",
        ),
        histogram(
            "catena.dispatch.queue.duration",
            "s",
            "Time from sending a call to its start on the worker, by the clocks of both processes;"
            " one call in sixteen is measured.",
            "rpc.method",
        ),
        updown(
            "catena.worker.calls.active",
            "{call}",
            "Calls that this worker is running.",
            {"catena.state": ("running",)},
        ),
        Log("catena.call.executed"),
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
        counter(
            "catena.calls.nacked",
            "{call}",
            "Calls that a worker refused.",
            {"catena.nack.code": ("UNKNOWN", "UNLOADABLE", "DRAINING", "BUSY")},
        ),
        Log("catena.call.nacked", INFO, POOL),
        fields={"rpc.method": "routine", "catena.worker.id": "worker", "catena.nack.code": "code"},
    ),
    make_row(
        events.CallRetried,
        counter(
            "catena.calls.retried",
            "{attempt}",
            "Further attempts of calls whose worker was lost.",
        ),
        Log("catena.call.retried", INFO, POOL),
        fields={
            "rpc.method": "routine",
            "catena.worker.id": "worker",
            "catena.attempts": "attempt",
        },
    ),
    make_row(
        events.Mount,
        Span("catena.context", "catena.mount"),
        counter(
            "catena.chain.mounts",
            "{mount}",
            "Manifests that were mounted; a refused one counts as a serialization failure.",
            {"catena.direction": ("to_worker", "to_caller")},
        ),
        histogram(
            "catena.manifest.size",
            "By",
            "Size of the entries of a mounted manifest; one manifest in sixteen is measured.",
            "catena.direction",
            "catena.kind",
        ),
        Log("catena.chain.mounted"),
        attributes=(
            *("catena.chain.id", "catena.chain.parent_id"),
            *("catena.mount.direction", "catena.call.id", "catena.frame.kind"),
            *("catena.frame.seq", "catena.manifest.bytes", "catena.manifest.kind"),
            *("catena.vars.set", "catena.vars.reset"),
        ),
    ),
    make_row(
        events.Unmounted,
        Span("catena.context", "catena.mount"),
        counter("catena.chain.unmounts", "{mount}", "Chains that were unmounted."),
        Log("catena.chain.unmounted"),
        attributes=("catena.chain.id", "catena.mount.direction", "catena.call.id"),
    ),
    make_row(
        events.TokenReset,
        Span("catena.context", "catena.token.reset"),
        counter(
            "catena.token.resets",
            "{reset}",
            "Resets that were tried.",
            {"catena.outcome": ("ok", "used", "foreign", "orphan")},
        ),
        Log("catena.token.reset"),
        attributes=("catena.token.id", "catena.var", "catena.outcome", "catena.call.id"),
    ),
    make_row(
        events.ChainForked,
        counter("catena.chain.forks", "{fork}", "Chains that were forked."),
        Log("catena.chain.forked"),
        fields={"catena.chain.id": "chain_id", "catena.chain.parent_id": "parent_id"},
    ),
    make_row(
        events.ContentionRefused,
        Span("catena.context", "catena.contention", detail="dispatch"),
        counter(
            "catena.chain.contentions",
            "{refusal}",
            "How often a thread or a task was refused a chain because another one runs it.",
            {"catena.kind": ("thread", "task")},
            keeping="direct",
        ),
        Log("catena.chain.contention", WARNING, CONTEXT),
        attributes=(
            *("catena.chain.id", "catena.contention.kind", "error.type"),
            *("exception.message", "catena.owner.process", "catena.owner.thread"),
            *("catena.owner.task", "catena.owner.call", "catena.contender.process"),
            *("catena.contender.thread", "catena.contender.task", "catena.contender.call"),
        ),
    ),
    make_row(
        events.ContentionUnhandled,
        Log("catena.chain.contention_unhandled", ERROR, CONTEXT),
        fields={
            "rpc.method": "routine",
            "catena.call.id": "call",
            "catena.call.end": "end",
            "catena.chain.id": "error.chain_id",
            "catena.contention.kind": "error.kind",
        },
    ),
    make_row(
        events.FactoryDisplaced,
        counter(
            "catena.task_factory.displacements",
            "{event}",
            "How often a loop's task factory was found replaced.",
        ),
        Log("catena.task_factory.displaced", WARNING, CONTEXT),
    ),
    make_row(
        events.EntryLost,
        counter(
            "catena.entries.lost",
            "{entry}",
            "Variables that were left out because they could not be written or read.",
            {"catena.direction": ("sent", "read")},
        ),
        Log("catena.entry.lost", INFO, CONTEXT),
        fields={
            "catena.var": "key",
            "catena.serialization.direction": "direction",
            "exception.message": "cause",
        },
    ),
    make_row(events.ForwardDropped, Log("catena.forward.dropped"), fields={"catena.var": "key"}),
    make_row(
        events.KeysUndeclared,
        Log("catena.keys.undeclared", INFO, CONTEXT),
        fields={"catena.chain.id": "chain_id", "catena.vars.set": "keys"},
    ),
    make_row(
        events.SerializationFailed,
        Metric(
            "catena.serialization.failures",
            "counter",
            "{failure}",
            "Arguments, results, routines and chains that could not be written or read.",
            ("catena.direction", "error.type"),
            keeping="direct",
            zero=_SERIALIZATION,
        ),
        Log("catena.serialization.failed", WARNING, CONTEXT),
        fields={
            "rpc.method": "error.routine",
            "catena.worker.id": "error.worker",
            "catena.serialization.direction": "error.doing",
        },
    ),
    make_row(
        events.Lease,
        Span("catena.proxy", "catena.proxy.lease"),
        counter(
            "catena.proxy.leases",
            "{lease}",
            "Proxies that were leased to calls.",
            {"catena.source": ("fields",), "catena.outcome": ("built", "cached")},
        ),
        updown(
            "catena.proxy.lease.active",
            "{lease}",
            "Leases that have not been released.",
            {"catena.source": ("fields",)},
        ),
        histogram(
            "catena.proxy.lease.duration",
            "s",
            "How long leases lasted; one lease in sixteen is measured.",
            "catena.source",
            "catena.outcome",
        ),
        Log("catena.proxy.leased"),
        Log("catena.proxy.released"),
        fields={
            "catena.lease.id": "lease_id",
            "catena.proxy.id": "proxy_id",
            "catena.proxy.source": "source",
            "catena.proxy.cached": "cached",
            "catena.call.id": "call",
            "catena.chain.id": "chain_id",
        },
    ),
    make_row(
        events.FrameDropped,
        counter(
            "catena.frames.dropped",
            "{frame}",
            "Frames that arrived after their call had ended.",
            {"catena.kind": _FRAMES},
        ),
        Log("catena.frame.dropped"),
        fields={"catena.call.id": "call", "catena.frame.kind": "kind"},
    ),
    make_row(
        events.LinkOpened,
        _PEERS,
        Log("catena.link.opened", INFO, LINK),
        fields={
            "catena.peer.id": "peer",
            "catena.peer.version": "software",
            "catena.protocol.version": "protocol",
        },
    ),
    make_row(
        events.LinkClosed,
        _PEERS,
        Log("catena.link.closed", INFO, LINK),
        fields={"catena.peer.id": "peer", "catena.protocol.version": "protocol"},
    ),
    make_row(
        events.PeerVersionRefused,
        counter(
            "catena.version.refusals",
            "{refusal}",
            "Peers of another major version that were turned away.",
            {"catena.version.local": (_PROTOCOL,), "catena.version.remote": ("",)},
            keeping="direct",
        ),
        Log("catena.version.refused", WARNING, LINK),
        fields={"catena.version.local": "error.local", "catena.version.remote": "error.remote"},
    ),
    make_row(
        events.WorkerStarted,
        _WORKERS,
        Log("catena.worker.started", INFO, POOL),
        fields={"catena.worker.id": "worker", "process.pid": "pid"},
    ),
    make_row(
        events.WorkerExited,
        _WORKERS,
        Log("catena.worker.exited", INFO, POOL),
        fields={
            "catena.worker.id": "worker",
            "process.pid": "pid",
            "catena.exit.code": "exit_code",
            "catena.exit.reason": "reason",
        },
    ),
    make_row(
        events.WorkerReplaced,
        _WORKERS,
        Log("catena.worker.replaced", INFO, POOL),
        fields={
            "catena.worker.id": "worker",
            "catena.worker.replacement": "replacement",
            "catena.exit.reason": "reason",
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
    *ANSWERING,
)

BY_EVENT: dict[type[Event], Row] = {one.event: one for one in CATALOG}
LOGS = {(log.logger, log.name) for one in CATALOG for log in one.logs}
"""Which logger writes which events."""


def metrics_of(rows: Iterable[Row] = CATALOG) -> list[Metric]:
    """Return every metric once, that of telemetry itself at the end."""
    by_name = {metric.name: metric for row in rows for metric in row.metrics}
    return [*by_name.values(), DROPPED]
