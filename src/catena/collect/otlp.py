"""OTLP requests as bytes, as JSON, and as the lines of a collector's file exporter.

The mapping of OTLP/JSON is protobuf's own, but for ids, which are hex; enums are numbers. A line is
ASCII, so no reader takes a character of it for the end of a line.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["SIGNALS", "Malformed", "Signal", "from_bytes", "from_json", "line"]

_IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
"""Fields that hold an id, and its bytes. Users' words are never keys of the mapping."""


class Malformed(ValueError):
    """The request is not what OTLP says it is."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One of the three: its name in paths, gRPC's method, its message, how to count its items."""

    name: str
    method: str
    request: Callable[[], Any]
    count: Callable[[Any], int]


def from_bytes(signal: Signal, data: bytes) -> Any:
    """Return the request that protobuf bytes hold, or raise Malformed."""
    request = signal.request()
    try:
        request.ParseFromString(data)
    except DecodeError:
        raise Malformed(f"these bytes are no {type(request).__name__}") from None
    return request


def from_json(signal: Signal, data: bytes) -> Any:
    """Return the request that JSON holds, or raise Malformed; unknown fields are passed over."""
    request = signal.request()
    try:
        whole: Any = json.loads(data)
        if not isinstance(whole, dict):
            raise TypeError("it is no object")  # noqa: TRY301 - one handler makes one error
        _each_id(whole, _from_hex)
        ParseDict(cast("dict[str, Any]", whole), request, ignore_unknown_fields=True)
    except Malformed:
        raise
    except Exception as error:
        # The parser has no one class for what it does not like, and the body is anybody's.
        raise Malformed(f"this JSON is no {type(request).__name__}: {_short(error)}") from None
    return request


def line(request: Any) -> str:
    """Return a request as one line of JSON, without its end; Malformed when an id has a bad length.

    The line is empty when the request holds nothing.
    """
    whole = MessageToDict(request, use_integers_for_enums=True)
    _each_id(whole, _to_hex)
    return json.dumps(whole, separators=(",", ":")) if whole else ""


def _each_id(node: Any, change: Callable[[str, Any], str]) -> None:
    """Replace every id below ``node`` by what ``change`` makes of its key and value."""
    todo: list[Any] = [node]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            fields = cast("dict[str, Any]", node)
            _change(fields, change)
            todo += fields.values()
        elif isinstance(node, list):
            todo += cast("list[Any]", node)


def _change(fields: dict[str, Any], change: Callable[[str, Any], str]) -> None:
    for key in _IDS.keys() & fields.keys():
        fields[key] = change(key, fields[key])


def _to_hex(key: str, value: str) -> str:
    return _checked(key, base64.b64decode(value)).hex()


def _from_hex(key: str, value: Any) -> str:
    if value is None:
        return ""  # null is the default, as everywhere in this mapping
    try:
        return base64.b64encode(_checked(key, binascii.unhexlify(value))).decode()
    except (ValueError, TypeError):
        raise Malformed(f"a {key} is not {2 * _IDS[key]} hex digits") from None


def _checked(key: str, value: bytes) -> bytes:
    if len(value) not in (0, _IDS[key]):
        raise Malformed(f"a {key} has {len(value)} bytes and not {_IDS[key]}")
    return value


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}…"


def _spans(request: ExportTraceServiceRequest) -> int:
    return sum(len(of.spans) for each in request.resource_spans for of in each.scope_spans)


def _records(request: ExportLogsServiceRequest) -> int:
    return sum(len(of.log_records) for each in request.resource_logs for of in each.scope_logs)


def _points(request: ExportMetricsServiceRequest) -> int:
    metrics = (
        metric
        for each in request.resource_metrics
        for of in each.scope_metrics
        for metric in of.metrics
    )
    kinds = ((metric, metric.WhichOneof("data")) for metric in metrics)
    return sum(len(getattr(metric, kind).data_points) for metric, kind in kinds if kind)


SIGNALS = {
    name: Signal(name, f"/opentelemetry.proto.collector.{service}/Export", request, count)
    for name, service, request, count in (
        ("traces", "trace.v1.TraceService", ExportTraceServiceRequest, _spans),
        ("metrics", "metrics.v1.MetricsService", ExportMetricsServiceRequest, _points),
        ("logs", "logs.v1.LogsService", ExportLogsServiceRequest, _records),
    )
}
"""The signals by their names."""
