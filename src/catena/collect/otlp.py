"""OTLP, the protocol: its requests as bytes and as JSON, what they hold, and how they are refused.

The mapping of OTLP/JSON is protobuf's own, but for ids, which are hex; enums are numbers. A line is
ASCII, so no reader takes a character of it for the end of a line.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from catena.grpc_loading import grpc

SIGNALS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
"""The signals by their names, and the class of their requests."""

_ID_BYTES = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
_ID = re.compile(r'"(traceId|spanId|parentSpanId)"\s*:\s*"([^"]*)"')
"""An id in JSON text. Within a string every quote has a backslash, so users' words do not match."""


class Refused(Exception):
    """A request that is not taken, with the answers that OTLP prescribes over gRPC and HTTP.

    ``reason`` is the word under which it is counted.
    """

    reason, code, status = "malformed", grpc.StatusCode.INVALID_ARGUMENT, 400


class Malformed(Refused, ValueError):
    """The request is not what OTLP says it is."""


def from_bytes(signal: str, data: bytes) -> Any:
    """Return the request that protobuf bytes hold, or raise Malformed."""
    request = SIGNALS[signal]()
    try:
        request.ParseFromString(data)
    except DecodeError:
        raise Malformed(f"these bytes are no {type(request).__name__}") from None
    return request


def from_json(signal: str, data: bytes | str) -> Any:
    """Return the request that JSON holds, or raise Malformed; unknown fields are passed over."""
    request = SIGNALS[signal]()
    try:
        text = data.decode() if isinstance(data, bytes) else data
        # What is no object cannot be unpacked.
        whole = {**json.loads(_ID.sub(_from_hex, text))}
        ParseDict(whole, request, ignore_unknown_fields=True)
    except Malformed:
        raise
    except Exception as error:
        # The parser has no one class for what it does not like, and the body is anybody's.
        text = " ".join(str(error).split()) or type(error).__name__
        raise Malformed(f"this JSON is no {type(request).__name__}: {text:.200}") from None
    return request


def to_line(request: Any) -> str:
    """Return a request as one line of JSON, without its end; Malformed when an id has a bad length.

    The line is empty when the request holds nothing.
    """
    whole = MessageToDict(request, use_integers_for_enums=True)
    return _ID.sub(_to_hex, json.dumps(whole, separators=(",", ":"))) if whole else ""


def iterate_items(request: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the spans, metrics or log records, each after its resource and its scope."""
    # The fields are called otherwise in each signal, and stand in the same places.
    for by_resource in getattr(request, request.DESCRIPTOR.fields[0].name):
        for by_scope in getattr(by_resource, by_resource.DESCRIPTOR.fields[1].name):
            for item in getattr(by_scope, by_scope.DESCRIPTOR.fields[1].name):
                yield by_resource.resource, by_scope.scope, item


def count_items(request: Any) -> int:
    """Return how many spans, data points or log records a request holds."""
    items = [item for _, _, item in iterate_items(request)]
    if isinstance(request, SIGNALS["metrics"]):
        return sum(len(read_points(metric)) for metric in items)
    return len(items)


def read_points(metric: Any) -> Any:
    """Return the data points of a metric, whatever kind they are of."""
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()


def read_number(measurement: Any) -> float:
    """Return the value of a NumberDataPoint or an Exemplar, NaN when it has none."""
    kind = measurement.WhichOneof("value")
    return getattr(measurement, kind) if kind else math.nan


def read_value(any_value: Any) -> Any:
    """Return what an AnyValue holds as a plain value, None when it is empty."""
    match any_value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [read_value(each) for each in any_value.array_value.values]
        case "kvlist_value":
            return read_attributes(any_value.kvlist_value.values)
        case kind:
            return getattr(any_value, kind)


def read_attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    """Return attributes (OTLP's KeyValue) as a dict of plain values."""
    return {pair.key: read_value(pair.value) for pair in pairs}


def _to_hex(found: re.Match[str]) -> str:
    return _write_id(found[1], base64.b64decode(found[2]), bytes.hex)


def _from_hex(found: re.Match[str]) -> str:
    try:
        value = binascii.unhexlify(found[2])
    except ValueError:
        raise Malformed(f"a {found[1]} is not {2 * _ID_BYTES[found[1]]} hex digits") from None
    return _write_id(found[1], value, lambda value: base64.b64encode(value).decode())


def _write_id(key: str, value: bytes, encode: Callable[[bytes], str]) -> str:
    if len(value) not in (0, _ID_BYTES[key]):
        raise Malformed(f"a {key} has {len(value)} bytes and not {_ID_BYTES[key]}")
    return f'"{key}":"{encode(value)}"'
