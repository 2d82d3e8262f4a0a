"""The catalog: ONE table, a row for each event of the core, and what is told of it in each signal.

Spans, metrics and logs are made from it; documentation, boards and tests are checked against it.
It is data and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from catena import events
from catena.observe import Event
from catena.telemetry.rows import Log, Metric, Row, Span, row

__all__ = [
    "AUDIT",
    "BY_EVENT",
    "CATALOG",
    "DROPPED",
    "metrics_of",
]

AUDIT = "catena.audit"
"""The logger of every mount, reset, lease and call; one switch turns it on."""

_CONTEXT, _LINK, _POOL = "catena.context", "catena.link", "catena.pool"
_DEBUG, _INFO, _WARNING, _ERROR = 10, 20, 30, 40

_PROTOCOL = "1.0"  # of catena.wire.versions, which stands higher: a test compares
_SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
_BYTES = tuple(float(4**power) for power in range(3, 14))
_CALL = ("rpc.method", "error.type", "rpc.status_code")

_PEERS = Metric("catena.peer.count", "gauge", "{link}", "Links that are up.", ("local", "remote"))
_WORKERS = Metric(
    "catena.worker.count",
    "gauge",
    "{worker}",
    "Workers that this process started.",
    ("state",),
    zero=(("running",), ("exited",)),
)
DROPPED = Metric(
    "catena.telemetry.dropped",
    "counter",
    "{item}",
    "What was not told, or told without its part of a trace.",
    ("signal", "reason"),
    zero=(
        *(("traces", "malformed"), ("traces", "oversized")),
        *(("metrics", "names"), ("metrics", "samples")),
    ),
)
"""Of no event: telemetry tells it of itself."""

_SERIALIZATION = tuple(
    (direction, f"catena.errors.{kind}")
    for direction in ("sent", "read")
    for kind in ("SerializationError", "ChainSerializationError")
)

CATALOG: tuple[Row, ...] = (
    # ---- calls
    row(
        events.Dispatch,
        Span("catena.dispatch", "", "client", detail="dispatch"),
        Metric(
            "rpc.client.call.duration",
            "histogram",
            "s",
            "How long calls took, seen by their callers, all attempts; of a stream the whole.",
            _CALL,
            keeping="direct",
            boundaries=_SECONDS,
        ),
        Metric(
            "catena.frame.size",
            "histogram",
            "By",
            "Payload of the frames of a call, one call of sixteen.",
            ("direction", "kind"),
            keeping="sampled",
            boundaries=_BYTES,
        ),
        Log("catena.call.dispatched", _DEBUG, AUDIT),
        attributes=(
            *("rpc.system.name", "rpc.method", "rpc.status_code", "catena.stream"),
            *("catena.worker.id", "catena.call.id", "catena.chain.id", "server.address"),
            *("catena.attempts", "catena.peer.version", "catena.protocol.version"),
            *("catena.outcome", "catena.pending", "error.type", "exception.message"),
        ),
    ),
    row(
        events.Execution,
        Span("catena.dispatch", "", "server", detail="dispatch"),
        Metric(
            "rpc.server.call.duration",
            "histogram",
            "s",
            "How long calls took on the worker, from before the chain is mounted.",
            _CALL,
            keeping="direct",
            boundaries=_SECONDS,
        ),
        Metric(
            "catena.dispatch.queue.duration",
            "histogram",
            "s",
            "From sending a call to its start, by the clocks of both, one call of sixteen.",
            ("rpc.method",),
            keeping="sampled",
            boundaries=_SECONDS,
        ),
        Metric(
            "catena.worker.calls.active",
            "updown",
            "{call}",
            "Calls that run here for others.",
            ("state",),
            zero=(("running",),),
        ),
        Log("catena.call.executed", _DEBUG, AUDIT),
        attributes=(
            *("rpc.system.name", "rpc.method", "rpc.status_code", "catena.stream"),
            *("code.function.name", "catena.worker.id", "catena.peer.id"),
            *("catena.call.id", "catena.chain.id", "catena.chain.parent_id"),
            *("catena.carrier", "catena.outcome", "catena.peer.version"),
            *("catena.pending", "catena.protocol.version", "error.type", "exception.message"),
        ),
    ),
    row(
        events.CallNacked,
        Metric(
            "catena.calls.nacked",
            "counter",
            "{call}",
            "Calls that a worker refused.",
            ("code",),
            zero=(("UNKNOWN",), ("UNLOADABLE",), ("DRAINING",), ("BUSY",)),
        ),
        Log("catena.call.nacked", _INFO, _POOL),
        attributes=("rpc.method", "catena.worker.id", "catena.nack.code"),
    ),
    # ---- context
    row(
        events.Mount,
        Span("catena.context", "catena.mount"),
        Metric(
            "catena.chain.mounts",
            "counter",
            "{mount}",
            "Manifests that were mounted; one that is refused is a failure of serialization.",
            ("direction",),
            zero=(("to_worker",), ("to_caller",)),
        ),
        Metric(
            "catena.manifest.size",
            "histogram",
            "By",
            "Entries of the manifests that were mounted, one of sixteen.",
            ("direction", "kind"),
            keeping="sampled",
            boundaries=_BYTES,
        ),
        Log("catena.chain.mounted", _DEBUG, AUDIT),
        attributes=(
            *("catena.chain.id", "catena.chain.parent_id"),
            *("catena.mount.direction", "catena.call.id", "catena.frame.kind"),
            *("catena.frame.seq", "catena.manifest.bytes", "catena.manifest.kind"),
            *("catena.vars.set", "catena.vars.reset"),
        ),
    ),
    row(
        events.Unmounted,
        Span("catena.context", "catena.mount"),
        Metric("catena.chain.unmounts", "counter", "{mount}", "Chains taken out.", zero=((),)),
        Log("catena.chain.unmounted", _DEBUG, AUDIT),
        attributes=("catena.chain.id", "catena.mount.direction", "catena.call.id"),
    ),
    row(
        events.TokenReset,
        Span("catena.context", "catena.token.reset"),
        Metric(
            "catena.token.resets",
            "counter",
            "{reset}",
            "Resets that were tried.",
            ("outcome",),
            zero=(("ok",), ("used",), ("foreign",), ("orphan",)),
        ),
        Log("catena.token.reset", _DEBUG, AUDIT),
        attributes=(
            *("catena.token.id", "catena.token.minted_by", "catena.var"),
            *("catena.outcome", "catena.call.id"),
        ),
    ),
    row(
        events.ChainForked,
        Metric("catena.chain.forks", "counter", "{fork}", "Chains that were forked.", zero=((),)),
        Log("catena.chain.forked", _DEBUG, AUDIT),
        attributes=("catena.chain.id", "catena.chain.parent_id"),
    ),
    row(
        events.ContentionRefused,
        Span("catena.context", "catena.contention", detail="dispatch"),
        Metric(
            "catena.chain.contentions",
            "counter",
            "{refusal}",
            "Second runners that were kept from a chain.",
            ("kind",),
            keeping="direct",
            zero=(("thread",), ("task",)),
        ),
        Log("catena.chain.contention", _WARNING, _CONTEXT),
        attributes=(
            *("catena.chain.id", "catena.contention.kind", "error.type"),
            *("exception.message", "catena.owner.process", "catena.owner.thread"),
            *("catena.owner.task", "catena.owner.call", "catena.intruder.process"),
            *("catena.intruder.thread", "catena.intruder.task", "catena.intruder.call"),
        ),
    ),
    row(
        events.ContentionUnhandled,
        Log("catena.chain.contention_unhandled", _ERROR, _CONTEXT),
        attributes=(
            *("rpc.method", "catena.call.id", "catena.call.end", "catena.chain.id"),
            *("catena.contention.kind", "error.type", "exception.message"),
        ),
    ),
    row(
        events.FactoryDisplaced,
        Metric(
            "catena.task_factory.displacements",
            "counter",
            "{event}",
            "Times that a loop's task factory was found displaced.",
            zero=((),),
        ),
        Log("catena.task_factory.displaced", _WARNING, _CONTEXT),
        attributes=("error.type", "exception.message"),
    ),
    row(
        events.EntryLost,
        Metric(
            "catena.entries.lost",
            "counter",
            "{entry}",
            "Variables that were left out because they could not be written or read.",
            ("direction",),
            zero=(("sent",), ("read",)),
        ),
        Log("catena.entry.lost", _INFO, _CONTEXT),
        attributes=("catena.var", "catena.serialization.direction", "exception.message"),
    ),
    row(
        events.ForwardDropped,
        Log("catena.forward.dropped", _DEBUG, AUDIT),
        attributes=("catena.var",),
    ),
    row(
        events.KeysUndeclared,
        Log("catena.keys.undeclared", _INFO, _CONTEXT),
        attributes=("catena.chain.id", "catena.vars.set"),
    ),
    row(
        events.SerializationFailed,
        Metric(
            "catena.serialization.failures",
            "counter",
            "{failure}",
            "Arguments, results, routines and chains that could not be written or read.",
            ("direction", "error.type"),
            keeping="direct",
            zero=_SERIALIZATION,
        ),
        Log("catena.serialization.failed", _WARNING, _CONTEXT),
        attributes=(
            *("rpc.method", "catena.worker.id", "catena.serialization.direction"),
            *("error.type", "exception.message"),
        ),
    ),
    # ---- proxies
    row(
        events.Lease,
        Span("catena.proxy", "catena.proxy.lease"),
        Metric(
            "catena.proxy.leases",
            "counter",
            "{lease}",
            "Proxies that were leased to a call.",
            ("source", "outcome"),
            zero=(("fields", "built"), ("fields", "cached")),
        ),
        Metric(
            "catena.proxy.lease.active",
            "updown",
            "{lease}",
            "Leases that have not been released.",
            ("source",),
            zero=(("fields",),),
        ),
        Metric(
            "catena.proxy.lease.duration",
            "histogram",
            "s",
            "How long leases lasted, one of sixteen.",
            ("source", "outcome"),
            keeping="sampled",
            boundaries=_SECONDS,
        ),
        Log("catena.proxy.leased", _DEBUG, AUDIT),
        Log("catena.proxy.released", _DEBUG, AUDIT),
        attributes=(
            *("catena.lease.id", "catena.proxy.id", "catena.proxy.source"),
            *("catena.proxy.cached", "catena.call.id", "catena.chain.id"),
        ),
    ),
    # ---- links and processes
    row(
        events.FrameDropped,
        Metric(
            "catena.frames.dropped",
            "counter",
            "{frame}",
            "Frames that crossed the end of their call.",
            ("kind",),
        ),
        Log("catena.frame.dropped", _DEBUG, AUDIT),
        attributes=("catena.call.id", "catena.frame.kind"),
    ),
    row(
        events.LinkOpened,
        _PEERS,
        Log("catena.link.opened", _INFO, _LINK),
        attributes=("catena.peer.id", "catena.peer.version", "catena.protocol.version"),
    ),
    row(
        events.LinkClosed,
        _PEERS,
        Log("catena.link.closed", _INFO, _LINK),
        attributes=("catena.peer.id", "catena.protocol.version", "error.type", "exception.message"),
    ),
    row(
        events.VersionWasRefused,
        Metric(
            "catena.version.refusals",
            "counter",
            "{refusal}",
            "Peers of another major version that were turned away.",
            ("local", "remote"),
            keeping="direct",
            zero=((_PROTOCOL, ""),),
        ),
        Log("catena.version.refused", _WARNING, _LINK),
        attributes=(
            *("catena.version.local", "catena.version.remote"),
            *("error.type", "exception.message"),
        ),
    ),
    row(
        events.WorkerStarted,
        _WORKERS,
        Log("catena.worker.started", _INFO, _POOL),
        attributes=("catena.worker.id", "process.pid"),
    ),
    row(
        events.WorkerExited,
        _WORKERS,
        Log("catena.worker.exited", _INFO, _POOL),
        attributes=("catena.worker.id", "process.pid", "catena.exit.code"),
    ),
    row(
        events.LoopTicked,
        Metric(
            "catena.worker.event_loop.lag",
            "histogram",
            "s",
            "How late what was due each second came, on the loops of pools and workers.",
            keeping="direct",
            boundaries=_SECONDS,
        ),
    ),
)

BY_EVENT: dict[type[Event], Row] = {one.event: one for one in CATALOG}


def metrics_of(rows: tuple[Row, ...] = CATALOG) -> Iterator[Metric]:
    """Yield every metric once, that of telemetry itself at the end."""
    seen: dict[str, Metric] = {}
    for one in rows:
        for metric in one.metrics:
            seen.setdefault(metric.name, metric)
    yield from seen.values()
    yield DROPPED
