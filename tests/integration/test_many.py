"""Ten thousand calls in flight, and what is left of them: nothing."""

from __future__ import annotations

import asyncio
import gc
import sys

import pytest

import catena
from tests.integration import routines
from tests.integration.pools import LOOPS, pooled
from tests.integration.routines import color, steps

MANY = 10_000
MIB = 1 << 20

needs_proc = pytest.mark.skipif(
    sys.platform != "linux", reason="resident memory is read from /proc, which Linux alone has"
)


async def settled() -> catena.Statistics:
    """The counts of this process, after a turn of the loop and a collection."""
    await asyncio.sleep(0.05)
    gc.collect()
    return catena.statistics()


async def burst(count: int) -> set[int]:
    """Dispatch so many calls at once; return the processes that ran them."""
    color.set("many")
    outcomes = await asyncio.gather(*(routines.tick(number) for number in range(count)))
    assert [number for number, _ in outcomes] == list(range(count))
    return {pid for _, pid in outcomes}


@pytest.mark.parametrize("here", LOOPS)
def test_ten_thousand_in_flight(here: str) -> None:
    """They all finish; afterwards nothing of them is counted, here or on the workers."""

    async def work(pool: catena.WorkerPool) -> None:
        assert await asyncio.create_task(burst(MANY)) == set(pool.pids.values())

        mine = await settled()
        assert (mine.calls, mine.sessions, mine.streams, mine.transfers) == (0, 0, 0, 0)
        assert (mine.chains, mine.tokens) == (0, 0)
        for _ in pool.workers:
            theirs = await routines.counts()
            assert (theirs.calls, theirs.sessions) == (0, 1), "it counts itself"
            assert (theirs.streams, theirs.transfers) == (0, 0)

    pooled(work, here=here, seconds=90)


@catena.routine
async def collected() -> catena.Statistics:
    """Return the counts of the worker after a collection."""
    gc.collect()
    return catena.statistics()


def test_nothing_of_any_kind_of_call_stays() -> None:
    """T8, D6: success, error, cancel, nested calls, streams ended, closed, thrown into, dropped."""

    async def every_kind(number: int) -> None:
        color.set(f"c{number}")
        await routines.paint("x")
        await routines.paint_deep("y", 2)
        with pytest.raises(routines.Missing):
            await routines.outer_fail("k")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await routines.hold(30)
        async for _ in routines.relay_steps(3):
            pass
        stream = routines.count_steps(3)
        await anext(stream)
        await stream.aclose()
        thrown = routines.count_steps(3)
        await anext(thrown)
        with pytest.raises(KeyError):
            await thrown.athrow(KeyError("k"))
        dropped = routines.count_steps(3)
        await anext(dropped)

    async def work(pool: catena.WorkerPool) -> None:
        await asyncio.gather(*(asyncio.create_task(every_kind(n)) for n in range(20)))
        mine = await settled()
        await asyncio.sleep(0.2)
        mine = await settled()
        assert (mine.calls, mine.sessions, mine.streams, mine.transfers) == (0, 0, 0, 0)
        assert (mine.chains, mine.tokens) == (0, 0)
        for _ in pool.workers:
            theirs = await collected()
            assert (theirs.calls, theirs.sessions, theirs.streams) == (0, 1, 0)
            assert theirs.transfers == 0
            assert theirs.tokens == 0
            assert theirs.chains <= 8, "only what the contexts prepared for their blocks hold"

    pooled(work, seconds=60)


@needs_proc
def test_memory_after_many_calls() -> None:
    """After warm-up, memory is within 20 MiB in both processes."""

    async def rounds(count: int) -> None:
        for _ in range(count):
            await asyncio.create_task(burst(MANY))

    async def weigh() -> tuple[int, int]:
        gc.collect()
        return routines.resident_here(), await routines.resident()

    async def work(pool: catena.WorkerPool) -> None:
        await rounds(1)
        before = await weigh()
        await rounds(3)
        after = await weigh()
        growth = [late - early for early, late in zip(before, after, strict=True)]
        assert all(one < 20 * MIB for one in growth), [one / MIB for one in growth]

    pooled(work, spawn=1, seconds=110)


@needs_proc
def test_memory_after_many_values_functions_and_errors() -> None:
    """Trust: what a link remembers is bounded: ever new values, closures and errors do not pile up.

    Each is 4 KiB; four thousand of each kind would be 48 MiB if they were kept.
    """

    def fresh(number: int):  # noqa: ANN202
        filler = bytes([number % 256]) * 4096 + number.to_bytes(4)

        @catena.routine
        async def closure() -> int:
            return len(filler)

        return closure

    async def one(number: int) -> None:
        color.set(f"{number}" * 800)
        steps.set(number)
        assert await fresh(number)() == 4100
        with pytest.raises(routines.Missing):
            await routines.fail(f"{number}" * 800)

    async def rounds(begin: int, count: int) -> None:
        for start in range(begin, begin + count, 100):
            await asyncio.gather(*(one(number) for number in range(start, start + 100)))

    async def work(pool: catena.WorkerPool) -> None:
        # What is remembered is full, and the allocator's arenas are, after the first half.
        await rounds(0, 5000)
        before = routines.resident_here(), await routines.resident()
        await rounds(5000, 4000)
        after = routines.resident_here(), await routines.resident()
        growth = [late - early for early, late in zip(before, after, strict=True)]
        assert all(one < 20 * MIB for one in growth), [one / MIB for one in growth]

    pooled(work, spawn=1, seconds=110)


def test_links_are_gone_after_the_block() -> None:
    """A process that used pools one after the other has no link, call or session left."""

    async def work(pool: catena.WorkerPool) -> None:
        assert catena.statistics().links == 2
        await routines.nested(4)

    for _ in range(2):
        pooled(work)
    gc.collect()

    mine = catena.statistics()
    assert (mine.links, mine.calls, mine.sessions, mine.streams, mine.transfers) == (0, 0, 0, 0, 0)
