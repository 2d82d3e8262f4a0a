"""One series: how data points of OTLP change it, and the samples that a scraper sees of it.

The rule: a series is cumulative. A delta is added to what is there, anything else replaces it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.samples import Exemplar, Sample, Timestamp
from prometheus_client.utils import floatToGoString

from catena.collect.otlp import read_number
from catena.collect.translate import label_name, to_text

_EXEMPLAR_CHARACTERS = 128
"""What OpenMetrics allows the labels of an exemplar to hold, names and values together."""


class Unusable(ValueError):
    """A data point that has no place on the page; ``reason`` is the word under which it counts."""

    def __init__(self, reason: str = "point") -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Gauge:
    """A value that may fall."""

    value: float = 0
    time: int = 0

    def update(self, point: Any, *, delta: bool) -> None:
        """Apply a NumberDataPoint."""
        value = read_number(point)
        value = math.nan if value is None else value
        self.value = self.value + value if delta else value

    def samples(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        """Yield what a scraper sees."""
        yield Sample(name, labels, self.value)


@dataclass(slots=True)
class Counter:
    """A value that only grows, and its newest exemplar."""

    value: float = 0
    time: int = 0
    exemplar: Exemplar | None = None

    def update(self, point: Any, *, delta: bool) -> None:
        """Apply a NumberDataPoint; Unusable, and nothing changed, when it cannot be shown."""
        value = read_number(point)
        if value is None or not value >= 0:
            raise Unusable
        self.value = self.value + value if delta else value
        for each in point.exemplars:
            self.exemplar = _choose_newer(self.exemplar, _read_exemplar(each))

    def samples(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        """Yield what a scraper sees."""
        yield Sample(f"{name}_total", labels, self.value, None, self.exemplar)


@dataclass(slots=True)
class Summary:
    """Quantiles as an older library computed them, with count and sum; they have no deltas."""

    quantiles: tuple[tuple[float, float], ...] = ()
    count: int = 0
    sum: float = 0
    time: int = 0

    def update(self, point: Any, *, delta: bool) -> None:
        """Apply a SummaryDataPoint; Unusable, and nothing changed, when it cannot be shown."""
        found = {float(one.quantile): float(one.value) for one in point.quantile_values}
        are_valid = all(0 <= quantile <= 1 and not value < 0 for quantile, value in found.items())
        if not are_valid or not point.sum >= 0:
            raise Unusable
        self.quantiles = tuple(sorted(found.items()))
        self.count, self.sum = point.count, point.sum

    def samples(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        """Yield what a scraper sees."""
        for quantile, value in self.quantiles:
            yield Sample(name, labels | {"quantile": floatToGoString(quantile)}, value)
        yield Sample(f"{name}_count", labels, self.count)
        yield Sample(f"{name}_sum", labels, self.sum)


@dataclass(slots=True)
class Histogram:
    """Counts per bucket, not yet summed up; one more bucket than bounds, the last without end."""

    bounds: tuple[float, ...] = ()
    counts: list[int] = field(default_factory=list[int])
    sum: float | None = None
    time: int = 0
    exemplars: dict[int, Exemplar | None] = field(default_factory=dict[int, "Exemplar | None"])

    def update(self, point: Any, *, delta: bool) -> None:
        """Apply a HistogramDataPoint; Unusable, and nothing changed, when it cannot be shown."""
        bounds = tuple(point.explicit_bounds)
        counts = list(point.bucket_counts) or [point.count]
        if not is_rising(bounds) or len(counts) != len(bounds) + 1:
            raise Unusable
        delta = delta and bounds == self.bounds and bool(self.counts)
        if delta:
            counts = [a + b for a, b in zip(self.counts, counts, strict=True)]
        self.add_sum(point, delta=delta)
        self.replace_buckets(bounds, counts, point.exemplars)

    def add_sum(self, point: Any, *, delta: bool) -> None:
        """Apply the sum of a data point; once it is unknown, deltas do not bring it back."""
        found = point.sum if point.HasField("sum") else None
        if delta:
            found = None if found is None or self.sum is None else self.sum + found
        self.sum = found

    def replace_buckets(self, bounds: tuple[float, ...], counts: list[int], exemplars: Any) -> None:
        """Put other buckets in place; the newest exemplar of each is kept."""
        if bounds != self.bounds:
            self.exemplars.clear()
        self.bounds, self.counts = bounds, counts
        for found in map(_read_exemplar, exemplars):
            if found is not None and not math.isnan(found.value):
                place = next((n for n, end in enumerate(bounds) if found.value <= end), len(bounds))
                self.exemplars[place] = _choose_newer(self.exemplars.get(place), found)

    def samples(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        """Yield what a scraper sees."""
        buckets = [
            (floatToGoString(end), count, self.exemplars.get(place))
            for place, (end, count) in enumerate(
                zip([*self.bounds, math.inf], accumulate(self.counts), strict=True)
            )
        ]
        # With a sum that can fall, OpenMetrics has neither sum nor count.
        total = self.sum if self.sum is not None and self.sum >= 0 else None
        family = HistogramMetricFamily(name, "", labels=list(labels))
        family.add_metric(list(labels.values()), buckets, total)
        yield from family.samples


Series = Gauge | Counter | Summary | Histogram
"""``time`` is that of the newest data point, in Unix nanoseconds."""


def is_rising(bounds: tuple[float, ...]) -> bool:
    """Say whether bounds are numbers, each larger than the one before."""
    return all(map(math.isfinite, bounds)) and all(a < b for a, b in pairwise(bounds))


def _choose_newer(have: Exemplar | None, found: Exemplar | None) -> Exemplar | None:
    if have is None or found is None:
        return have or found
    return have if float(have.timestamp or 0) > float(found.timestamp or 0) else found


def _read_exemplar(found: Any) -> Exemplar | None:
    """Return an exemplar as a scraper sees it, None when it has no value."""
    value = read_number(found)
    if value is None:
        return None
    ids = {"trace_id": found.trace_id.hex(), "span_id": found.span_id.hex()}
    labels = {label_name(one.key): to_text(one.value) for one in found.filtered_attributes} | ids
    labels = {name: text for name, text in labels.items() if name and text}
    if sum(len(name) + len(text) for name, text in labels.items()) > _EXEMPLAR_CHARACTERS:
        labels = {name: text for name, text in ids.items() if text}
    time = found.time_unix_nano
    return Exemplar(labels, value, Timestamp(*divmod(time, 10**9)) if time else None)
