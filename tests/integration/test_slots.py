"""Slots and plain functions with real processes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import catena
from catena.errors import WorkerLost
from tests.support import run

tenant: catena.ContextVar[str] = catena.ContextVar("slots.tenant")


@catena.routine
def work(seconds: float, number: int = 0) -> tuple[int, float, float, str]:
    """Block a thread; say where, from when to when, and for whom."""
    began = time.monotonic()
    time.sleep(seconds)
    return os.getpid(), began, time.monotonic(), tenant.get("nobody")


@catena.routine
async def ping() -> int:
    """Answer from the loop."""
    return os.getpid()


@catena.routine(slots=1)
async def deep(depth: int) -> int:
    """Nest, with a plain function at the bottom."""
    if not depth:
        return (await work(0.0))[0] and 1
    return 1 + await deep(depth - 1)


@catena.routine
def stubborn(path: str, seconds: float) -> None:
    """Ignore every cancellation for a while."""
    Path(path).touch()
    time.sleep(seconds)


@catena.routine
def careful(path: str) -> None:
    """Notice that nobody waits any more, and leave a note."""
    Path(path, "begun").touch()
    while not catena.cancelled():
        time.sleep(0.005)
    Path(path, "noticed").touch()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_worker_runs_no_more_than_its_slots() -> None:
    """P13: two workers with two slots run four at a time; the chain reaches each of them."""

    async def main() -> None:
        async with catena.WorkerPool(2, slots=2):
            tenant.set("acme")
            done = await asyncio.gather(*(work(0.05, n) for n in range(12)))
            assert {one[3] for one in done} == {"acme"}
            for pid in {one[0] for one in done}:
                spans = [(began, ended) for where, began, ended, _ in done if where == pid]
                for began, _ in spans:
                    assert sum(a <= began < b for a, b in spans) <= 2

    run(main(), timeout=60)


def test_a_blocked_thread_does_not_hold_up_coroutines() -> None:
    """D1b: while a plain function blocks its thread, the loop of its worker answers."""

    async def main() -> None:
        async with catena.WorkerPool(1):
            blocked = asyncio.ensure_future(work(1.0))
            await ping()
            answered = time.monotonic()
            pid, began, ended, _ = await blocked
            assert await ping() == pid
            assert answered < ended or began > answered

    run(main(), timeout=60)


def test_no_deadlock_with_one_worker_and_one_slot() -> None:
    """P13: ten deep, a hundred at once, coroutines with a slot and plain functions mixed."""

    async def main() -> None:
        async with catena.WorkerPool(1):
            found = await asyncio.gather(*(deep(9) for _ in range(100)))
            assert found == [10] * 100

    run(main(), timeout=60)


def test_a_pool_that_closes_ends_a_function_that_ignores_it(tmp_path: Path) -> None:
    """D1b: the worker ends at its deadline; the waiting caller learns that the pool was closed."""

    async def main() -> None:
        pool = catena.WorkerPool(1, stop_timeout=0.5)
        async with pool:
            path = tmp_path / "begun"
            held = asyncio.ensure_future(stubborn(str(path), 60))
            behind = asyncio.ensure_future(work(0))
            await _until(path.exists)
            closing = time.monotonic()
        assert time.monotonic() - closing < 20
        with pytest.raises(WorkerLost, match="the pool was closed"):
            await held
        with pytest.raises(catena.NoPool, match="the pool was closed"):
            await behind

    run(main(), timeout=60)


def test_a_function_that_asks_ends_with_its_pool(tmp_path: Path) -> None:
    """D1b: the pool waits for it as long as stop_timeout allows."""

    async def main() -> None:
        async with catena.WorkerPool(1, stop_timeout=10):
            held = asyncio.ensure_future(careful(str(tmp_path)))
            await _until((tmp_path / "begun").exists)
        assert (tmp_path / "noticed").exists()
        with pytest.raises(WorkerLost):
            await held

    run(main(), timeout=60)


def refuse_ping(active: int, routine: str) -> str:
    """Refuse one routine, and say how much there is to do."""
    return f"{active} active" if routine.endswith(".ping") else ""


def test_a_worker_refuses_by_a_function_that_it_imports() -> None:
    """P11: the pool's workers import the function by its name, and ask it before each call."""

    async def main() -> None:
        async with catena.WorkerPool(2, refuse=f"{__name__}:refuse_ping"):
            with pytest.raises(catena.Busy, match="0 active"):
                await ping()
            assert (await work(0))[3] == "nobody"
        with pytest.raises(ExceptionGroup) as refused:
            await catena.WorkerPool(1, refuse="tests.integration.test_slots:missing").open()
        assert "refuse: " in str(refused.value.exceptions[0])

    run(main(), timeout=60)
