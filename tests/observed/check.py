"""What arrived, held against the catalog: names, kinds, attributes and labels, line by line.

Its one rule: nothing is kept of what arrived but how often each thing was seen.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Set as AbstractSet
from threading import Lock

from catena import events
from catena.collect import Recording
from catena.collect.reading import LogRecord, Point, Span
from catena.events.bus import Event
from catena.telemetry.catalog import CATALOG, DROPPED, metrics_of
from catena.telemetry.rows import AUDIT, AUDITED, Log, Metric, Row

__all__ = ["NEVER", "SOMETIMES", "Check"]

_ERROR = frozenset({"error.type", "exception.message"})
_SENT = frozenset(
    {
        "catena.worker.id",
        "catena.call.id",
        "catena.peer.version",
        "catena.protocol.version",
        "catena.proxy.source",
        "server.address",
    }
)
_TASKS = frozenset({"catena.owner.task", "catena.contender.task"})
_CALLS = frozenset({"catena.owner.call", "catena.contender.call"})

SOMETIMES: Mapping[type[Event], AbstractSet[str]] = {
    # Sent to nobody yet; from a context that holds no chain.
    events.Dispatch: _ERROR | _SENT | {"catena.chain.id", "catena.pending"},
    events.Execution: _ERROR
    | {"catena.chain.id", "catena.chain.parent_id", "catena.carrier", "catena.pending"},
    # A chain that was not forked has no parent, and a mount may bring nothing, or reset nothing. A
    # task of another engine belongs to no call.
    events.Mount: {
        *("catena.chain.parent_id", "catena.vars.set", "catena.vars.reset"),
        *("catena.call.id", "catena.frame.kind", "catena.frame.seq"),
    },
    events.Unmounted: {"catena.call.id"},
    # Outside of any call.
    events.TokenReset: {"catena.call.id"},
    # Threads without tasks, tasks that work for no call.
    events.ContentionRefused: {"exception.message"} | _TASKS | _CALLS,
    events.SerializationFailed: {"exception.message", "rpc.method", "catena.worker.id"},
    # Most peers lack nothing.
    events.LinkOpened: {"catena.peer.lacking"},
    # A link that ended in good order has no error.
    events.LinkClosed: _ERROR,
    # Only where a worker has died something follows.
    events.WorkerExited: {"catena.exit.follows"},
    events.FactoryDisplaced: {"exception.message"},
    events.EntryLost: {"exception.message"},
    events.PeerVersionRefused: {"exception.message"},
    # Who does not know the secret is refused without another reason.
    events.PeerAccessRefused: {"exception.message", "catena.refusal.reason"},
    # What is raised has no further consequence.
    events.CredentialsFailed: {"exception.message", "catena.credentials.follows"},
    events.Lease: {"catena.chain.id"},
    events.Submission: {"catena.chain.id"},
    events.EngineTask: {"catena.chain.id"},
    events.TaskSubmission: {"catena.chain.id"},
    # A task without a snapshot knows nothing of its submission.
    events.TaskRun: {
        *("catena.chain.id", "catena.chain.parent_id"),
        *("catena.snapshot.age", "catena.producer.version"),
    },
    events.SnapshotRefused: {"exception.message"},
}
"""Attributes that only some events of a class have; every other one is on each of them."""

_PENDING = "catena.pending"
NEVER = frozenset({"exception.message", _PENDING})
"""Told on request only, and nobody requests it in an observed run."""

_LABELS_LEFT_OUT = {"error.type"}
_MOST = {"rpc.method": 501, "error.type": 101}
_FEW = 20
_ID = re.compile(r"[0-9a-f]{16}|[0-9a-f]{8}-[0-9a-f]{4}-|\d{5}")
_INSTRUMENTS = {
    "counter": ("sum", True),
    "updown": ("sum", False),
    "gauge": ("gauge", False),
    "histogram": ("histogram", False),
}
_KINDS = {one: one.upper() for one in ("client", "server", "internal", "producer", "consumer")}


class Check:
    """Takes the lines that a receiver writes; ``rows`` stand for the catalog.

    ``examples`` has what the first one had that lacks something, by the text of the finding.
    """

    def __init__(self, rows: Iterable[Row] = CATALOG) -> None:
        self._rows = tuple(rows)
        self._logs = {log.name: (row, log) for row in self._rows for log in row.logs}
        self._metrics = {one.name: one for one in metrics_of(self._rows)}
        self._found: Counter[str] = Counter()
        self._seen: Counter[tuple[str, str]] = Counter()
        self._attributes: defaultdict[type[Event], set[str]] = defaultdict(set)
        self._values: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._lock = Lock()
        self.examples: dict[str, dict[str, object]] = {}

    def take(self, line: str) -> None:
        """Check one line."""
        arrived = Recording()
        arrived.add(line)
        with self._lock:
            for text in arrived.unread:
                self._found[f"no OTLP: {text[:80]}"] += 1
            for span in arrived.spans:
                self._span(span)
            for point in arrived.points:
                self._point(point)
            for record in arrived.logs:
                self._record(record)

    def findings(self) -> list[str]:
        """Return what arrived and is not in the catalog, or not as that says; how often each."""
        return [f"{text} ({times} times)" for text, times in sorted(self._found.items())]

    def untold(self) -> list[str]:
        """Return what the catalog promises and nobody told."""
        found: list[str] = []
        for row in self._rows:
            name = row.event.__name__
            if row.span is not None and not self._seen["span", name]:
                found.append(f"{name}: its span did not arrive")
            found += [
                f"{name}: the record {log.name} did not arrive"
                for log in row.logs
                if not self._seen["record", log.name]
            ]
            if row.span is not None or row.logs:
                missing = set(row.attributes) - self._attributes[row.event] - NEVER
                found += [f"{name}: {one} did not arrive" for one in sorted(missing)]
        found += [
            f"the metric {name} did not arrive or counted nothing"
            for name in self._metrics
            if not self._seen["metric", name]
        ]
        return found

    def summary(self) -> list[str]:
        """Return how often each thing arrived, a line for each."""
        return [f"{times:8} {kind} {name}" for (kind, name), times in sorted(self._seen.items())]

    def told(self, row: type[Event]) -> int:
        """Return how many spans and records told of an event."""
        logs = sum(
            self._seen["record", name] for name, (of, _) in self._logs.items() if of.event is row
        )
        return self._seen["span", row.__name__] + logs

    def _span(self, span: Span) -> None:
        if not _is_ours(span.origin.scope):
            return
        pending = _PENDING in span.attributes
        row = self._row_of(span)
        if row is None:
            self._found[f"the span {span.name} of {span.origin.scope} has no row"] += 1
            return
        self._seen["span", row.event.__name__] += 1
        self._hold(row, f"the span {row.event.__name__}", span.attributes, whole=not pending)
        if span.events:
            self._found[f"the span {row.event.__name__} has span events"] += 1
        if span.status_message:
            self._found[f"the span {row.event.__name__} has a message in its status"] += 1

    def _row_of(self, span: Span) -> Row | None:
        leaving = span.attributes.get("catena.mount.direction") == "out"
        pending = _PENDING in span.attributes
        for row in self._rows:
            its = row.span
            kinds = (_KINDS[its.kind], *["INTERNAL"] * pending) if its is not None else ()
            if its is None or its.scope != span.origin.scope or span.kind not in kinds:
                continue
            named = span.attributes.get("messaging.destination.name" if its.verb else "rpc.method")
            if (its.name or f"{its.verb} {named}".strip()) != span.name:
                continue
            if row.event not in (events.Mount, events.Unmounted):
                return row
            if (row.event is events.Unmounted) is leaving:
                return row
        return None

    def _record(self, record: LogRecord) -> None:
        scope = record.origin.scope
        if not _is_ours(scope):
            return
        known = self._logs.get(record.name)
        if known is None and scope == "catena" and not record.name:
            # A sentence for people, not an event.
            return
        if known is None:
            what = record.name or f"without a name, {str(record.body)[:80]!r},"
            self._found[f"the record {what} of {scope} has no row"] += 1
            return
        row, log = known
        self._seen["record", log.name] += 1
        if scope != log.logger or record.severity not in _severities(log):
            self._found[f"the record {log.name} came from {scope} as {record.severity_text}"] += 1
        beside = AUDITED if log.logger == AUDIT else ()
        attributes = {
            name: value
            for name, value in record.attributes.items()
            if name in row.attributes or name not in beside
        }
        self._hold(row, f"the record {log.name}", attributes, whole=True)

    def _hold(self, row: Row, what: str, attributes: Mapping[str, object], *, whole: bool) -> None:
        arrived = set(attributes)
        self._attributes[row.event] |= arrived
        for name in arrived - set(row.attributes):
            self._found[f"{what} has {name}, which its row does not promise"] += 1
        for name in arrived & NEVER:
            self._found[f"{what} has {name}, which nobody asked for"] += 1
        promised = set(row.attributes) - SOMETIMES.get(row.event, frozenset()) - NEVER
        if whole:
            for name in promised - arrived:
                self._found[f"{what} lacks {name}"] += 1
                self.examples.setdefault(f"{what} lacks {name}", dict(attributes))

    def _point(self, point: Point) -> None:
        if not _is_ours(point.origin.scope):
            return
        metric = self._metrics.get(point.name)
        if metric is None:
            self._found[f"the metric {point.name} has no row"] += 1
            return
        if point.value or point.count or not _counts(metric):
            self._seen["metric", point.name] += 1
        facts = (point.unit, point.description, (point.kind, point.monotonic))
        if facts != (metric.unit, metric.description, _INSTRUMENTS[metric.kind]):
            self._found[f"the metric {point.name} is {facts}"] += 1
        self._labels(metric, point.attributes)

    def _labels(self, metric: Metric, labels: Mapping[str, object]) -> None:
        what = f"the metric {metric.name}"
        for name in set(labels) - set(metric.labels):
            self._found[f"{what} has the label {name}, which its row does not list"] += 1
        for name in set(metric.labels) - set(labels) - _LABELS_LEFT_OUT:
            self._found[f"{what} lacks the label {name}"] += 1
        for name, value in labels.items():
            values = self._values[metric.name, name]
            values.add(str(value))
            if _ID.search(str(value)):
                self._found[f"{what} has an id in the label {name}: {value}"] += 1
            if len(values) == _MOST.get(name, _FEW) + 1:
                self._found[f"{what} has too many values of the label {name}"] += 1


def _counts(metric: Metric) -> bool:
    """Whether a point at zero says that nothing was told yet; nothing is to be dropped."""
    return metric.kind in ("counter", "histogram") and metric is not DROPPED


def _is_ours(scope: str) -> bool:
    return scope == "catena" or scope.startswith("catena.")


def _severities(log: Log) -> set[int]:
    """Return the numbers that OpenTelemetry has for the levels that a record may have."""
    numbers = {10: 5, 20: 9, 30: 13, 40: 17, 50: 21}
    return {numbers[one] for one in (log.level, log.unexpected) if one}
