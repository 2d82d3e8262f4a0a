"""Reading the lines back: spans, data points and log records as plain values.

It reads what a collector's file exporter writes as well. The rule: every field of an OTLP message
is an attribute of the same name. Ids are hex, attributes dicts, enums words such as CLIENT, and a
number that is not there is None; what is called otherwise is said where it is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.protobuf.message import Message

from catena.collect import otlp
from catena.collect.files import list_generations

__all__ = ["LogRecord", "Point", "Recording", "Span"]


class Span(SimpleNamespace):
    """A span, with ``status`` as a word, ``status_message``, and its ``origin``."""


class Point(SimpleNamespace):
    """A data point with its metric's ``name``, ``unit``, ``description``, and its ``origin``.

    ``kind`` is sum, gauge, histogram, exponential_histogram or summary.
    """


class LogRecord(SimpleNamespace):
    """A log record; ``name`` is its event's, ``severity`` a number; with its ``origin``."""


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
        for one in list_generations(path):
            with one.open(encoding="utf-8", errors="replace", newline="\n") as lines:
                for line in lines:
                    found.add(line)
        return found

    def add(self, line: str) -> None:
        """Take one line; blank ones are passed over."""
        if not line.strip():
            return
        try:
            requests = [otlp.from_json(signal, line) for signal in otlp.SIGNALS]
        except otlp.Malformed:
            self.unread.append(line.rstrip("\n"))
            return
        traces, metrics, logs = requests
        self.spans += (_read_span(*found) for found in otlp.iterate_items(traces))
        self.logs += (_read_record(*found) for found in otlp.iterate_items(logs))
        for resource, scope, metric in otlp.iterate_items(metrics):
            origin = _read_origin(resource, scope)
            self.points += (_read_point(metric, one, origin) for one in otlp.read_points(metric))

    def named(self, name: str) -> list[Span]:
        """Return the spans of one name."""
        return [one for one in self.spans if one.name == name]

    def metric(self, name: str) -> list[Point]:
        """Return the points of one metric."""
        return [one for one in self.points if one.name == name]


def _read_span(resource: Any, scope: Any, span: Any) -> Span:
    facts = _read_message(span)
    status = facts.pop("status")
    status = {"status": status.code, "status_message": status.message}
    return Span(**facts, **status, origin=_read_origin(resource, scope))


def _read_record(resource: Any, scope: Any, record: Any) -> LogRecord:
    return LogRecord(
        **_read_message(record),
        name=record.event_name,
        severity=record.severity_number,
        origin=_read_origin(resource, scope),
    )


def _read_point(metric: Any, point: Any, origin: SimpleNamespace) -> Point:
    kind = metric.WhichOneof("data")
    data = {"aggregation_temporality": "", "is_monotonic": False}
    data |= _read_message(getattr(metric, kind), without="data_points")
    facts = {"value": 0, "count": 0, "sum": None} | data | _read_message(point)
    return Point(
        **facts,
        kind=kind,
        name=metric.name,
        unit=metric.unit,
        description=metric.description,
        origin=origin,
    )


def _read_origin(resource: Any, scope: Any) -> SimpleNamespace:
    """Return the resource's attributes, the name and version of the scope, and its attributes."""
    return SimpleNamespace(
        resource=otlp.read_attributes(resource.attributes),
        scope=scope.name,
        version=scope.version,
        attributes=otlp.read_attributes(scope.attributes),
    )


def _read_message(message: Any, without: str = "") -> dict[str, Any]:
    """Return the fields of a message as plain values; ``value`` is the number of what has one."""
    fields = {
        one.name: _read_field(message, one)
        for one in message.DESCRIPTOR.fields
        if one.name != without
    }
    if "as_int" in fields:
        fields["value"] = otlp.read_number(message)
    return fields


def _read_field(message: Any, descriptor: Any) -> Any:
    value = getattr(message, descriptor.name)
    kind = descriptor.message_type and descriptor.message_type.name
    if kind == "KeyValue":
        return otlp.read_attributes(value)
    if kind == "AnyValue":
        return otlp.read_value(value)
    if isinstance(value, Message):
        return SimpleNamespace(**_read_message(value))
    if kind:
        return [SimpleNamespace(**_read_message(each)) for each in value]
    if descriptor.enum_type:
        return _read_enum(descriptor.enum_type.values_by_number, value)
    if descriptor.has_presence and not message.HasField(descriptor.name):
        return None
    return value.hex() if isinstance(value, bytes) else value


def _read_enum(names: Any, number: int) -> str:
    """Return an enum's word without its prefix, the number itself where there is none yet."""
    prefix, _, _ = names[0].name.rpartition("_")
    return names[number].name.removeprefix(f"{prefix}_") if number in names else str(number)
