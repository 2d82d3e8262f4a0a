"""Rows of the catalog: proxies, links and processes."""

from __future__ import annotations

from catena import events
from catena.telemetry.catalog.common import AUDIT, DEBUG, INFO, LINK, POOL, SECONDS, WARNING
from catena.telemetry.rows import Log, Metric, Row, Span, make_row

_FRAMES = tuple(
    (symbol,)
    for symbol in (
        *("next", "send", "throw", "cancel", "ack", "nack"),
        *("yield", "yield+", "return", "return+", "exception"),
    )
)  # of catena.wire.call_states, which stands higher: a test compares
_PROTOCOL = "1.0"  # of catena.wire.versions, which stands higher: a test compares

_PEERS = Metric(
    "catena.links",
    "gauge",
    "{link}",
    "Links that are up.",
    ("catena.version.local", "catena.version.remote"),
    zero=((_PROTOCOL, _PROTOCOL),),
)
_WORKERS = Metric(
    "catena.workers",
    "gauge",
    "{worker}",
    "Workers that this process started.",
    ("catena.state",),
    zero=(("running",), ("exited",)),
)
PROCESSES: tuple[Row, ...] = (
    make_row(
        events.Lease,
        Span("catena.proxy", "catena.proxy.lease"),
        Metric(
            "catena.proxy.leases",
            "counter",
            "{lease}",
            "Proxies that were leased to calls.",
            ("catena.source", "catena.outcome"),
            zero=(("fields", "built"), ("fields", "cached")),
        ),
        Metric(
            "catena.proxy.lease.active",
            "updown",
            "{lease}",
            "Leases that have not been released.",
            ("catena.source",),
            zero=(("fields",),),
        ),
        Metric(
            "catena.proxy.lease.duration",
            "histogram",
            "s",
            "How long leases lasted; one lease in sixteen is measured.",
            ("catena.source", "catena.outcome"),
            keeping="sampled",
            boundaries=SECONDS,
        ),
        Log("catena.proxy.leased", DEBUG, AUDIT),
        Log("catena.proxy.released", DEBUG, AUDIT),
        attributes=(
            *("catena.lease.id", "catena.proxy.id", "catena.proxy.source"),
            *("catena.proxy.cached", "catena.call.id", "catena.chain.id"),
        ),
    ),
    make_row(
        events.FrameDropped,
        Metric(
            "catena.frames.dropped",
            "counter",
            "{frame}",
            "Frames that arrived after their call had ended.",
            ("catena.kind",),
            zero=_FRAMES,
        ),
        Log("catena.frame.dropped", DEBUG, AUDIT),
        attributes=("catena.call.id", "catena.frame.kind"),
    ),
    make_row(
        events.LinkOpened,
        _PEERS,
        Log("catena.link.opened", INFO, LINK),
        attributes=("catena.peer.id", "catena.peer.version", "catena.protocol.version"),
    ),
    make_row(
        events.LinkClosed,
        _PEERS,
        Log("catena.link.closed", INFO, LINK),
        attributes=("catena.peer.id", "catena.protocol.version", "error.type", "exception.message"),
    ),
    make_row(
        events.PeerVersionRefused,
        Metric(
            "catena.version.refusals",
            "counter",
            "{refusal}",
            "Peers of another major version that were turned away.",
            ("catena.version.local", "catena.version.remote"),
            keeping="direct",
            zero=((_PROTOCOL, ""),),
        ),
        Log("catena.version.refused", WARNING, LINK),
        attributes=(
            *("catena.version.local", "catena.version.remote"),
            *("error.type", "exception.message"),
        ),
    ),
    make_row(
        events.WorkerStarted,
        _WORKERS,
        Log("catena.worker.started", INFO, POOL),
        attributes=("catena.worker.id", "process.pid"),
    ),
    make_row(
        events.WorkerExited,
        _WORKERS,
        Log("catena.worker.exited", INFO, POOL),
        attributes=("catena.worker.id", "process.pid", "catena.exit.code"),
    ),
    make_row(
        events.LoopTicked,
        Metric(
            "catena.worker.event_loop.lag",
            "histogram",
            "s",
            "How late the event loop's timer fired, in pools and in workers.",
            keeping="direct",
            boundaries=SECONDS,
        ),
    ),
)
