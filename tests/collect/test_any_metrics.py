"""Whatever metrics arrive, the page stays one that a scraper can read."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from catena.collect.registry import Limits, Registry
from tests.collect.messages import TRACE, attributes, metrics
from tests.laws.law import Seen, law

NAMES = ["a", "a.total", "a.count", "a.bucket", "a.info", "a.sum", "b", "1", "a b", "é", "target"]
NUMBERS = [0.0, 1.0, -1.0, 0.5, 2.0**70, 1e300, math.inf, -math.inf, math.nan]
BOUNDS = [[], [0.0], [-1.0, 1.0], [1e-9, 1e6, 123456789.5, 1e22], [math.inf], [2.0, 1.0]]
LABELS: list[dict[str, Any]] = [{}, {"le": "x"}, {"quantile": "y"}, {"job": "z"}, {"w": 'q"\\\n'}]

numbers = st.sampled_from(NUMBERS)


def _sum(monotonic: bool, temporality: int, value: float) -> Metric:
    metric = Metric()
    metric.sum.is_monotonic, metric.sum.aggregation_temporality = monotonic, temporality  # type: ignore[assignment]
    metric.sum.data_points.add(as_double=value)
    return metric


def _gauge(value: float) -> Metric:
    metric = Metric()
    metric.gauge.data_points.add(as_double=value)
    return metric


def _histogram(buckets: int, bounds: list[float], total: float, temporality: int) -> Metric:
    metric = Metric()
    metric.histogram.aggregation_temporality = temporality  # type: ignore[assignment]
    metric.histogram.data_points.add(
        bucket_counts=[1] * buckets, explicit_bounds=bounds, count=buckets, sum=total
    )
    return metric


def _exponential(scale: int, offset: int, zero: float, temporality: int) -> Metric:
    metric = Metric()
    metric.exponential_histogram.aggregation_temporality = temporality  # type: ignore[assignment]
    point = metric.exponential_histogram.data_points.add(
        scale=scale, zero_threshold=zero, zero_count=1, count=9, sum=zero
    )
    for side, at in ((point.positive, offset), (point.negative, -offset)):
        side.offset = at
        side.bucket_counts.extend([1, 0, 2] if at else [])
    return metric


def _summary(quantile: float, value: float, total: float) -> Metric:
    metric = Metric()
    point = metric.summary.data_points.add(count=1, sum=total)
    point.quantile_values.add(quantile=quantile, value=value)
    return metric


shapes = st.one_of(
    st.builds(_sum, st.booleans(), st.integers(0, 2), numbers),
    st.builds(_gauge, numbers),
    st.builds(_histogram, st.integers(0, 5), st.sampled_from(BOUNDS), numbers, st.integers(1, 2)),
    st.builds(
        _exponential,
        st.sampled_from([0, 1, 20, -10, 21]),
        st.sampled_from([0, 1, -1074, 2**31 - 8]),
        numbers,
        st.integers(1, 2),
    ),
    st.builds(_summary, numbers, numbers, numbers),
)


@st.composite
def points(draw: st.DrawFn) -> tuple[Metric, str]:
    """A metric with one point, and whose it is."""
    metric = draw(shapes)
    metric.name, metric.unit = draw(st.sampled_from(NAMES)), draw(st.sampled_from(["", "1", "s"]))
    metric.description = draw(st.sampled_from(["", 'a "b"\\\n']))
    (point,) = getattr(metric, str(metric.WhichOneof("data"))).data_points
    point.time_unix_nano = draw(st.integers(0, 3))
    point.flags = draw(st.sampled_from([0, 0, 0, 1]))
    point.attributes.extend(attributes(**draw(st.sampled_from(LABELS))))
    if hasattr(point, "exemplars"):
        point.exemplars.add(as_double=draw(numbers), trace_id=TRACE)
    return metric, draw(st.sampled_from(["x", "y", ""]))


@law(
    st.lists(points(), min_size=1, max_size=12),
    examples=300,
    floors={
        **dict.fromkeys(("counter", "gauge", "histogram", "summary"), 20),
        **dict.fromkeys(("name", "type", "point", "temporality"), 20),
        "exemplar": 20,
        "exponential": 20,
    },
)
def test_whatever_arrives_the_text_can_be_parsed(
    seen: Seen, arrived: list[tuple[Metric, str]]
) -> None:
    """Any mixture of names, kinds, units, labels and values leaves a text that can be read."""
    registry = Registry(Limits())
    for metric, instance in arrived:
        registry.take_request(metrics(metric, instance=instance))
    text = registry.render_page(openmetrics=True).decode()
    found = [
        family
        for family in text_string_to_metric_families(text)
        if not family.name.startswith("catena_collect")
    ]

    assert text.endswith("# EOF\n")
    seen.update(family.type for family in found)
    seen.update(name for name, count in registry.dropped.items() if count)
    seen["exponential"] += any(metric.HasField("exponential_histogram") for metric, _ in arrived)
    seen["exemplar"] += any(one.exemplar for family in found for one in family.samples)
