"""Exponential histograms on the page: what is shown of values, held against the values."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from catena.collect import receiving
from catena.collect.registry import Limits, Registry
from tests.collect.exporting import exporters
from tests.collect.messages import CUMULATIVE, DELTA, SPAN, TRACE, histogram, metrics
from tests.collect.test_registry import samples, taken
from tests.laws.law import Seen, law
from tests.scraping import NEEDS_PROMETHEUS, scraping

NAME = "rpc_server_call_duration_seconds"

values = st.one_of(
    st.integers(-10_000, 10_000).map(lambda one: one / 7000),
    st.integers(-60, 60).map(lambda one: 2.0**one),
    st.sampled_from([0.0, 1e-300, 1e300]),
)


def buckets(registry: Registry) -> dict[float, float]:
    """Return how many values are at most as large as each bound that is shown."""
    found = (one for one in samples(registry) if one.name.endswith("_bucket"))
    return {float(one.labels["le"]): one.value for one in found}


def point(
    positive: list[int] | None = None,
    *,
    offset: int = 0,
    scale: int = 0,
    time: int = 1,
    temporality: int = CUMULATIVE,
    **more: Any,
) -> Metric:
    """A metric with one point; ``count`` is what the buckets hold unless it is given."""
    metric = Metric(name="rpc.server.call.duration", unit="s")
    metric.exponential_histogram.aggregation_temporality = temporality  # type: ignore[assignment]
    counts = positive or []
    facts = {"count": sum(counts) + more.get("zero_count", 0), "sum": 1.5} | more
    data = metric.exponential_histogram.data_points.add(scale=scale, time_unix_nano=time, **facts)
    data.positive.offset = offset
    data.positive.bucket_counts.extend(counts)
    return metric


def sent(batch: list[float], scale: int, time: int, temporality: int) -> Metric:
    """Return what a sender says of values, at this scale or one that needs few enough buckets."""

    def indexes(signed: list[float]) -> list[int]:
        return [math.ceil(math.ldexp(math.log2(one), scale)) - 1 for one in signed]

    signs = [one for one in batch if one > 0], [-one for one in batch if one < 0]
    while any(max(found) - min(found) >= 160 for found in map(indexes, signs) if found):
        scale -= 1
    metric = point(scale=scale, time=time, temporality=temporality, count=len(batch))
    (data,) = metric.exponential_histogram.data_points
    data.zero_count, data.sum = batch.count(0.0), math.fsum(batch)
    for side, signed in zip((data.positive, data.negative), signs, strict=True):
        found = indexes(signed)
        if found:
            side.offset = min(found)
            counts = [found.count(index) for index in range(min(found), max(found) + 1)]
            side.bucket_counts.extend(counts)
    return metric


@law(
    st.lists(
        st.tuples(st.lists(values, max_size=20), st.sampled_from([20, 3, 1, 0, -2])),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([CUMULATIVE, DELTA]),
    examples=300,
    floors=dict.fromkeys(("delta", "fine", "coarse", "zero", "negative", "wide", "rescaled"), 20),
)
def test_a_bucket_holds_the_values_up_to_its_bound(
    seen: Seen, batches: list[tuple[list[float], int]], temporality: int
) -> None:
    """Every bound that is shown counts exactly the values that are not above it."""
    recorded: list[float] = []
    registry = Registry(Limits())
    for time, (batch, scale) in enumerate(batches, 1):
        recorded += batch
        shown = batch if temporality == DELTA else recorded
        registry.take_request(metrics(sent(shown, scale, time, temporality)))

    found = buckets(registry)
    # The buckets of negative values end where those of positive ones begin.
    below = {end: sum(one < end or (end >= 0 and one == end) for one in recorded) for end in found}
    assert found == below
    assert len(found) <= 2 * 160 + 3
    assert registry.dropped["point"] == 0
    totals = [one.value for one in samples(registry) if one.name.endswith("_sum")]
    assert totals == [pytest.approx(math.fsum(recorded))] * (min(found) >= 0)
    seen["delta"] += temporality == DELTA and len(batches) > 1
    seen["zero"] += 0.0 in recorded
    seen["negative"] += min(found) < 0
    seen["rescaled"] += len({scale for _, scale in batches if scale <= 1}) > 1
    steps = [b / a for a, b in pairwise(found) if a > 0 and b < math.inf]
    seen["fine"] += any(step < 1.5 for step in steps)
    seen["coarse"] += any(step > 3 for step in steps)
    seen["wide"] += max(recorded, default=0) > 1e20


def test_bounds_remain_when_the_sender_changes_its_scale() -> None:
    """What a scraper has seen stays: a finer scale is merged at once, a coarser one at the same."""
    registry = taken(metrics(point([1, 2], offset=-8, scale=3, time=1)))
    before = set(buckets(registry))
    registry.take_request(metrics(point([3, 1], offset=-2, scale=1, time=2)))

    assert buckets(registry) == {0.0: 0, 0.5: 0, 2**-0.5: 3, 1.0: 4, math.inf: 4}
    assert before <= set(buckets(registry))


def test_deltas_of_different_scales_are_summed_up() -> None:
    """At the coarser of the two; the sums as well."""
    registry = taken(
        *(
            metrics(point([1] * 4, scale=scale, time=time, temporality=DELTA, zero_count=1))
            for time, scale in ((1, 1), (2, 0), (2, 0))
        )
    )

    # Four half steps are two doublings.
    assert buckets(registry) == {0: 2, 1: 2, 2: 5, 4: 8, 8: 9, 16: 10, math.inf: 10}
    assert [one.value for one in samples(registry) if one.name == f"{NAME}_sum"] == [3.0]


def test_negative_values_have_buckets_and_no_sum() -> None:
    """OpenMetrics has no sum that can fall; what counts as zero lies between."""
    metric = point([4], zero_count=1, zero_threshold=0.25, count=8)
    (data,) = metric.exponential_histogram.data_points
    data.negative.offset = 1
    data.negative.bucket_counts.extend([1, 2])
    registry = taken(metrics(metric))

    assert buckets(registry) == {-4: 2, -2: 3, 0.25: 4, 1: 4, 2: 8, math.inf: 8}
    assert {one.name for one in samples(registry)} == {f"{NAME}_bucket"}


def test_an_exemplar_stands_at_its_bucket() -> None:
    """It leads from the bucket of its value to the span."""
    metric = point([1, 1])
    (data,) = metric.exponential_histogram.data_points
    data.exemplars.add(as_double=1.9, trace_id=TRACE, span_id=SPAN, time_unix_nano=1)
    found = [one for one in samples(taken(metrics(metric))) if one.exemplar]

    assert [(one.labels["le"], one.exemplar.value) for one in found if one.exemplar] == [
        ("2.0", 1.9)
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"scale": 21},
        {"scale": -11},
        {"count": 1},
        {"zero_threshold": -1.0},
        {"zero_threshold": math.nan},
        {"zero_threshold": math.inf},
    ],
)
def test_numbers_that_fit_no_buckets_are_dropped(more: dict[str, Any]) -> None:
    """Bad input: a scale that nobody has, more values in the buckets than in all, a bad zero."""
    registry = taken(metrics(point([1, 1], **more)))

    assert samples(registry) == []
    assert registry.dropped["point"] == 1


@pytest.mark.parametrize("offset", [-(2**31), 2**31 - 3, 1100, -1200])
def test_buckets_beyond_all_numbers_are_no_bounds(offset: int) -> None:
    """Bad input: what is larger than any number is in the last bucket, what is smaller is zero."""
    found = buckets(taken(metrics(point([1, 2], offset=offset))))

    assert all(math.isfinite(end) for end in list(found)[:-1])
    assert found[math.inf] == 3
    assert found[0.0] == (3 if offset < 0 else 0)


def test_a_process_may_come_back_with_the_other_sort() -> None:
    """Explicit buckets after exponential ones, and the other way: one family, begun anew."""
    registry = taken(
        metrics(point([1, 1], time=1)), metrics(histogram([1, 2], [5.0], time=2, total=None))
    )
    assert buckets(registry) == {5.0: 1, math.inf: 3}

    registry.take_request(metrics(point([7], time=3)))
    assert buckets(registry) == {0: 0, 1: 0, 2: 7, math.inf: 7}


@NEEDS_PROMETHEUS
def test_prometheus_answers_a_quantile(tmp_path: Path) -> None:
    """A real SDK, exporter and server: the median of a thousand values is nearly theirs."""
    with receiving(metrics="127.0.0.1:0") as receiver:
        reader = PeriodicExportingMetricReader(exporters(receiver, "grpc")[1])
        view = View(instrument_name="*", aggregation=ExponentialBucketHistogramAggregation())
        provider = MeterProvider([reader], views=[view])
        waited = provider.get_meter("tests").create_histogram("waited", "s")
        for one in range(1000):
            waited.record(0.001 * (one + 1))
        provider.shutdown()
        with scraping(receiver.metrics_address or "", tmp_path) as prometheus:
            query = "histogram_quantile(0.5, waited_seconds_bucket)"
            (found,) = prometheus.until_found("query", query=query)

    assert float(found["value"][1]) == pytest.approx(0.5, rel=0.1)
