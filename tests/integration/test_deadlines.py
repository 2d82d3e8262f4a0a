"""Deadlines over real processes: what runs two deep ends in time and leaves nothing behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

import catena
from catena import events
from catena.testing import recording
from tests.integration.pools import LOOPS, pooled
from tests.integration.routines import clean_up, color, counts, echo, hold


@catena.routine
async def outer(log: str) -> None:
    """Dispatch on, and note what the color is when that ends."""
    try:
        await clean_up("inner", log)
    finally:
        await asyncio.to_thread(_note, log, f" then {color.get()}")


def _note(log: str, text: str) -> None:
    with open(log, "a", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)


@catena.routine
async def block(begun: Path, end: Path) -> bool:
    """Block the worker's loop until a file is there; say whether it came in time."""
    return _block(begun, end)


def _block(begun: Path, end: Path) -> bool:
    begun.touch()
    deadline = time.monotonic() + 30
    while not end.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return end.exists()


@catena.routine
async def ticking() -> AsyncGenerator[int, None]:
    """Yield numbers, slowly and without end."""
    number = 0
    while True:
        yield number
        number += 1
        await asyncio.sleep(0.01)


async def _nothing_left(pool: catena.WorkerPool) -> None:
    """Wait until no worker has a session but the one that answers, and nothing is open here."""
    async with asyncio.timeout(10):
        while True:
            seen = [await counts() for _ in pool.workers]
            if all(one.sessions == 1 and one.calls == 0 for one in seen):
                break
            await asyncio.sleep(0.01)
    here = catena.statistics()
    assert (here.calls, here.sessions, here.streams) == (0, 0, 0)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_runs_two_deep_ends_when_the_time_is_up(tmp_path: Path, loop: str) -> None:
    """D6, D8: the nested routine cleans up, then the outer one; the caller has what both wrote."""
    log = tmp_path / "log"

    async def work(pool: catena.WorkerPool) -> str:
        with recording(events.Dispatch) as recorded:
            with pytest.raises(TimeoutError) as caught, catena.RuntimeContext(timeout=0.5):
                await outer(str(log))
            assert type(caught.value) is TimeoutError
            [dispatch] = recorded.of(events.Dispatch)
            outcome = recorded.outcome(dispatch)
            assert (outcome.end, outcome.error) == ("failed", caught.value)
        await _nothing_left(pool)
        return color.get()

    assert pooled(work, here=loop, loop=loop) == "cleaned inner"
    assert log.read_text("utf-8") == "inner then cleaned inner"


def test_a_blocked_worker_is_a_dispatch_timeout(tmp_path: Path) -> None:
    """D6: a worker whose loop is blocked accepts nothing, and the call does not wait for it."""
    begun, end = tmp_path / "begun", tmp_path / "end"

    async def work(pool: catena.WorkerPool) -> None:
        blocking = asyncio.create_task(block(begun, end))
        await asyncio.to_thread(_block, tmp_path / "asked", begun)
        with (
            pytest.raises(catena.DispatchTimeout) as caught,
            catena.RuntimeContext(dispatch_timeout=0.1),
        ):
            await echo(1)
        assert caught.value.worker in pool.workers
        assert not blocking.done()
        await asyncio.to_thread(end.touch)
        assert await blocking
        await _nothing_left(pool)

    pooled(work, spawn=1)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_stream_ends_when_the_time_is_up(loop: str) -> None:
    """D6: the loop over it raises, and the generator is gone from the worker."""

    async def work(pool: catena.WorkerPool) -> int:
        seen: list[int] = []
        with pytest.raises(TimeoutError), catena.RuntimeContext(timeout=0.5):
            await _collect(ticking(), seen)
        await _nothing_left(pool)
        assert seen == list(range(len(seen)))
        return len(seen)

    assert pooled(work, here=loop, loop=loop) > 0


async def _collect(stream: AsyncGenerator[int, None], into: list[int]) -> None:
    async for number in stream:
        into += [number]


def test_many_calls_with_and_without_a_deadline_keep_theirs() -> None:
    """D8: of calls under way at the same time those expire that are bounded, and no others."""

    async def bounded() -> str:
        with catena.RuntimeContext(timeout=0.3):
            try:
                await hold(60)
            except TimeoutError:
                return "late"
        return "in time"

    async def free() -> str:
        with catena.RuntimeContext(timeout=60, dispatch_timeout=60):
            await hold(1.0)
        return "in time"

    async def work(pool: catena.WorkerPool) -> list[str]:
        answers = await asyncio.gather(*(one() for _ in range(20) for one in (bounded, free)))
        await _nothing_left(pool)
        return answers

    assert pooled(work) == 20 * ["late", "in time"]
