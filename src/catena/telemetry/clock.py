"""Converting the times of operations to nanoseconds since 1970, which spans need.

An operation reads ``perf_counter_ns``. The difference between the two clocks is the same in all
processes of a machine, so the span of a nested call lies within the span of its caller.
"""

from __future__ import annotations

from time import perf_counter_ns, time_ns

_EVERY = 1_000_000_000
"""Nanoseconds after which the difference is taken anew, because the system's clock is corrected."""


class _Difference:
    """By how much the two clocks differ, and when that was found out."""

    def __init__(self) -> None:
        self.found_at = -_EVERY
        self.nanoseconds = 0

    def measure(self) -> None:
        """Read both clocks, between two readings that are close: others may run in between."""
        tightest = _EVERY
        for _ in range(5):
            before, now, after = perf_counter_ns(), time_ns(), perf_counter_ns()
            if after - before < tightest:
                tightest = after - before
                self.nanoseconds = now - before - tightest // 2
            self.found_at = after


_difference = _Difference()


def since_1970(at: int) -> int:
    """Return when the reading ``at`` of ``perf_counter_ns`` was made."""
    if at - _difference.found_at > _EVERY:
        _difference.measure()
    return at + _difference.nanoseconds
