"""One series: what an OTLP data point says, and how the next one changes it.

The rule: a series is cumulative. A delta is added to what is there; a point that is not newer than
the last one is passed over, because exporters send again what they think was lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from catena.collect.translate import label_name, text

__all__ = ["Exemplar", "Histogram", "Number", "Series", "Summary", "Unusable"]

_EXEMPLAR_CHARACTERS = 128
"""What OpenMetrics allows the labels of an exemplar to hold, names and values together."""


class Unusable(ValueError):
    """A data point that no series can be made of."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One measurement: its ids and attributes, its value, its time in Unix seconds."""

    labels: tuple[tuple[str, str], ...]
    value: float
    time: float


@dataclass(slots=True)
class Number:
    """A counter's or gauge's value, and a counter's newest exemplar."""

    value: float = 0
    time: int = 0
    exemplar: Exemplar | None = None

    def take(self, point: Any, *, delta: bool, counter: bool = False) -> None:
        """Take a NumberDataPoint; Unusable when a counter has no such value."""
        kind = point.WhichOneof("value")
        value = getattr(point, kind) if kind else math.nan
        if counter and not value >= 0:
            raise Unusable(f"a counter says {value}")
        self.value = self.value + value if delta else value
        for each in point.exemplars if counter else ():
            self.exemplar = _newer(self.exemplar, _exemplar(each))


@dataclass(slots=True)
class Histogram:
    """Counts per bucket, not yet summed up; one more bucket than bounds, the last without end."""

    bounds: tuple[float, ...] = ()
    counts: list[int] = field(default_factory=list[int])
    sum: float | None = None
    time: int = 0
    exemplars: dict[int, Exemplar] = field(default_factory=dict[int, Exemplar])

    def take(self, point: Any, *, delta: bool, counter: bool = False) -> None:
        """Take a HistogramDataPoint; Unusable when its buckets do not fit each other."""
        bounds = tuple(point.explicit_bounds)
        counts = list(point.bucket_counts) or [point.count]
        if not _is_rising(bounds) or len(counts) != len(bounds) + 1:
            raise Unusable(f"{len(counts)} buckets do not fit {len(bounds)} bounds")
        total = point.sum if point.HasField("sum") else None
        if bounds != self.bounds:
            self.exemplars.clear()
        if delta and bounds == self.bounds and self.counts:
            counts = [a + b for a, b in zip(self.counts, counts, strict=True)]
            total = None if total is None or self.sum is None else self.sum + total
        self.bounds, self.counts, self.sum = bounds, counts, total
        self.take_exemplars(point.exemplars)

    def take_exemplars(self, found: Any) -> None:
        """Keep the newest exemplar of each bucket."""
        for each in found:
            self._take_exemplar(_exemplar(each))

    def _take_exemplar(self, found: Exemplar | None) -> None:
        if found is not None and not math.isnan(found.value):
            place = next((n for n, end in enumerate(self.bounds) if found.value <= end), -1)
            place = len(self.bounds) if place < 0 else place
            newest = _newer(self.exemplars.get(place), found)
            if newest is not None:
                self.exemplars[place] = newest


@dataclass(slots=True)
class Summary:
    """Quantiles as an older library computed them, with count and sum."""

    quantiles: tuple[tuple[float, float], ...] = ()
    count: int = 0
    sum: float = 0
    time: int = 0

    def take(self, point: Any, *, delta: bool, counter: bool = False) -> None:
        """Take a SummaryDataPoint; there are no deltas of it."""
        found = {float(one.quantile): float(one.value) for one in point.quantile_values}
        if not all(0 <= quantile <= 1 and not value < 0 for quantile, value in found.items()):
            raise Unusable("a quantile is not between 0 and 1, or its value below 0")
        if not point.sum >= 0:
            raise Unusable(f"a summary's sum is {point.sum}")
        self.quantiles = tuple(sorted(found.items()))
        self.count, self.sum = point.count, point.sum


Series = Number | Histogram | Summary


def _is_rising(bounds: tuple[float, ...]) -> bool:
    pairs = pairwise(bounds)
    return all(math.isfinite(one) for one in bounds) and all(a < b for a, b in pairs)


def _newer(have: Exemplar | None, found: Exemplar | None) -> Exemplar | None:
    return have if found is None or (have and have.time > found.time) else found


def _exemplar(found: Any) -> Exemplar | None:
    kind = found.WhichOneof("value")
    if kind is None:
        return None
    ids = [("trace_id", found.trace_id.hex()), ("span_id", found.span_id.hex())]
    pairs = [(name, value) for name, value in ids if value]
    more = {label_name(one.key): text(one.value) for one in found.filtered_attributes}
    extra = sorted((name, value) for name, value in more.items() if name and name not in dict(ids))
    if extra and _length([*pairs, *extra]) <= _EXEMPLAR_CHARACTERS:
        pairs += extra
    return Exemplar(tuple(pairs), getattr(found, kind), found.time_unix_nano / 1e9)


def _length(pairs: Iterable[tuple[str, str]]) -> int:
    return sum(len(name) + len(value) for name, value in pairs)
