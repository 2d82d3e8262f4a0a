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

__all__ = ["Exponential"]

_FINEST = 1
_SCALES = range(-10, 21)
"""What the specification's own algorithms can make; the lowest has one bucket for all numbers."""
_MOST = 160
"""So many buckets of either sign are kept, as many as an SDK has by default."""

Buckets = Counter[int]
"""How many values lie above base ** index and not above the next power."""


@dataclass(slots=True)
class Exponential(Histogram):
    """A histogram that is told as exponential; what is shown of it has explicit bounds."""

    scale: int = _FINEST
    positive: Buckets = field(default_factory=Buckets)
    negative: Buckets = field(default_factory=Buckets)
    zeros: int = 0
    threshold: float = 0.0
    rest: int = 0

    def take(self, point: Any, *, delta: bool, counter: bool = False) -> None:
        """Take an ExponentialHistogramDataPoint; Unusable when its numbers fit no buckets."""
        if point.scale not in _SCALES or not 0 <= point.zero_threshold < math.inf:
            raise Unusable(f"scale {point.scale}, zero threshold {point.zero_threshold}")
        positive, negative = _buckets(point.positive), _buckets(point.negative)
        rest = point.count - positive.total() - negative.total() - point.zero_count
        if rest < 0:
            raise Unusable(f"{-rest} more values in the buckets than in all")
        total = point.sum if point.HasField("sum") else None
        if delta and self.counts:
            total = None if total is None or self.sum is None else self.sum + total
        else:
            self.positive, self.negative, self.zeros, self.rest = Buckets(), Buckets(), 0, 0
        scale = min(self.scale, point.scale)
        self._coarsen(self.scale - scale)
        self.positive += _merged(positive, point.scale - scale)
        self.negative += _merged(negative, point.scale - scale)
        while max(_span(self.positive), _span(self.negative)) > _MOST:
            self._coarsen(1)
        self.zeros += point.zero_count
        self.rest += rest
        self.threshold = max(self.threshold, point.zero_threshold)
        self._show(total, point.exemplars)

    def _coarsen(self, steps: int) -> None:
        self.scale -= steps
        self.positive, self.negative = _merged(self.positive, steps), _merged(self.negative, steps)

    def _show(self, total: float | None, exemplars: Any) -> None:
        """Make explicit buckets of what is held."""
        bounds: list[float] = []
        counts: list[int] = []
        held = 0
        for bound, count in self._steps():
            held += count
            if math.isinf(bound):
                continue
            if bounds and bound <= bounds[-1]:
                # Too small to be told apart, or within what counts as zero.
                counts[-1] += held
            else:
                bounds.append(bound)
                counts.append(held)
            held = 0
        if tuple(bounds) != self.bounds:
            self.exemplars.clear()
        self.bounds, self.counts, self.sum = tuple(bounds), [*counts, held + self.rest], total
        self.take_exemplars(exemplars)

    def _steps(self) -> Iterator[tuple[float, int]]:
        """Yield upper bounds, and how many values lie below each and above the one before."""
        for index in reversed(_all(self.negative)):
            yield 0.0 - self._power(index), self.negative[index]
        yield self.threshold, self.zeros
        positive = _all(self.positive)
        if positive:
            # Where the lowest bucket begins; quantiles are estimated from there.
            yield self._power(positive[0]), 0
        for index in positive:
            yield self._power(index + 1), self.positive[index]

    def _power(self, index: int) -> float:
        try:
            return 2.0 ** math.ldexp(index, -self.scale)
        except OverflowError:
            return math.inf


def _buckets(found: Any) -> Buckets:
    return Buckets(
        {found.offset + n: count for n, count in enumerate(found.bucket_counts) if count}
    )


def _merged(buckets: Buckets, steps: int) -> Buckets:
    merged = Buckets()
    for index, count in buckets.items():
        merged[index >> steps] += count
    return merged


def _span(buckets: Buckets) -> int:
    return len(_all(buckets))


def _all(buckets: Buckets) -> range:
    """Return all indexes from the first bucket that holds something to the last."""
    return range(min(buckets), max(buckets) + 1) if buckets else range(0)
