"""Calls through real processes: sizes, nesting, exceptions, cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from itertools import pairwise
from pathlib import Path

import pytest

import catena
from tests.integration import routines
from tests.integration.pools import LOOPS, pooled
from tests.integration.routines import color

MB = 1_000_000


def test_arguments_and_results_of_every_size() -> None:
    """D2: nothing, a megabyte, a hundred megabytes, in each direction."""

    async def work(pool: catena.WorkerPool) -> None:
        for size in (0, 1, MB, 100 * MB):
            assert await routines.measured(b"x" * size) == size
            assert await routines.zeros(size) == bytes(size)
            assert catena.statistics().transfers == 0

    pooled(work, spawn=1, seconds=60)


def test_a_large_call_does_not_hold_up_a_small_one() -> None:
    """M7: messages are cut by bytes, so small calls pass a large one on the same link."""

    async def work(pool: catena.WorkerPool) -> None:
        large = asyncio.create_task(routines.zeros(100 * MB))
        await asyncio.sleep(0)
        small = [await routines.echo(number) for number in range(5)]
        assert small == list(range(5))
        assert len(await large) == 100 * MB

    pooled(work, spawn=1, seconds=60)


def test_values_of_many_kinds() -> None:
    """D2: what comes back equals what went, and is of the same type."""
    values = [None, 0, -(2**70), 1.5, "ü☃", b"\0", (1, [2, {3}], {"k": ()}), Path("a/b"), ...]

    async def work(pool: catena.WorkerPool) -> None:
        for value in values:
            back = await routines.echo(value)
            assert back == value
            assert type(back) is type(value)

    pooled(work, spawn=1)


@pytest.mark.parametrize("here", LOOPS)
def test_nested_calls_run_on_other_workers(here: str) -> None:
    """D3: a routine's calls go through the same pool, round robin."""

    async def work(pool: catena.WorkerPool) -> None:
        pids = await routines.nested(6)
        assert len(pids) == 6
        assert set(pids) == set(pool.pids.values())

    pooled(work, spawn=3, here=here)


def test_more_nested_calls_than_workers() -> None:
    """D3: a chain of calls that waits for itself on one worker ends; nothing is a slot."""

    async def work(pool: catena.WorkerPool) -> None:
        assert len(await routines.nested(30)) == 30

    pooled(work, spawn=1)


def test_calls_take_turns() -> None:
    """One after the other; on a busy machine one that is held up for a moment is passed over."""

    async def work(pool: catena.WorkerPool) -> None:
        pids = [await routines.pid() for _ in range(30)]
        assert set(pids) == set(pool.pids.values())
        assert sum(one != other for one, other in pairwise(pids)) > 15

    pooled(work, spawn=3)


def test_a_remote_traceback_over_two_hops() -> None:
    """D5: class and facts are the error's own; each hop's frames are shown once, in order."""

    async def work(pool: catena.WorkerPool) -> None:
        with pytest.raises(routines.Missing) as caught:
            await routines.outer_fail("k")
        assert (caught.value.key, caught.value.tried) == ("k", 3)
        text = "".join(traceback.format_exception(caught.value))
        outer = text.index("in routine tests.integration.routines.outer_fail:")
        inner = text.index("in routine tests.integration.routines.fail:")
        assert outer < inner
        assert text.count("Remote traceback") == 1
        assert text.count("raise Missing(key=key, tried=3)") == 1
        assert text.count("await fail(key)") == 1
        assert sum(text.count(f"on worker {worker},") for worker in pool.workers) == 2
        assert "catena/dispatch/running.py" not in text

    pooled(work)


@pytest.mark.parametrize("here", LOOPS)
def test_exceptions_that_end_a_process_do_not_end_the_worker(here: str) -> None:
    """D5, D6: SystemExit, KeyboardInterrupt and an own CancelledError reach the caller as such."""

    async def work(pool: catena.WorkerPool) -> None:
        (worker,) = pool.pids.values()
        for kind in (SystemExit, KeyboardInterrupt, asyncio.CancelledError):
            with pytest.raises(kind) as caught:
                await routines.leave(kind.__name__)
            assert getattr(caught.value, "code", 7) == 7
            assert await routines.pid() == worker

    pooled(work, spawn=1, here=here)


@pytest.mark.parametrize("here", LOOPS)
def test_cancellation_with_cleanup(here: str, tmp_path: Path) -> None:
    """D6: the routine cleans up on its worker; the caller waits for it and sees its changes."""
    log = tmp_path / "log"

    async def cancelled() -> str:
        try:
            await routines.clean_up("deeply", str(log))
        except asyncio.CancelledError:
            return color.get()
        raise AssertionError("it was not cancelled")

    async def work(pool: catena.WorkerPool) -> None:
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0.3)
        task.cancel()
        assert await asyncio.wait_for(task, 4) == "cleaned deeply"
        assert log.read_text() == "deeply"
        assert catena.statistics().calls == 0

    pooled(work, here=here)


def test_timeout_over_a_nested_call(tmp_path: Path) -> None:
    """D6: a cancellation goes down to the worker of the nested call, and its cleanup is awaited."""
    log = tmp_path / "log"

    async def work(pool: catena.WorkerPool) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await routines.apply(routines.clean_up, "nested", str(log))
        assert log.read_text() == "nested"
        assert [counts.sessions for counts in await _counts(pool)] == [1, 1]

    pooled(work)


async def _counts(pool: catena.WorkerPool) -> list[catena.Statistics]:
    """The counts of every worker, by turns."""
    return [await routines.counts() for _ in pool.workers]


def test_a_second_cancel_stops_waiting_not_the_cleanup(tmp_path: Path) -> None:
    """D6: the caller goes on at once, and the routine still finishes its cleanup."""
    log = tmp_path / "log"

    @catena.routine
    async def slow_end() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.8)
            await asyncio.to_thread(log.write_text, "done")

    async def work(pool: catena.WorkerPool) -> None:
        task = asyncio.create_task(slow_end())
        await asyncio.sleep(0.3)
        began = time.monotonic()
        task.cancel()
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 0.7
        assert not log.exists()
        for _ in range(100):
            # It is there before it is written.
            if log.exists() and log.read_text():
                break
            await asyncio.sleep(0.02)
        assert log.read_text() == "done"

    pooled(work, spawn=1)


def test_leaving_the_block_lets_routines_clean_up(tmp_path: Path) -> None:
    """D6: a worker that loses its link cancels its calls, and their cleanup runs."""
    log = tmp_path / "log"

    async def work(pool: catena.WorkerPool) -> None:
        task = asyncio.create_task(routines.clean_up("left", str(log)))
        await asyncio.sleep(0.3)
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), 0.01)
        task.add_done_callback(lambda task: task.exception())

    pooled(work, spawn=1)

    assert log.read_text() == "left"


def test_a_generator_closes_its_finally_on_the_worker(tmp_path: Path) -> None:
    """D2: leaving the loop early and closing run the generator's finally, in its process."""
    log = tmp_path / "log"

    @catena.routine
    async def guarded():  # noqa: ANN202
        try:
            for number in range(100):
                yield number
        finally:
            await asyncio.to_thread(log.write_text, "closed")

    async def work(pool: catena.WorkerPool) -> None:
        async with contextlib.aclosing(guarded()) as stream:
            async for number in stream:
                if number == 3:
                    break
        assert log.read_text() == "closed"
        assert catena.statistics().streams == 0

    pooled(work, spawn=1)


def test_asend_and_athrow() -> None:
    """D2: a generator on a worker is driven as a local one is."""

    @catena.routine
    async def adder():  # noqa: ANN202
        total = 0
        while True:
            try:
                total += yield total
            except ValueError as error:
                total = -int(str(error))

    async def drive(function) -> list[int]:  # noqa: ANN001
        stream = function()
        told = [await stream.asend(None), await stream.asend(5), await stream.asend(7)]
        told.append(await stream.athrow(ValueError("40")))
        told.append(await stream.asend(2))
        await stream.aclose()
        return told

    async def work(pool: catena.WorkerPool) -> None:
        assert await drive(adder) == await drive(adder.local) == [0, 5, 12, -40, -38]

    pooled(work, spawn=1)


def test_unpicklable_arguments_and_results_are_named() -> None:
    """D5: SerializationError names routine and argument, or the result."""
    import threading

    @catena.routine
    async def lock_there() -> object:
        return threading.Lock()

    async def work(pool: catena.WorkerPool) -> None:
        with pytest.raises(catena.SerializationError, match=r"argument 'value'.*echo"):
            await routines.echo(threading.Lock())
        with pytest.raises(catena.SerializationError, match="the result"):
            await lock_there()
        assert await routines.echo(1) == 1

    pooled(work, spawn=1)
