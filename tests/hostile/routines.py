"""What good callers call on a worker that hostile peers attack, and the pickles of those peers.

A pickle of a hostile peer notes in the process that opens it that it was opened, and for whom: for
a ``stranger``, who has proved nothing, or for an ``insider``, who has said hello and may call.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, NamedTuple

import catena
from catena.pickling import pickler
from catena.standing import worker_id

__all__ = [
    "INSIDER",
    "STRANGER",
    "Sight",
    "answer",
    "color",
    "count_up",
    "look",
    "note_opened",
    "opened",
    "prepared",
    "rest",
    "wait_long",
]

MARK = "mark-of-the-"
color: catena.ContextVar[str] = catena.ContextVar("hostile.color", namespace="tests", default="-")

opened: Counter[str] = Counter()
"""How often a pickle was opened here, by the code that it runs, by whose it was."""

witnessed: Counter[str] = Counter()
"""The same, as the opener has seen it; ``ours`` are those of good callers."""

heard: Counter[str] = Counter()
"""What was announced here, by the name of its event and what is known of its peer."""

readers: list[Any] = []
"""What reads the metrics of this process."""


class Bomb:
    """An object whose pickle notes that it was opened."""

    def __init__(self, whose: str) -> None:
        self.whose = whose

    def __reduce__(self) -> tuple[Any, ...]:
        return note_opened, (f"{MARK}{self.whose}",)


def note_opened(mark: str) -> tuple[tuple[()], dict[str, Any]]:
    """Note that a pickle was opened; return what is a call without arguments."""
    opened[mark.removeprefix(MARK)] += 1
    return (), {}


STRANGER, INSIDER = (pickler.dumps(Bomb(whose)) for whose in ("stranger", "insider"))
prepared = frozenset({STRANGER, INSIDER})
"""What may be opened at all, though it has a mark: whatever a mutation makes may not."""


@catena.routine
async def answer(number: int) -> tuple[int, str, str]:
    """Return twice the number, the color, and which worker this is; leave another color."""
    found = color.get()
    color.set(f"{found}, seen")
    return 2 * number, found, worker_id()


@catena.routine
async def count_up(most: int) -> AsyncGenerator[int, None]:
    """Yield numbers."""
    for number in range(most):
        yield number


@catena.routine
async def rest() -> None:
    """Do nothing."""


@catena.routine
async def wait_long() -> None:
    """Go on until the call is cancelled."""
    await asyncio.sleep(3600)


class Sight(NamedTuple):
    """What a worker sees of itself: counts of what was opened and heard, and what it has."""

    opened: dict[str, int]
    witnessed: dict[str, int]
    heard: dict[str, int]
    metrics: dict[str, int]
    kibibytes: int
    tasks: int
    links: int
    sessions: int
    transfers: int
    slots: int


@catena.routine
async def look() -> Sight:
    """Return what this worker sees of itself."""
    gc.collect()
    now = catena.statistics()
    return Sight(
        dict(opened),
        dict(witnessed),
        dict(heard),
        _read_metrics(),
        _count_kibibytes(),
        len(asyncio.all_tasks()),
        now.links,
        now.sessions,
        now.transfers,
        _count_taken(),
    )


def _count_kibibytes() -> int:
    """Return how much memory this process has, without what it shares or could give back."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    size, shared = Path("/proc/self/statm").read_text("ascii").split()[1:3]
    return (int(size) - int(shared)) * os.sysconf("SC_PAGESIZE") // 1024


def _count_taken() -> int:
    """Return how many slots are taken or offered on all links."""
    from catena.dispatch.worker.sessions import all_sessions

    return max((one._slots.taken for one in all_sessions), default=0)


def _read_metrics() -> dict[str, int]:
    """Return the sums of all counters, by their names."""
    found: Counter[str] = Counter()
    for reader in readers:
        data = reader.get_metrics_data()
        metrics = [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        for metric in metrics:
            points = [one for one in metric.data.data_points if hasattr(one, "value")]
            found[metric.name] += int(sum(one.value for one in points))
    return dict(found)
