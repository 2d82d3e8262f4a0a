"""Reading the lines back: spans, data points and log records as plain values.

It reads what a collector's file exporter writes as well. The rule: every field of an OTLP message
is an attribute of the same name. Ids are hex, attributes are dicts, enums are words such as CLIENT,
and a number that is missing is None; the classes below document the exceptions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from catena.collect import otlp
from catena.collect.files import list_generations

_TEMPORALITIES = ("UNSPECIFIED", "DELTA", "CUMULATIVE")
_PLAIN = {"KeyValue": otlp.read_attributes, "AnyValue": otlp.read_value}
"""Messages that stand for plain values, and what reads them."""


class Span(SimpleNamespace):
    """A span; ``status`` is a word, ``status_message`` its text, ``origin`` what sent it."""


class Point(SimpleNamespace):
    """A data point with its metric's ``name``, ``unit`` and ``description``, and its ``origin``.

    ``kind`` is sum, gauge, histogram, exponential_histogram or summary; ``value`` a sum's or
    gauge's, ``count`` and ``sum`` a histogram's or summary's.
    """


class LogRecord(SimpleNamespace):
    """A log record; ``name`` is its event's, ``severity`` a number, ``origin`` what sent it."""


@dataclass(slots=True)
class Recording:
    """The telemetry that a receiver wrote, in its order; pass ``add`` to a receiver as ``out``.

    ``unread`` has the lines that are not OTLP, such as a part of one that a killed writer left.
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
        try:
            requests = [otlp.from_json(signal, line) for signal in otlp.SIGNALS if line.strip()]
        except otlp.Malformed:
            self.unread.append(line.rstrip("\n"))
            return
        for request in requests:
            for resource, scope, item in otlp.iterate_items(request):
                self._add_item(item, _read_origin(resource, scope))

    def named(self, name: str) -> list[Span]:
        """Return the spans of one name."""
        return [one for one in self.spans if one.name == name]

    def metric(self, name: str) -> list[Point]:
        """Return the points of one metric."""
        return [one for one in self.points if one.name == name]

    def _add_item(self, item: Any, origin: SimpleNamespace) -> None:
        match item.DESCRIPTOR.name:
            case "Span":
                facts = _read_fields(item)
                facts["status_message"] = facts["status"].message
                facts["status"] = facts["status"].code
                self.spans.append(Span(**facts, origin=origin))
            case "LogRecord":
                names = {"name": item.event_name, "severity": item.severity_number}
                self.logs.append(LogRecord(**_read_fields(item), **names, origin=origin))
            case _:
                for point in otlp.read_points(item):
                    self.points.append(_read_point(item, point, origin))


def _read_point(metric: Any, point: Any, origin: SimpleNamespace) -> Point:
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    facts = {"count": 0, "sum": None, "value": 0} | _read_fields(point)
    facts |= {name: getattr(metric, name) for name in ("name", "unit", "description")}
    temporality = _TEMPORALITIES[getattr(data, "aggregation_temporality", 0)]
    monotonic = getattr(data, "is_monotonic", False)
    return Point(**facts, kind=kind, temporality=temporality, monotonic=monotonic, origin=origin)


def _read_origin(resource: Any, scope: Any) -> SimpleNamespace:
    """Return the resource's attributes, the name and version of the scope, and its attributes."""
    return SimpleNamespace(
        resource=otlp.read_attributes(resource.attributes),
        scope=scope.name,
        version=scope.version,
        attributes=otlp.read_attributes(scope.attributes),
    )


def _read_fields(message: Any) -> dict[str, Any]:
    """Return the fields of a message as plain values; ``value`` is the number of what has one."""
    facts = {one.name: _read_field(message, one) for one in message.DESCRIPTOR.fields}
    return facts | ({"value": otlp.read_number(message)} if "as_int" in facts else {})


def _read_field(message: Any, field: Any) -> Any:
    value = getattr(message, field.name)
    kind = field.message_type.name if field.message_type else ""
    if kind in _PLAIN:
        return _PLAIN[kind](value)
    if kind and field.is_repeated:
        return [SimpleNamespace(**_read_fields(each)) for each in value]
    if kind:
        return SimpleNamespace(**_read_fields(value))
    if field.enum_type:
        return _read_enum(field.enum_type.values_by_number, value)
    if field.has_presence and not message.HasField(field.name):
        return None
    return value.hex() if isinstance(value, bytes) else value


def _read_enum(names: Any, number: int) -> str:
    """Return an enum's word without its prefix, the number itself where there is none yet."""
    prefix, _, _ = names[0].name.rpartition("_")
    return names[number].name.removeprefix(f"{prefix}_") if number in names else str(number)
