"""OTLP requests for tests, in few words."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

DELTA, CUMULATIVE = 1, 2
TRACE, SPAN = bytes(range(16)), bytes(range(8))


def attributes(**values: Any) -> list[KeyValue]:
    """Attributes; a double underscore in a name stands for a dot."""
    return [
        KeyValue(key=name.replace("__", "."), value=any_value(value))
        for name, value in values.items()
    ]


def any_value(value: Any) -> AnyValue:  # noqa: PLR0911 - one for each kind
    """An AnyValue of a plain value."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            found = AnyValue()
            found.array_value.values.extend(any_value(one) for one in value)
            return found
        case dict():
            found = AnyValue()
            found.kvlist_value.values.extend(attributes(**value))
            return found
        case _:
            return AnyValue(string_value=value)


def traces(name: str = "work") -> ExportTraceServiceRequest:
    """A request with one span that has everything an id can stand in."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.extend(attributes(service__name="shop"))
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "catena.dispatch", "1"
    span = scope.spans.add(
        name=name, trace_id=TRACE, span_id=SPAN, parent_span_id=SPAN[::-1], kind=3
    )
    span.start_time_unix_nano, span.end_time_unix_nano = 2**60, 2**60 + 5
    span.status.code = 2
    span.attributes.extend(attributes(n=2**53 + 1, raw=b"\xff\x00", traceId="a word"))
    span.links.add(trace_id=TRACE[::-1], span_id=SPAN)
    span.events.add(name="seen", time_unix_nano=7)
    return request


def metrics(
    *found: Metric, instance: str = "one", service: str = "shop", **resource: Any
) -> ExportMetricsServiceRequest:
    """A request of one process."""
    request = ExportMetricsServiceRequest()
    each = request.resource_metrics.add()
    known = {"service__name": service, "service__instance__id": instance} | resource
    each.resource.attributes.extend(attributes(**{k: v for k, v in known.items() if v}))
    scope = each.scope_metrics.add()
    scope.scope.name, scope.scope.version = "catena.context", "1"
    scope.metrics.extend(found)
    return request


def counter(
    value: float,
    *,
    name: str = "catena.chain.contentions",
    unit: str = "{contention}",
    time: int = 1,
    temporality: int = CUMULATIVE,
    monotonic: bool = True,
    **labels: Any,
) -> Metric:
    """A sum with one point."""
    metric = Metric(name=name, unit=unit, description="How often.")
    metric.sum.aggregation_temporality = temporality
    metric.sum.is_monotonic = monotonic
    point = metric.sum.data_points.add(time_unix_nano=time)
    if isinstance(value, int):
        point.as_int = value
    else:
        point.as_double = value
    point.attributes.extend(attributes(**labels))
    return metric


def gauge(value: float, *, name: str = "catena.workers", unit: str = "", **labels: Any) -> Metric:
    """A gauge with one point."""
    metric = Metric(name=name, unit=unit)
    point = metric.gauge.data_points.add(time_unix_nano=1, as_double=value)
    point.attributes.extend(attributes(**labels))
    return metric


def histogram(
    counts: list[int],
    bounds: list[float],
    *,
    total: float | None = 1.5,
    time: int = 1,
    temporality: int = CUMULATIVE,
) -> Metric:
    """A histogram in seconds with one point."""
    metric = Metric(name="rpc.server.call.duration", unit="s")
    metric.histogram.aggregation_temporality = temporality
    point = metric.histogram.data_points.add(
        time_unix_nano=time, bucket_counts=counts, explicit_bounds=bounds, count=sum(counts)
    )
    if total is not None:
        point.sum = total
    return metric
