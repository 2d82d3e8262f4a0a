"""The faults of the receiver that its law has to find; tests/house/planted.py takes them in."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from prometheus_client.openmetrics import exposition

from catena.collect import series
from tests.collect.test_any_metrics import test_whatever_arrives_the_text_can_be_parsed as a_page
from tests.collect.test_exponential import (
    test_a_bucket_holds_the_values_up_to_its_bound as a_bucket,
)
from tests.laws.fault import keep, returning

__all__ = ["CHECKS"]

CHECKS = (a_page, a_bucket)


def _read_any_bounds(self: series.Histogram, point: Any) -> dict[Any, float]:
    bounds = tuple(point.explicit_bounds)
    return series._make_buckets(bounds, [1] * (len(bounds) + 1), point.sum)


def _without_zeros(steps: Any) -> Any:
    return lambda self: ((bound, count * bool(bound)) for bound, count in steps(self))


keep(
    "two families share the name of a sample",
    patch.object(series.Histogram, "suffixes", ""),
    a_page,
    by=ValueError,
)
keep(
    "a counter may be negative",
    patch.object(series.Counter, "read", lambda self, point: {("_total", ()): point.as_double}),
    a_page,
    by=ValueError,
)
keep(
    "bounds need not rise",
    patch.object(series.Histogram, "read", _read_any_bounds),
    a_page,
    by=ValueError,
)
keep(
    "labels are not escaped",
    patch.object(exposition, "_escape", lambda text, *_: text),
    a_page,
    by=ValueError,
)
keep(
    "of buckets that are merged one is kept",
    patch.object(
        series,
        "_merge_buckets",
        lambda buckets, steps: series._Buckets(
            {(sign, index >> steps): count for (sign, index), count in buckets.items()}
        ),
    ),
    a_bucket,
)
keep(
    "buckets begin one later",
    returning(
        series,
        "_read_buckets",
        lambda found: series._Buckets(
            {(sign, index + abs(sign)): count for (sign, index), count in found.items()}
        ),
    ),
    a_bucket,
)
keep(
    "zeros are not counted below all bounds",
    patch.object(
        series.ExponentialHistogram,
        "iterate_steps",
        _without_zeros(series.ExponentialHistogram.iterate_steps),
    ),
    a_bucket,
)
