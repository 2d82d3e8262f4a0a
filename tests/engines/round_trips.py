"""How long a call takes there and back, beside what an engine takes for its own."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from statistics import median

__all__ = ["compare_round_trips"]

Call = Callable[[], Awaitable[object]]

_ROUNDS, _CALLS = 9, 40


async def compare_round_trips(calls: dict[str, Call]) -> dict[str, float]:
    """Return the milliseconds of a call of each kind, one after the other: the median of rounds.

    The kinds take turns, so that what else the machine does meets all of them.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(_ROUNDS + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            for _ in range(_CALLS):
                await call()
            # The first round makes links, and starts processes.
            if number:
                found[name].append((time.perf_counter() - began) / _CALLS * 1000)
    return {name: median(times) for name, times in found.items()}
