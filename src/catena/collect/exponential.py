"""Exponential histograms as classic ones: their buckets are merged until bounds are few and stay.

Source: the OpenTelemetry specification, "Metrics Data Model", ExponentialHistogram. A bucket of one
scale holds exactly two of the next, so merging moves no value over a bound. A sender changes its
scale as its range grows; here it is never finer than two buckets for each power of two, and only
becomes coarser, so the bounds that a scraper has seen remain.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from catena.collect.series import Histogram, Unusable

_FINEST = 1
_SCALES = range(-10, 21)
"""What the specification's own algorithms can make; the lowest has one bucket for all numbers."""
_MOST = 160
"""So many buckets of either sign are kept, as many as an SDK has by default."""

Buckets = Counter[int]
"""How many values lie above base ** index and not above the next power."""


@dataclass(slots=True)
class ExponentialHistogram(Histogram):
    """A histogram that arrives as exponential; what is shown of it has explicit bounds."""

    scale: int = _FINEST
    positive: Buckets = field(default_factory=Buckets)
    negative: Buckets = field(default_factory=Buckets)
    zeros: int = 0
    threshold: float = 0.0
    rest: int = 0

    def update(self, point: Any, *, delta: bool) -> None:
        """Apply an ExponentialHistogramDataPoint; Unusable when its numbers fit no buckets."""
        positive, negative = read_buckets(point.positive), read_buckets(point.negative)
        rest = point.count - positive.total() - negative.total() - point.zero_count
        if point.scale not in _SCALES or not 0 <= point.zero_threshold < math.inf or rest < 0:
            raise Unusable
        delta = delta and bool(self.counts)
        if not delta:
            self.positive, self.negative, self.zeros, self.rest = Buckets(), Buckets(), 0, 0
        scale = min(self.scale, point.scale)
        self._coarsen(self.scale - scale)
        self.positive += merge_buckets(positive, point.scale - scale)
        self.negative += merge_buckets(negative, point.scale - scale)
        while max(len(_span(self.positive)), len(_span(self.negative))) > _MOST:
            self._coarsen(1)
        self.zeros += point.zero_count
        self.rest += rest
        self.threshold = max(self.threshold, point.zero_threshold)
        self.add_sum(point, delta=delta)
        self.replace_buckets(*self._make_explicit(), point.exemplars)

    def iterate_steps(self) -> Iterator[tuple[float, int]]:
        """Yield upper bounds, and how many values lie below each and above the one before."""
        for index in reversed(_span(self.negative)):
            yield 0.0 - self._power(index), self.negative[index]
        yield self.threshold, self.zeros
        positive = _span(self.positive)
        if positive:
            # Where the lowest bucket begins; quantiles are estimated from there.
            yield self._power(positive[0]), 0
        for index in positive:
            yield self._power(index + 1), self.positive[index]

    def _make_explicit(self) -> tuple[tuple[float, ...], list[int]]:
        """Return bounds, and counts of the buckets between them."""
        buckets: dict[float, int] = {}
        bound, held = -math.inf, 0
        for end, count in self.iterate_steps():
            held += count
            if math.isinf(end):
                continue
            # A bound that does not rise is too small to differ, or lies within what counts as zero.
            bound = max(bound, end)
            buckets[bound] = buckets.get(bound, 0) + held
            held = 0
        return tuple(buckets), [*buckets.values(), held + self.rest]

    def _coarsen(self, steps: int) -> None:
        self.scale -= steps
        self.positive = merge_buckets(self.positive, steps)
        self.negative = merge_buckets(self.negative, steps)

    def _power(self, index: int) -> float:
        try:
            return 2.0 ** math.ldexp(index, -self.scale)
        except OverflowError:
            return math.inf


def read_buckets(found: Any) -> Buckets:
    """Return the buckets of one sign that hold something."""
    return Buckets(
        {index: count for index, count in enumerate(found.bucket_counts, found.offset) if count}
    )


def merge_buckets(buckets: Buckets, steps: int) -> Buckets:
    """Return buckets at a scale that is so many steps coarser."""
    merged = Buckets()
    for index, count in buckets.items():
        merged[index >> steps] += count
    return merged


def _span(buckets: Buckets) -> range:
    """Return all indexes from the first bucket that holds something to the last."""
    return range(min(buckets), max(buckets) + 1) if buckets else range(0)
