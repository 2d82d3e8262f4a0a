"""Workers that are replaced because of what they have done, or what they hold."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

import catena
from catena import events
from catena.pool.recycling import Recycling, read_memory
from catena.testing import recording
from tests.integration import routines
from tests.integration.pools import pooled

_hoard: list[bytes] = []


@catena.routine
async def hoard(size: int) -> None:
    """Keep so many bytes for good."""
    _hoard.append(os.urandom(1) * size)


def test_limits_are_reached_a_little_early_and_not_by_all_at_once() -> None:
    """P12: each worker has its own, at most a fifth lower, the same one each time it is asked."""
    recycling = Recycling(max_calls=1_000)
    first = {
        worker: next(n for n in range(2_000) if recycling.find_reason(worker, n, 0))
        for worker in map(str, range(50))
    }
    assert 800 <= min(first.values()) < max(first.values()) <= 1_000
    assert len({*first.values()}) > 20
    assert recycling.find_reason("1", 1_000, 0) == "max_calls: it has answered 1,000 calls"


def test_each_limit_counts_alone() -> None:
    """P12: a limit of one is reached by one, and without a limit nothing is."""
    assert not Recycling().find_reason("w", 10**9, 10**12)
    assert not Recycling(max_calls=1).find_reason("w", 0, 10**12)
    assert Recycling(max_calls=1).find_reason("w", 1, 0)
    assert Recycling(max_memory=10).find_reason("w", 0, 10) == "max_memory: it holds 10 bytes"


def test_the_memory_of_a_process_is_known() -> None:
    """P12: in bytes; that of one that has ended is nothing."""
    assert 10 << 20 < read_memory(os.getpid()) < 100 << 30
    assert read_memory(2**22 + 1) == 0


@pytest.mark.parametrize(
    ("option", "limit"), [("max_calls", 20), ("max_memory", 256 << 20)], ids=["calls", "memory"]
)
def test_a_worker_at_its_limit_is_replaced_and_loses_nothing(option: str, limit: int) -> None:
    """P12: as by a drain; the event says why."""

    async def work(pool: catena.WorkerPool) -> None:
        (old,) = pool.workers
        with recording(events.WorkerReplaced) as recorded:
            await hoard(300 << 20 if option == "max_memory" else 1)
            answers = 0
            while old in pool.workers:
                answers += await routines.echo(1)
                await asyncio.sleep(0.01)
        assert answers >= 1
        replaced = recorded.events[0]
        assert isinstance(replaced, events.WorkerReplaced)
        assert replaced.worker == old
        assert replaced.reason.startswith(f"{option}: it ")

    options: dict[str, Any] = {option: limit}
    pooled(work, spawn=1, **options)


@pytest.mark.parametrize("option", ["max_calls", "max_memory"])
def test_wrong_limits_are_refused(option: str) -> None:
    """P12: when the pool is constructed, by name."""
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"{option} must be at least 1"):
            catena.WorkerPool(1, **{option: wrong})
    with pytest.raises(TypeError, match=f"{option} must be a whole number"):
        catena.WorkerPool(1, **{option: "1 GB"})
