"""Calls by which tests find out which workers there are, on a machine that may be busy."""

from __future__ import annotations

import asyncio
import time

import catena
from tests.engines.routines import identify, identify_nested

__all__ = ["await_absence", "await_count", "find_pids", "nest_elsewhere"]


async def await_count(pool: catena.WorkerPool, many: int) -> None:
    """Wait until the pool has so many workers."""
    while len(pool.workers) != many:
        await asyncio.sleep(0.005)


async def find_pids(many: int) -> set[int]:
    """Call until so many processes have answered, and return them.

    On a machine that is busy a worker may be suspect for a while, and get no calls.
    """
    found: set[int] = set()
    while len(found) < many:
        found |= set(await asyncio.gather(*(identify() for _ in range(8))))
    return found


async def nest_elsewhere() -> tuple[int, int]:
    """Call until a nested call has gone to another worker, and return both processes."""
    first, second = await identify_nested()
    while first == second:
        first, second = await identify_nested()
    return first, second


async def await_absence(lost: int) -> float:
    """Call until a process gets no calls any more; return when the last one was made that it got.

    The answers of others do not count: they take their time on a machine that is busy.
    """
    last = 0.0
    while True:
        began = time.monotonic()
        found = await asyncio.gather(*(identify() for _ in range(8)), return_exceptions=True)
        if not any(isinstance(one, BaseException) or one == lost for one in found):
            return last or began
        last = began
