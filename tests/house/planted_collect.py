"""The faults of the receiver that its law has to find; tests/house/planted.py takes them in."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from catena.collect import exposition, series
from catena.collect.registry import Registry
from catena.collect.series import Number
from tests.collect.test_any_metrics import test_whatever_arrives_the_text_can_be_parsed as a_page
from tests.laws.fault import keep

__all__ = ["CHECKS"]

CHECKS = (a_page,)


def _take_anything(self: Number, point: Any, *, delta: bool, counter: bool = False) -> None:
    self.value = point.as_double


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
