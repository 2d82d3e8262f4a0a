"""The faults of the receiver that its law has to find; tests/house/planted.py takes them in."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from catena.collect import exponential, exposition, series
from catena.collect.registry import Registry
from catena.collect.series import Number
from tests.collect.test_any_metrics import test_whatever_arrives_the_text_can_be_parsed as a_page
from tests.collect.test_exponential import (
    test_a_bucket_holds_the_values_up_to_its_bound as a_bucket,
)
from tests.laws.fault import keep, returning

__all__ = ["CHECKS"]

CHECKS = (a_page, a_bucket)


def _take_anything(self: Number, point: Any, *, delta: bool, counter: bool = False) -> None:
    self.value = point.as_double


def _without_zeros(steps: Any) -> Any:
    return lambda self: ((bound, count * bool(bound)) for bound, count in steps(self))


keep(
    "two families share the name of a sample",
    patch.object(Registry, "_claim", lambda self, name, kind: True),
    a_page,
    by=ValueError,
)
keep(
    "a counter may be negative",
    patch.object(Number, "take", _take_anything),
    a_page,
    by=ValueError,
)
keep(
    "bounds need not rise",
    patch.object(series, "_is_rising", lambda bounds: True),
    a_page,
    by=ValueError,
)
keep(
    "labels are not escaped",
    patch.object(exposition, "_escaped", lambda value: value),
    a_page,
    by=ValueError,
)
keep(
    "of buckets that are merged one is kept",
    patch.object(
        exponential,
        "_merged",
        lambda buckets, steps: exponential.Buckets({n >> steps: c for n, c in buckets.items()}),
    ),
    a_bucket,
)
keep(
    "buckets begin one later",
    returning(
        exponential,
        "_buckets",
        lambda found: exponential.Buckets({n + 1: count for n, count in found.items()}),
    ),
    a_bucket,
)
keep(
    "zeros are not counted below all bounds",
    patch.object(exponential.Exponential, "_steps", _without_zeros(exponential.Exponential._steps)),
    a_bucket,
)
