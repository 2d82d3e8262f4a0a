"""Plain counts, kept here and read when metrics are collected: what a hot path can afford.

A counter of OpenTelemetry takes as long to add to as an unsampled span takes to begin.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from threading import Lock

__all__ = ["MANY", "Samples", "Tally", "dropped"]

MANY = 1024
"""So many samples are kept between two collections; further ones are dropped."""

_EVERY = 16
_TOGETHER = 128

Labels = tuple[str, ...]


class Tally:
    """Numbers by their label values; safe from any thread."""

    def __init__(self, zero: Iterable[Labels] = ()) -> None:
        self._lock = Lock()
        self._numbers: dict[Labels, int] = dict.fromkeys(zero, 0)
        # What came and is not added up: to append needs no lock.
        self._came: deque[tuple[Labels, int]] = deque()

    def add(self, labels: Labels, number: int = 1) -> None:
        """Add to the number of these labels."""
        came = self._came
        came.append((labels, number))
        if len(came) >= _TOGETHER:
            self._add_up()

    def read(self) -> list[tuple[Labels, int]]:
        """Return all numbers."""
        self._add_up()
        with self._lock:
            return list(self._numbers.items())

    def _add_up(self) -> None:
        numbers, came = self._numbers, self._came
        with self._lock:
            while came:
                labels, number = came.popleft()
                numbers[labels] = numbers.get(labels, 0) + number


class Samples:
    """Every sixteenth of the values that come, the first included, until they are taken."""

    def __init__(self) -> None:
        self._came = 0
        self._kept: list[tuple[Labels, float]] = []

    def wanted(self) -> bool:
        """Count a value that came; say whether it is one to keep."""
        self._came += 1
        return self._came % _EVERY == 1

    def keep(self, labels: Labels, value: float) -> None:
        """Keep a value that was wanted, unless too many wait."""
        if len(self._kept) < MANY:
            self._kept.append((labels, value))
        else:
            dropped.add(("metrics", "samples"))

    def take(self) -> list[tuple[Labels, float]]:
        """Return what was kept, and begin anew."""
        kept, self._kept = self._kept, []
        return kept


dropped = Tally()
"""What telemetry could not tell, by signal and reason."""
