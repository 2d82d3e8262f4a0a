"""Reading the lines back: spans, metric points and log records as plain values.

It reads what a collector's file exporter writes as well. The rule: what is not there is what OTLP
takes for not there, an empty text, a zero, an empty dict.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catena.collect.files import generations

__all__ = [
    "Exemplar",
    "Link",
    "LogRecord",
    "Origin",
    "Point",
    "Recording",
    "Span",
    "SpanEvent",
    "value",
]

KINDS: tuple[str, ...] = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES: tuple[str, ...] = ("UNSET", "OK", "ERROR")
TEMPORALITIES: tuple[str, ...] = ("UNSPECIFIED", "DELTA", "CUMULATIVE")

Attributes = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whose it is: the resource's attributes, the scope's name, version and attributes."""

    resource: Attributes
    scope: str
    version: str
    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanEvent:
    """An event of a span; times are Unix nanoseconds, here and below."""

    name: str
    time: int
    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A span's link; ids are hex, here and below."""

    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span; a root's ``parent_span_id`` is empty, ``kind`` is one of KINDS."""

    trace_id: str
    span_id: str
    parent_span_id: str
    trace_state: str
    flags: int
    name: str
    kind: str
    start: int
    end: int
    status: str
    status_message: str
    attributes: Attributes
    events: list[SpanEvent]
    links: list[Link]
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplar:
    """One measurement behind a point."""

    trace_id: str
    span_id: str
    value: float
    time: int
    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One data point of a metric; ``kind`` is sum, gauge, histogram, exponentialHistogram, summary.

    ``value`` is a sum's or gauge's; ``count``, ``sum``, ``bounds`` and ``counts`` a histogram's.
    """

    name: str
    kind: str
    unit: str
    description: str
    temporality: str
    monotonic: bool
    start: int
    time: int
    value: float
    count: int
    sum: float | None
    bounds: list[float]
    counts: list[int]
    attributes: Attributes
    exemplars: list[Exemplar]
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """A log record; ``body`` is whatever the application gave."""

    name: str
    time: int
    observed: int
    severity: int
    severity_text: str
    body: Any
    attributes: Attributes
    trace_id: str
    span_id: str
    origin: Origin


@dataclass(slots=True)
class Recording:
    """What a receiver wrote, in its order; ``add`` may be the sink of one.

    ``unread`` has the lines that are no OTLP: what a killed writer left behind.
    """

    spans: list[Span] = field(default_factory=list[Span])
    points: list[Point] = field(default_factory=list[Point])
    logs: list[LogRecord] = field(default_factory=list[LogRecord])
    unread: list[str] = field(default_factory=list[str])

    @classmethod
    def read(cls, path: Path | str) -> Recording:
        """Read a file and those that it was rotated into, the oldest first."""
        found = cls()
        for one in generations(path):
            with one.open(encoding="utf-8", errors="replace", newline="\n") as lines:
                for line in lines:
                    found.add(line)
        return found

    def add(self, line: str) -> None:
        """Take one line; blank ones are passed over."""
        if not line.strip():
            return
        try:
            whole: dict[str, Any] = json.loads(line)
            spans = list(_all(whole, "Spans", "spans", _span))
            logs = list(_all(whole, "Logs", "logRecords", _record))
            points = list(_all(whole, "Metrics", "metrics", _points))
        except (ValueError, AttributeError, TypeError, KeyError):
            self.unread.append(line.rstrip("\n"))
            return
        self.spans += spans
        self.logs += logs
        self.points += (point for metric in points for point in metric)

    def named(self, name: str) -> list[Span]:
        """Return the spans of one name."""
        return [one for one in self.spans if one.name == name]

    def metric(self, name: str) -> list[Point]:
        """Return the points of one metric."""
        return [one for one in self.points if one.name == name]


def value(any_value: dict[str, Any]) -> Any:  # noqa: PLR0911 - one for each kind
    """Return what an AnyValue in JSON says, None when it says nothing."""
    match any_value:
        case {"intValue": whole}:
            return int(whole)
        case {"doubleValue": number}:
            return float(number)
        case {"arrayValue": array}:
            return [value(each) for each in array.get("values", ())]
        case {"kvlistValue": pairs}:
            return _attributes(pairs.get("values", ()))
        case {"bytesValue": text}:
            return base64.b64decode(text)
        case {"stringValue": plain} | {"boolValue": plain}:
            return plain
        case _:
            return None


def _attributes(pairs: Iterable[dict[str, Any]]) -> Attributes:
    return {pair.get("key", ""): value(pair.get("value", {})) for pair in pairs}


def _all(
    whole: dict[str, Any], of: str, items: str, make: Callable[[dict[str, Any], Origin], Any]
) -> Iterator[Any]:
    for resource in whole.get(f"resource{of}", ()):
        named = _attributes(resource.get("resource", {}).get("attributes", ()))
        for inner in resource.get(f"scope{of}", ()):
            scope = inner.get("scope", {})
            origin = Origin(
                resource=named,
                scope=scope.get("name", ""),
                version=scope.get("version", ""),
                attributes=_attributes(scope.get("attributes", ())),
            )
            for item in inner.get(items, ()):
                yield make(item, origin)


def _span(item: dict[str, Any], origin: Origin) -> Span:
    status = item.get("status", {})
    return Span(
        **_ids(item),
        parent_span_id=item.get("parentSpanId", ""),
        trace_state=item.get("traceState", ""),
        flags=item.get("flags", 0),
        name=item.get("name", ""),
        kind=_word(KINDS, item.get("kind", 0)),
        start=int(item.get("startTimeUnixNano", 0)),
        end=int(item.get("endTimeUnixNano", 0)),
        status=_word(STATUSES, status.get("code", 0)),
        status_message=status.get("message", ""),
        attributes=_attributes(item.get("attributes", ())),
        events=[_event(one) for one in item.get("events", ())],
        links=[
            Link(**_ids(one), attributes=_attributes(one.get("attributes", ())))
            for one in item.get("links", ())
        ],
        origin=origin,
    )


def _event(item: dict[str, Any]) -> SpanEvent:
    return SpanEvent(
        name=item.get("name", ""),
        time=int(item.get("timeUnixNano", 0)),
        attributes=_attributes(item.get("attributes", ())),
    )


def _record(item: dict[str, Any], origin: Origin) -> LogRecord:
    return LogRecord(
        **_ids(item),
        name=item.get("eventName", ""),
        time=int(item.get("timeUnixNano", 0)),
        observed=int(item.get("observedTimeUnixNano", 0)),
        severity=item.get("severityNumber", 0),
        severity_text=item.get("severityText", ""),
        body=value(item.get("body", {})),
        attributes=_attributes(item.get("attributes", ())),
        origin=origin,
    )


def _points(item: dict[str, Any], origin: Origin) -> list[Point]:
    kinds = ("sum", "gauge", "histogram", "exponentialHistogram", "summary")
    kind = next((one for one in kinds if one in item), "")
    data = item.get(kind, {})
    return [
        Point(
            name=item.get("name", ""),
            kind=kind,
            unit=item.get("unit", ""),
            description=item.get("description", ""),
            temporality=_word(TEMPORALITIES, data.get("aggregationTemporality", 0)),
            monotonic=data.get("isMonotonic", False),
            start=int(point.get("startTimeUnixNano", 0)),
            time=int(point.get("timeUnixNano", 0)),
            value=_number(point),
            count=int(point.get("count", 0)),
            sum=float(point["sum"]) if "sum" in point else None,
            bounds=[float(one) for one in point.get("explicitBounds", ())],
            counts=[int(one) for one in point.get("bucketCounts", ())],
            attributes=_attributes(point.get("attributes", ())),
            exemplars=[_exemplar(one) for one in point.get("exemplars", ())],
            origin=origin,
        )
        for point in data.get("dataPoints", ())
    ]


def _exemplar(item: dict[str, Any]) -> Exemplar:
    return Exemplar(
        **_ids(item),
        value=_number(item),
        time=int(item.get("timeUnixNano", 0)),
        attributes=_attributes(item.get("filteredAttributes", ())),
    )


def _ids(item: dict[str, Any]) -> dict[str, str]:
    return {"trace_id": item.get("traceId", ""), "span_id": item.get("spanId", "")}


def _number(item: dict[str, Any]) -> float:
    return int(item["asInt"]) if "asInt" in item else float(item.get("asDouble", 0))


def _word(words: tuple[str, ...], number: int) -> str:
    """Return the word for an enum's number, the number itself where there is none yet."""
    return words[number] if 0 <= number < len(words) else str(number)
