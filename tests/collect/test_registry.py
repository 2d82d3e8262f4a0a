"""What a scraper is shown: read back by Prometheus' own parser of OpenMetrics."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as plain_families
from prometheus_client.samples import Sample

from catena.collect.registry import REASONS, Limits, Registry
from tests.collect.messages import (
    DELTA,
    SPAN,
    TRACE,
    attributes,
    counter,
    gauge,
    histogram,
    metrics,
)

CONTENTIONS = "catena_chain_contentions_total"


def shown(registry: Registry) -> str:
    """What the registry shows as OpenMetrics."""
    return registry.render_page(openmetrics=True).decode()


def samples(registry: Registry, *, own: bool = False) -> list[Sample]:
    """What a parser finds; a text that it does not take is an error."""
    found = text_string_to_metric_families(shown(registry))
    return [
        one
        for family in found
        for one in family.samples
        if own or not one.name.startswith(("catena_collect", "target"))
    ]


def values(registry: Registry, name: str, label: str = "instance") -> dict[str, float]:
    """The values of one name by one label."""
    return {one.labels[label]: one.value for one in samples(registry) if one.name == name}


def taken(*requests: Any) -> Registry:
    """A registry that took these requests."""
    registry = Registry(Limits())
    for each in requests:
        registry.take_request(each)
    return registry


def test_a_series_has_job_instance_and_scope() -> None:
    """Labels are those of Prometheus' OTLP translation."""
    registry = taken(metrics(counter(3, kind="thread"), service__namespace="europe"))

    (sample,) = samples(registry)
    assert (sample.name, sample.value) == (CONTENTIONS, 3)
    assert sample.labels == {
        "job": "europe/shop",
        "instance": "one",
        "kind": "thread",
        "otel_scope_name": "catena.context",
        "otel_scope_version": "1",
    }


def test_a_colon_stays_in_a_name() -> None:
    """Prometheus allows colons, and they are as they came in either format."""
    registry = taken(metrics(gauge(3, name="rule:of.mine")))

    assert values(registry, "rule:of_mine") == {"one": 3}
    assert b"\nrule:of_mine{" in registry.render_page(openmetrics=False)


def test_what_a_process_says_of_itself_is_target_info() -> None:
    """The rest of the resource stands in one series of its own."""
    registry = taken(metrics(counter(1), host__name="h1", process__pid=7))

    (info,) = (one for one in samples(registry, own=True) if one.name == "target_info")
    assert info.labels == {"job": "shop", "instance": "one", "host_name": "h1", "process_pid": "7"}


def test_two_instances_stand_apart() -> None:
    """Each process has its own series, of one family."""
    registry = taken(metrics(counter(3)), metrics(counter(5), instance="two"))

    assert values(registry, CONTENTIONS) == {"one": 3, "two": 5}


def test_a_process_without_an_id_goes_by_host_and_pid() -> None:
    """Two processes without ids are not one."""
    registry = taken(
        *(metrics(counter(n), instance="", host__name="h", process__pid=n) for n in (1, 2))
    )

    assert values(registry, CONTENTIONS) == {"h:1": 1, "h:2": 2}


def test_cumulative_values_replace_each_other() -> None:
    """The newest value stands, and one that arrives late changes nothing."""
    registry = taken(*(metrics(counter(n, time=t)) for n, t in ((3, 10), (7, 20), (3, 10))))

    assert values(registry, CONTENTIONS) == {"one": 7}


@pytest.mark.parametrize("monotonic", [True, False])
def test_deltas_are_summed_up(monotonic: bool) -> None:
    """A delta is added once, however often it is sent."""
    registry = taken(
        *(
            metrics(counter(n, time=t, temporality=DELTA, monotonic=monotonic))
            for n, t in ((3, 10), (4, 20), (4, 20), (5, 30))
        )
    )

    (sample,) = samples(registry)
    assert sample.value == 12


def test_a_histogram_is_cumulative_over_its_buckets() -> None:
    """Buckets count what is at most their bound; the last is the count."""
    registry = taken(metrics(histogram([1, 2, 3], [0.1, 1e6])))

    found = {(one.name.rpartition("_")[2], one.labels.get("le")): one for one in samples(registry)}
    assert {key: one.value for key, one in found.items()} == {
        ("bucket", "0.1"): 1,
        ("bucket", "1e+06"): 3,
        ("bucket", "+Inf"): 6,
        ("count", None): 6,
        ("sum", None): 1.5,
    }
    assert "# UNIT rpc_server_call_duration_seconds seconds\n" in shown(registry)


def test_deltas_of_histograms_are_summed_up() -> None:
    """Bucket by bucket, and the sums."""
    registry = taken(
        *(metrics(histogram([1, 2], [5.0], time=t, temporality=DELTA)) for t in (1, 2, 2))
    )

    assert {one.labels.get("le", one.name[-3:]): one.value for one in samples(registry)} == {
        "5.0": 2,
        "+Inf": 6,
        "unt": 6,
        "sum": 3.0,
    }


def test_other_bounds_begin_anew() -> None:
    """A process that comes back with other buckets is not added to the old ones."""
    registry = taken(
        metrics(histogram([1, 2], [5.0], time=1, temporality=DELTA)),
        metrics(histogram([1], [], time=2, temporality=DELTA)),
    )

    assert [one.value for one in samples(registry) if one.name.endswith("bucket")] == [1]


def test_exemplars_point_at_spans() -> None:
    """A counter has its newest exemplar, a bucket the newest that fell into it."""
    counted = counter(2)
    for time, value in ((5, 1), (9, 2)):
        counted.sum.data_points[0].exemplars.add(
            trace_id=TRACE, span_id=SPAN, as_int=value, time_unix_nano=time * 10**9
        )
    timed = histogram([1, 1, 1], [0.1, 1.0])
    for value in (0.1, 7.0):
        timed.histogram.data_points[0].exemplars.add(
            trace_id=TRACE, span_id=SPAN, as_double=value, time_unix_nano=10**9
        )
    found = [one for one in samples(taken(metrics(counted, timed))) if one.exemplar]

    ids = {"trace_id": TRACE.hex(), "span_id": SPAN.hex()}
    assert all(one.exemplar and one.exemplar.labels == ids for one in found)
    assert {one.labels.get("le"): one.exemplar and one.exemplar.value for one in found} == {
        None: 2,
        "0.1": 0.1,
        "+Inf": 7.0,
    }
    assert [float(one.exemplar.timestamp) for one in found if one.exemplar] == [9, 1, 1]


def test_an_exemplar_stays_when_the_next_export_has_none() -> None:
    """SDKs send an exemplar once; a scraper that comes later still finds it."""
    first = counter(1, time=1)
    first.sum.data_points[0].exemplars.add(trace_id=TRACE, span_id=SPAN, as_int=1)

    (sample,) = samples(taken(metrics(first), metrics(counter(2, time=2))))
    assert sample.value == 2
    assert sample.exemplar


@pytest.mark.parametrize(("length", "labels"), [(5, 3), (200, 2)])
def test_an_exemplars_attributes_are_shown_when_they_fit(length: int, labels: int) -> None:
    """OpenMetrics allows 128 characters; ids go before the rest."""
    metric = counter(1)
    exemplar = metric.sum.data_points[0].exemplars.add(trace_id=TRACE, span_id=SPAN, as_int=1)
    exemplar.filtered_attributes.extend(attributes(word="x" * length))

    (sample,) = samples(taken(metrics(metric)))
    assert sample.exemplar
    assert len(sample.exemplar.labels) == labels


def test_a_silent_process_goes_after_five_minutes() -> None:
    """By the clock that was handed in; one that still speaks stays."""
    now = [0.0]
    registry = Registry(Limits(), clock=lambda: now[0])
    registry.take_request(metrics(counter(1), histogram([1], [])))
    now[0] = 299
    registry.take_request(metrics(counter(2), instance="two"))
    assert values(registry, CONTENTIONS) == {"one": 1, "two": 2}

    now[0] = 301
    assert values(registry, CONTENTIONS) == {"two": 2}
    assert 'instance="one"' not in shown(registry)

    now[0] = 1000
    assert samples(registry) == []
    registry.take_request(metrics(gauge(4, name="catena.chain.contentions.total")))
    assert values(registry, CONTENTIONS) == {"one": 4}


def test_a_series_that_its_process_ended_goes() -> None:
    """A point without a recorded value takes its series away."""
    ended = counter(0, time=2)
    ended.sum.data_points[0].flags = 1

    assert samples(taken(metrics(counter(1)), metrics(ended))) == []


def test_a_summary_is_shown() -> None:
    """Quantiles of older libraries come through."""
    metric = Metric(name="old")
    point = metric.summary.data_points.add(count=3, sum=6.0, time_unix_nano=1)
    point.quantile_values.add(quantile=0.5, value=2.0)

    found = {one.name: one.value for one in samples(taken(metrics(metric)))}
    assert found == {"old": 2.0, "old_count": 3, "old_sum": 6.0}


def _no_temporality() -> Metric:
    return counter(1, temporality=0)


def _exponential() -> Metric:
    metric = Metric(name="exp")
    metric.exponential_histogram.data_points.add(count=1)
    return metric


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_no_temporality, "temporality"),
        (_exponential, "temporality"),
        (lambda: counter(-1), "point"),
        (lambda: counter(math.nan), "point"),
        (lambda: histogram([1, 2], [1.0, 2.0]), "point"),
        (lambda: histogram([1, 2, 3], [2.0, 1.0]), "point"),
        (lambda: histogram([1, 2], [math.nan]), "point"),
        (lambda: counter(1, name="é"), "name"),
        (lambda: gauge(1, name="catena.collect.received.total"), "name"),
        (lambda: gauge(1, name="target_info"), "name"),
    ],
)
def test_what_has_no_place_is_dropped_and_counted(
    make: Callable[[], Metric], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The rest of the request is shown; the reason is counted, and logged once."""
    with caplog.at_level(logging.WARNING, "catena.collect"):
        registry = taken(metrics(make(), gauge(5)), metrics(make()))

    assert [one.name for one in samples(registry)] == ["catena_workers"]
    assert registry.dropped == dict.fromkeys(REASONS, 0) | {reason: 2}
    assert len(caplog.records) == 1
    counted = {
        one.labels["reason"]: one.value
        for one in samples(registry, own=True)
        if one.name == "catena_collect_dropped_total"
    }
    assert counted[reason] == 2


def test_a_name_has_one_type() -> None:
    """What a second process says otherwise under the same name, or a part of it, is dropped."""
    registry = taken(
        metrics(gauge(1, name="a.b")),
        metrics(counter(1, name="a_b", monotonic=False), instance="two"),
        metrics(counter(1, name="a.b"), instance="two"),
        metrics(histogram([1], []), gauge(1, name="rpc.server.call.duration.seconds.count")),
        metrics(counter(1, name="c"), histogram([1], [])),
        metrics(gauge(1, name="c"), instance="two"),
    )

    assert values(registry, "a_b") == {"one": 1, "two": 1}
    assert (registry.dropped["name"], registry.dropped["type"]) == (1, 2)
    assert len(samples(registry)) == 2 + 3 + 1


def test_series_of_a_process_are_bounded() -> None:
    """One process with a million spellings does not fill the receiver; known series go on."""
    registry = Registry(Limits(series=3))
    for turn in (1, 2):
        for number in range(5):
            registry.take_request(metrics(counter(turn, time=turn, rpc__method=f"m{number}")))

    assert values(registry, CONTENTIONS, "rpc_method") == {"m0": 2, "m1": 2, "m2": 2}
    assert registry.dropped["series"] == 4


def test_processes_are_bounded() -> None:
    """A process beyond the limit is counted, not shown, until another one is forgotten."""
    now = [0.0]
    registry = Registry(Limits(instances=1), lambda: now[0])
    registry.take_request(metrics(counter(1)))
    registry.take_request(metrics(counter(1), gauge(1), instance="two"))
    assert registry.dropped["instances"] == 2

    now[0] = 301
    registry.take_request(metrics(counter(1), instance="two"))
    assert values(registry, CONTENTIONS) == {"two": 1}


def test_odd_text_survives() -> None:
    """Quotes, backslashes, line ends and other alphabets come through unchanged."""
    odd = 'a "b"\\n\n\\ ✓'
    metric = gauge(1, word=odd)
    metric.description = odd

    (sample,) = samples(taken(metrics(metric)))
    assert sample.labels["word"] == odd


def test_the_older_format_has_everything_but_exemplars() -> None:
    """Whoever asks for no OpenMetrics gets the text format, which has no place for exemplars."""
    metric = counter(1)
    metric.sum.data_points[0].exemplars.add(trace_id=TRACE, span_id=SPAN, as_int=1)
    registry = taken(metrics(metric, histogram([1], [])))

    text = registry.render_page(openmetrics=False).decode()
    found = {one.name for family in plain_families(text) for one in family.samples}
    assert {CONTENTIONS, "rpc_server_call_duration_seconds_bucket", "target_info"} <= found
    assert "trace_id" not in text
    assert "# EOF" not in text
