"""Nested calls while their workers are killed and recycled, and the leases that are left."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import catena
from catena.errors import WorkerLost
from catena.events import WorkerReplaced
from catena.events.bus import subscribe
from tests.integration import nesting
from tests.integration.pools import pooled

__all__ = ["lose_workers"]

WORKERS = 2
MAX_CALLS = 20
"""After how many calls a worker is recycled."""

TOGETHER = 10
"""How many calls are made at once."""

ROUNDS = 10
"""After so many times one more worker has been recycled, and another one is killed."""

DEADLINE = 30.0
"""Seconds after which a round counts as hanging."""


def lose_workers(count: int, progress: Callable[[int], object] = lambda _: None) -> Counter[str]:
    """Make so many calls, each of which makes one of its own; return what was met.

    AssertionError where a lease is left in the end other than that of whoever asks.
    """
    met: Counter[str] = Counter()

    async def work(pool: catena.WorkerPool) -> None:
        for done in range(0, count, TOGETHER):
            is_last = done // TOGETHER % ROUNDS == ROUNDS - 1
            if is_last:
                recycled = met["worker recycled"]
                await _wait_until(lambda before=recycled: met["worker recycled"] > before)
            async with asyncio.timeout(DEADLINE):
                await _make_calls(met, with_death=is_last)
            progress(done + TOGETHER)
        held: dict[str, Any] = {}
        async with asyncio.timeout(DEADLINE):
            # One that has just been recycled is not there yet.
            while len(held) < WORKERS:
                await asyncio.sleep(0.1)
                held = await pool.broadcast(nesting.held)
        for worker, found in held.items():
            assert found == [("held", "chain")], f"leases are left on {worker}: {found}"

    def note(replaced: WorkerReplaced) -> None:
        met["worker recycled" if "max_calls" in replaced.reason else "worker killed"] += 1

    with subscribe(note, WorkerReplaced):
        pooled(work, spawn=WORKERS, max_calls=MAX_CALLS, seconds=DEADLINE + count)
    return met


async def _wait_until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not is_so():
            await asyncio.sleep(0.01)


async def _make_calls(met: Counter[str], *, with_death: bool) -> None:
    """Make some calls at once, and perhaps a call that kills its worker meanwhile."""
    calls = [asyncio.ensure_future(nesting.hops(1)) for _ in range(TOGETHER)]
    dying = [asyncio.ensure_future(nesting.die())] if with_death else []
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, WorkerLost):
            raise outcome
        met["calls lost" if isinstance(outcome, WorkerLost) else "calls answered"] += 1
    for died in await asyncio.gather(*dying, return_exceptions=True):
        assert isinstance(died, WorkerLost), died
