"""One series: how data points of OTLP change it, and the samples that a scraper sees of it.

The rule: a series is cumulative. A delta is added to what is there, anything else replaces it.

Exponential histograms are shown as classic ones: their buckets are merged until bounds are few and
stay. Source: the OpenTelemetry specification, "Metrics Data Model", ExponentialHistogram. A bucket
of one scale holds exactly two of the next, so merging moves no value over a bound. A sender changes
its scale as its range grows; here it is never finer than two buckets for each power of two, and
only becomes coarser, so the bounds that a scraper has seen remain.
"""

from __future__ import annotations

import collections
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from prometheus_client.samples import Exemplar, Sample, Timestamp
from prometheus_client.utils import floatToGoString  # pyright: ignore[reportUnknownVariableType]

from catena.collect.otlp import read_number
from catena.collect.translate import Labels, label_name, to_text

_Key = tuple[str, Labels]
"""Which sample of a series: what is added to the name, and the label that is added, if any."""
_Values = dict[_Key, float]

_SCALES = range(-10, 21)
"""What the specification's own algorithms can make; the lowest has one bucket for all numbers."""
_MOST = 160
"""So many buckets of either sign are kept, as many as an SDK has by default."""

_Buckets = collections.Counter[tuple[int, int]]
"""How many values have this sign and lie above base ** index, and not above the next power."""

_SUM: _Key = ("_sum", ())
_EXEMPLAR_CHARACTERS = 128
"""What OpenMetrics allows the labels of an exemplar to hold, names and values together."""


class Unusable(ValueError):
    """A data point that has no place on the page; ``reason`` is the word under which it counts."""

    def __init__(self, reason: str = "point") -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Series:
    """The samples of one series; as it stands here it is a gauge, other kinds are below.

    ``time`` is that of the newest data point, in nanoseconds.

    ``kind`` is that of the family, ``label`` one that a series has for itself, ``suffixes`` are
    what is added to the family's name.
    """

    kind, label, suffixes = "gauge", "", ""

    time: int = 0
    values: _Values = field(default_factory=dict[_Key, float])
    exemplars: dict[_Key, Exemplar] = field(default_factory=dict[_Key, Exemplar])

    def read(self, point: Any) -> _Values:
        """Return the values of a data point, or raise Unusable when it cannot be shown."""
        return {("", ()): read_number(point)}

    def update(self, point: Any, *, delta: bool) -> None:
        """Apply a data point; when it is Unusable, nothing is changed."""
        values = self.read(point)
        if delta and values.keys() == self.values.keys():
            values = {key: self.values[key] + value for key, value in values.items()}
        self.replace(values, point)

    def replace(self, values: _Values, point: Any) -> None:
        """Put values in place, and keep the newest exemplar of a counter or of each bucket."""
        if values.keys() != self.values.keys():
            self.exemplars.clear()
        self.values = values
        exemplars = sorted(getattr(point, "exemplars", ()), key=lambda one: one.time_unix_nano)
        for found in filter(None, map(_read_exemplar, exemplars)):
            key = next((key for key in values if _has_place(key, found.value)), None)
            if key is not None:
                self.exemplars[key] = found

    def samples(self, name: str, labels: Labels) -> Iterator[Sample]:
        """Yield what a scraper sees."""
        # With a sum that can fall, OpenMetrics has neither sum nor count.
        is_rising = self.values.get(_SUM, 0) >= 0
        for key, value in self.values.items():
            suffix, more = key
            if is_rising or suffix not in ("_count", "_sum"):
                exemplar = self.exemplars.get(key)
                yield Sample(name + suffix, dict(labels + more), value, None, exemplar)


class Counter(Series):
    """A value that only grows."""

    kind, suffixes = "counter", "_total _created"

    def read(self, point: Any) -> _Values:
        """Return the value of a NumberDataPoint."""
        value = read_number(point)
        if not value >= 0:
            raise Unusable
        return {("_total", ()): value}


class Summary(Series):
    """Quantiles as an older library computed them, with count and sum."""

    kind, label, suffixes = "summary", "quantile", "_count _sum _created"

    def read(self, point: Any) -> _Values:
        """Return the quantiles, count and sum of a SummaryDataPoint."""
        quantiles = sorted({one.quantile: one.value for one in point.quantile_values}.items())
        if not point.sum >= 0 or any(not 0 <= at <= 1 or value < 0 for at, value in quantiles):
            raise Unusable
        values: _Values = {_make_key("", "quantile", at): value for at, value in quantiles}
        return values | {("_count", ()): point.count, _SUM: point.sum}


class Histogram(Series):
    """Buckets with explicit bounds, with count and sum."""

    kind, label, suffixes = "histogram", "le", "_bucket _count _sum _created"

    def read(self, point: Any) -> _Values:
        """Return the buckets, count and sum of a HistogramDataPoint."""
        bounds = tuple(point.explicit_bounds)
        counts = list(point.bucket_counts) or [point.count]
        is_rising = all(map(math.isfinite, bounds)) and all(a < b for a, b in pairwise(bounds))
        if not is_rising or len(counts) != len(bounds) + 1:
            raise Unusable
        return _make_buckets(bounds, counts, point.sum if point.HasField("sum") else math.nan)


@dataclass(slots=True)
class ExponentialHistogram(Histogram):
    """Buckets of a scale, which are merged and shown with explicit bounds."""

    scale: int = 1  # the finest that is shown: two buckets for each power of two
    buckets: _Buckets = field(default_factory=_Buckets)
    threshold: float = 0.0
    rest: int = 0
    total: float = 0.0

    def update(self, point: Any, *, delta: bool) -> None:
        """Apply a data point; Unusable when its numbers fit no buckets."""
        found = _read_buckets(point)
        rest = point.count - found.total()
        if point.scale not in _SCALES or not 0 <= point.zero_threshold < math.inf or rest < 0:
            raise Unusable
        if not delta:
            self.buckets, self.rest, self.total = _Buckets(), 0, 0
        scale = min(self.scale, point.scale)
        self.buckets = _merge_buckets(self.buckets, self.scale - scale)
        self.buckets += _merge_buckets(found, point.scale - scale)
        while max(len(_span(self.buckets, sign)) for sign in (-1, 1)) > _MOST:
            scale, self.buckets = scale - 1, _merge_buckets(self.buckets, 1)
        self.scale, self.rest = scale, self.rest + rest
        self.total += point.sum if point.HasField("sum") else math.nan
        self.threshold = max(self.threshold, point.zero_threshold)
        self.replace(self._make_explicit(), point)

    def iterate_steps(self) -> Iterator[tuple[float, int]]:
        """Yield upper bounds, and how many values lie below each and above the one before."""
        for index in reversed(_span(self.buckets, -1)):
            yield 0.0 - self._power(index), self.buckets[-1, index]
        yield self.threshold, self.buckets[0, 0]
        positive = _span(self.buckets, 1)
        if positive:
            # Where the lowest bucket begins; quantiles are estimated from there.
            yield self._power(positive[0]), 0
        for index in positive:
            yield self._power(index + 1), self.buckets[1, index]

    def _make_explicit(self) -> _Values:
        counts: dict[float, int] = {}
        bound, held = -math.inf, 0
        for end, count in self.iterate_steps():
            held += count
            if math.isfinite(end):
                # What does not rise is too small to differ, or lies within what counts as zero.
                bound = max(bound, end)
                counts[bound] = counts.get(bound, 0) + held
                held = 0
        return _make_buckets(tuple(counts), [*counts.values(), held + self.rest], self.total)

    def _power(self, index: int) -> float:
        exponent = math.ldexp(index, -self.scale)
        return 2.0**exponent if exponent < sys.float_info.max_exp else math.inf


def _read_buckets(point: Any) -> _Buckets:
    """Return the buckets of a data point that hold something; zeros have the sign 0."""
    buckets = _Buckets({(0, 0): point.zero_count})
    for sign, side in ((1, point.positive), (-1, point.negative)):
        for index, count in enumerate(side.bucket_counts, side.offset):
            buckets[sign, index] = count
    return +buckets


def _merge_buckets(buckets: _Buckets, steps: int) -> _Buckets:
    """Return buckets at a scale that is so many steps coarser."""
    merged = _Buckets()
    for (sign, index), count in buckets.items():
        merged[sign, index >> steps] += count
    return merged


def _span(buckets: _Buckets, sign: int) -> range:
    """Return all indexes of a sign, from the first bucket that holds something to the last."""
    held = [index for each, index in buckets if each == sign]
    return range(min(held), max(held) + 1) if held else range(0)


def _make_buckets(bounds: tuple[float, ...], counts: list[int], total: float) -> _Values:
    """Return a histogram's samples; there is one more count than bounds, the last without end."""
    ends = [*bounds, math.inf]
    pairs = zip(ends, accumulate(counts), strict=True)
    values: _Values = {_make_key("_bucket", "le", end): count for end, count in pairs}
    return values | {("_count", ()): sum(counts), _SUM: total if ends[0] >= 0 else math.nan}


def _make_key(suffix: str, label: str, value: float) -> _Key:
    return suffix, ((label, floatToGoString(value)),)


def _has_place(key: _Key, value: float) -> bool:
    """Say whether an exemplar of this value belongs to a sample, or to one before it."""
    suffix, labels = key
    return suffix == "_total" or (suffix == "_bucket" and value <= float(labels[0][1]))


def _read_exemplar(found: Any) -> Exemplar | None:
    """Return an exemplar as a scraper sees it, None when it has no value."""
    value = read_number(found)
    if math.isnan(value):
        return None
    ids = {"trace_id": found.trace_id.hex(), "span_id": found.span_id.hex()}
    labels = {label_name(one.key): to_text(one.value) for one in found.filtered_attributes} | ids
    labels = {name: text for name, text in labels.items() if name and text}
    if sum(len(name) + len(text) for name, text in labels.items()) > _EXEMPLAR_CHARACTERS:
        labels = {name: text for name, text in ids.items() if text}
    time = found.time_unix_nano
    return Exemplar(labels, value, Timestamp(*divmod(time, 10**9)) if time else None)
