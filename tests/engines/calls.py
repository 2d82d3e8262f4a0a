"""Calls by which tests find out which workers there are, on a machine that may be busy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import catena
from tests.engines.routines import identify, identify_nested, rest

__all__ = [
    "await_absence",
    "await_count",
    "find_pids",
    "nest_elsewhere",
    "resize_while_calling",
]


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


async def resize_while_calling(
    pool: catena.WorkerPool,
    numbers: Sequence[int],
    seconds: float,
    check: Callable[[int], Awaitable[None]],
) -> None:
    """Have so many workers, one number after the other, while calls go on that all have to end.

    Some take so many ``seconds``; ``check`` is called when the pool was resized to a number.
    """
    stopping = False
    counts: list[int] = []

    async def call() -> None:
        while not stopping:
            await rest(0.05)
            counts.append(1)

    calling = [asyncio.ensure_future(call()) for _ in range(6)]
    for many in numbers:
        before = len(counts)
        long = [asyncio.ensure_future(rest(seconds)) for _ in range(3)]
        await asyncio.sleep(0.1)
        await pool.resize(many)
        await check(many)
        await asyncio.gather(*long)
        assert len(counts) > before
    stopping = True
    await asyncio.gather(*calling)
