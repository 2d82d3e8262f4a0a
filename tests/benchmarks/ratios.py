"""The statistics: medians with their range, and ratios inside one repeat. Pure functions.

Machines drift within a run, so no value of one repeat is divided by a value of another. Where a
repeat has rounds, nor is a value of one round by one of another: what comes out of each round is
computed first, and the repeat's value is the median of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Final

from .plan import MEGABYTE, MIXED, ONCE, P50, RATE_100, BenchmarkError, Sample, Variant

# How many times better than wool Catena is to be, by metric.
TARGETS: Final = {P50: 4.0, RATE_100: 40.0}

# What is better when it is less.
TIMES: Final = (P50, MEGABYTE, MIXED)


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the least and the greatest of the values behind it."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value.

        Raises:
            BenchmarkError: there is no value.
        """
        if not values:
            raise BenchmarkError("there are no samples to report")
        return cls(median(values), min(values), max(values))

    @classmethod
    def quartiles(cls, values: Sequence[float]) -> Spread:
        """The median between the quartiles; between the extremes of fewer than four values.

        Raises:
            BenchmarkError: there is no value.
        """
        if len(values) < 4:
            return cls.of(values)
        first, middle, third = quantiles(values, n=4, method="inclusive")
        return cls(middle, first, third)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target on one pair of rows, and the ratio that was reached there."""

    loop: str
    workers: int
    metric: str
    target: float
    ratio: Spread

    @property
    def is_met(self) -> bool:
        """Whether the median ratio reaches the target."""
        return self.ratio.median >= self.target


@dataclass(frozen=True, slots=True)
class Finding:
    """An aim of Catena with itself, and what was reached.

    `aim` is the least that `reached` may be when `is_floor`, else the most. `unit` follows both.
    """

    what: str
    aim: float
    reached: Spread
    unit: str
    is_floor: bool = False

    @property
    def missed_by(self) -> float:
        """How far the median is from the aim on the wrong side; 0 when it is reached."""
        off = self.reached.median - self.aim
        return max(0.0, -off if self.is_floor else off)


def spread(samples: Sequence[Sample], variant: Variant, metric: str) -> Spread:
    """The values of one cell of the table, over all repeats."""
    return derived(samples, [(variant, metric)], lambda value: value)


def ratio(samples: Sequence[Sample], ours: Variant, theirs: Variant, metric: str) -> Spread:
    """How many times better `ours` is, repeat by repeat: above 1 it is better.

    A time is better when it is smaller, a rate when it is greater.

    Raises:
        BenchmarkError: no repeat has both.
    """
    above, below = (theirs, ours) if metric in TIMES else (ours, theirs)
    return derived(samples, [(above, metric), (below, metric)], lambda one, other: one / other)


def derived(
    samples: Sequence[Sample],
    cells: Sequence[tuple[Variant, str]],
    compute: Callable[..., float],
    summary: Callable[[Sequence[float]], Spread] = Spread.of,
) -> Spread:
    """What `compute` makes of the values of these cells (a row, a metric), repeat by repeat.

    Where a repeat has rounds it is the median over those that have all of the cells; what was
    measured once in the repeat stands beside each of them.

    Raises:
        BenchmarkError: no repeat has all of them.
    """
    columns = [_by_repeat(samples, row, metric) for row, metric in cells]
    values: list[float] = []
    for repeat in sorted(set(columns[0]).intersection(*columns)):
        rounds = _rounds([column[repeat] for column in columns])
        if rounds:
            values.append(median(compute(*cell) for cell in rounds))
    return summary(values)


def pairs(rows: Iterable[Variant], peer: str) -> list[tuple[Variant, Variant]]:
    """Each row of Catena with the row of `peer` on the same loop with as many workers."""
    rows = list(rows)
    matches = [(row, Variant(row.loop, row.workers, peer)) for row in rows]
    return [pair for pair in matches if pair[0].system == "catena" and pair[1] in rows]


def verdicts(samples: Sequence[Sample], rows: Iterable[Variant]) -> list[Verdict]:
    """Every target on every pair of rows of Catena and wool."""
    return [
        Verdict(ours.loop, ours.workers, metric, target, ratio(samples, ours, theirs, metric))
        for ours, theirs in pairs(rows, "wool")
        for metric, target in TARGETS.items()
    ]


def _by_repeat(
    samples: Iterable[Sample], variant: Variant, metric: str
) -> dict[int, dict[int, float]]:
    """The values of a cell by repeat, and there by round."""
    found: dict[int, dict[int, float]] = {}
    for sample in samples:
        if sample.variant == variant and sample.metric == metric:
            found.setdefault(sample.repeat, {})[sample.round] = sample.value
    return found


def _rounds(columns: Sequence[dict[int, float]]) -> list[tuple[float, ...]]:
    """The values of one repeat side by side, a tuple for each round that has all of them."""
    several = [column.keys() for column in columns if ONCE not in column]
    rounds = sorted(set(several[0]).intersection(*several)) if several else [ONCE]
    return [
        tuple(column[ONCE] if ONCE in column else column[number] for column in columns)
        for number in rounds
    ]
