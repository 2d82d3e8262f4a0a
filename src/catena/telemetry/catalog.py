"""The catalog: one table with a row for each event of the core, and what each signal records of it.

Spans, metrics and logs are made from it; documentation, boards and tests are checked against it.
It is data and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

from catena import events
from catena.events.bus import Event
from catena.telemetry.catalog_chains import CHAINS
from catena.telemetry.catalog_peers import PROTOCOL, REFUSED
from catena.telemetry.catalog_pools import WORKERS
from catena.telemetry.catalog_tasks import TASKS
from catena.telemetry.rows import (
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

_NACKS = ("UNKNOWN", "UNLOADABLE", "DRAINING", "BUSY", "FORBIDDEN")
_CALL = ("rpc.system.name", "rpc.method", "error.type", "rpc.status_code")
_FRAMES = (
    *("next", "send", "throw", "cancel", "ack", "nack"),
    *("yield", "yield+", "return", "return+", "exception"),
)  # of catena.wire.call_states, which stands higher: a test compares

_PEERS = gauge(
    "catena.links",
    "{link}",
    "Links that are up.",
    {"catena.version.local": (PROTOCOL,), "catena.version.remote": (PROTOCOL,)},
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
        Log(
            "catena.call.dispatched",
            "%(call)s of routine %(rpc.method)s%(to_worker)s%(with_chain)s %(ended)s",
        ),
        attributes=(
            *("rpc.system.name", "rpc.method", "rpc.status_code", "catena.stream"),
            *("catena.worker.id", "catena.call.id", "catena.chain.id", "server.address"),
            *("catena.attempts", "catena.peer.version", "catena.protocol.version"),
            "catena.proxy.source",
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
        Log(
            "catena.call.executed",
            "%(call)s of routine %(rpc.method)s%(from_peer)s%(with_chain)s %(ended)s",
        ),
        attributes=(
            *("rpc.system.name", "rpc.method", "rpc.status_code", "catena.stream"),
            *("code.function.name", "server.address", "catena.worker.id", "catena.peer.id"),
            *("catena.call.id", "catena.chain.id", "catena.chain.parent_id"),
            *("catena.carrier", "catena.outcome", "catena.peer.version"),
            *("catena.pending", "catena.protocol.version", "error.type", "exception.message"),
            "catena.proxy.source",
        ),
    ),
    make_row(
        events.CallNacked,
        counter(
            "catena.calls.nacked",
            "{call}",
            "Calls that a worker refused.",
            {"catena.nack.code": _NACKS},
        ),
        Log(
            "catena.call.nacked",
            "worker %(catena.worker.id)s refused a call of routine %(rpc.method)s"
            " with the code %(catena.nack.code)s",
            INFO,
            POOL,
        ),
        fields={"rpc.method": "routine", "catena.worker.id": "worker", "catena.nack.code": "code"},
    ),
    make_row(
        events.CallRefused,
        counter(
            "catena.worker.calls.refused",
            "{call}",
            "Calls that this worker refused before they began.",
            {"catena.nack.code": _NACKS},
        ),
        Log(
            "catena.call.refused",
            "a call of routine %(rpc.method)s by %(catena.peer.id)s was refused here with the code"
            " %(catena.nack.code)s",
        ),
        fields={"rpc.method": "routine", "catena.peer.id": "peer", "catena.nack.code": "code"},
    ),
    make_row(
        events.CallRetried,
        counter(
            "catena.calls.retried",
            "{attempt}",
            "Further attempts of calls whose worker was lost.",
        ),
        Log(
            "catena.call.retried",
            "a call of routine %(rpc.method)s is made once more, as attempt %(catena.attempts)s,"
            " because worker %(catena.worker.id)s was lost",
            INFO,
            POOL,
        ),
        fields={
            "rpc.method": "routine",
            "catena.worker.id": "worker",
            "catena.attempts": "attempt",
        },
    ),
    make_row(
        events.CallWaited,
        counter(
            "catena.calls.waited",
            "{event}",
            "How often a call was found to have waited for a minute, once a minute at most.",
        ),
        Log(
            "catena.call.waited",
            "a call of routine %(rpc.method)s has waited for %(catena.wait.seconds).0f s, one of"
            " %(catena.wait.calls)s calls that wait: %(catena.wait.cause)s",
            WARNING,
            POOL,
            always=True,
        ),
        fields={
            "rpc.method": "routine",
            "catena.wait.seconds": "seconds",
            "catena.wait.calls": "calls",
            "catena.wait.cause": "cause",
        },
    ),
    *CHAINS,
    make_row(
        events.Lease,
        Span("catena.proxy", "catena.proxy.lease"),
        counter(
            "catena.proxy.leases",
            "{lease}",
            "Proxies that were leased to calls.",
            {"catena.source": ("chain", "fields"), "catena.outcome": ("built", "cached")},
        ),
        updown(
            "catena.proxy.lease.active",
            "{lease}",
            "Leases that have not been released, those whose call has ended among them.",
            {"catena.source": ("chain", "fields"), "catena.state": ("called", "outlived")},
        ),
        histogram(
            "catena.proxy.lease.duration",
            "s",
            "How long leases lasted; one lease in sixteen is measured.",
            "catena.source",
            "catena.outcome",
        ),
        Log(
            "catena.proxy.leased",
            "%(call)s of routine %(rpc.method)s%(from_peer)s leased proxy %(catena.proxy.id)s,"
            " which came %(proxy_path)s%(was_cached)s, as lease %(catena.lease.id)s",
        ),
        Log(
            "catena.proxy.released",
            "%(call)s of routine %(rpc.method)s%(from_peer)s released proxy %(catena.proxy.id)s,"
            " as lease %(catena.lease.id)s",
        ),
        fields={
            "catena.lease.id": "lease_id",
            "catena.proxy.id": "proxy_id",
            "catena.proxy.source": "source",
            "catena.proxy.cached": "cached",
            "catena.call.id": "call",
            "catena.chain.id": "chain_id",
            "rpc.method": "routine",
            "catena.peer.id": "caller",
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
        Log(
            "catena.frame.dropped",
            "a frame of the kind %(catena.frame.kind)s was dropped, because call %(catena.call.id)s"
            " is not open here",
        ),
        fields={"catena.call.id": "call", "catena.frame.kind": "kind"},
    ),
    make_row(
        events.LinkOpened,
        _PEERS,
        Log(
            "catena.link.opened",
            "the link%(to_peer)s is up, with version %(catena.peer.version)s and protocol"
            " %(catena.protocol.version)s there%(lacking)s",
            INFO,
            LINK,
        ),
        attributes=(
            "catena.peer.id",
            "catena.peer.version",
            "catena.protocol.version",
            "catena.peer.lacking",
        ),
    ),
    make_row(
        events.LinkClosed,
        _PEERS,
        Log(
            "catena.link.closed",
            "the link%(to_peer)s was closed%(because)s",
            INFO,
            LINK,
        ),
        fields={"catena.peer.id": "peer", "catena.protocol.version": "protocol"},
    ),
    *REFUSED,
    *WORKERS,
    *TASKS,
)

BY_EVENT: dict[type[Event], Row] = {one.event: one for one in CATALOG}
LOGS = {(log.logger, log.name) for one in CATALOG for log in one.logs}
"""Which logger writes which events."""


def metrics_of(rows: Iterable[Row] = CATALOG) -> list[Metric]:
    """Return every metric once, that of telemetry itself at the end."""
    by_name = {metric.name: metric for row in rows for metric in row.metrics}
    return [*by_name.values(), DROPPED]
