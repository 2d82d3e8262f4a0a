"""Workers that are killed while calls run: errors at once, and the others go on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from tests.integration import routines
from tests.integration.pools import LOOPS, pooled


async def _soon(task: asyncio.Task[Any], seconds: float = 3) -> BaseException | None:
    """Wait for a task and return what it raised; it must be over soon."""
    done, _ = await asyncio.wait([task], timeout=seconds)
    assert done, "the call still hangs"
    return task.exception()


@pytest.mark.parametrize("here", LOOPS)
def test_a_worker_killed_in_the_middle_of_a_call(here: str) -> None:
    """D7: its calls fail at once with worker and routine named; later calls use the other one."""

    async def work(pool: catena.WorkerPool) -> None:
        names = {pid: name for name, pid in pool.pids.items()}
        calls = [asyncio.create_task(routines.hold(20)) for _ in range(4)]
        quick = [asyncio.create_task(routines.hold(1.0)) for _ in range(4)]
        await asyncio.sleep(0.3)
        victim, survivor = names
        os.kill(victim, signal.SIGKILL)
        await asyncio.sleep(0.3)

        lost = [task for task in calls if task.done()]
        assert len(lost) == 2
        for task in lost:
            error = task.exception()
            assert isinstance(error, catena.WorkerLost)
            assert error.worker == names[victim]
            assert error.routine == "tests.integration.routines.hold"
            assert error.begun is True
            assert names[victim] in str(error)
        outcomes = await asyncio.gather(*quick, return_exceptions=True)
        assert [one for one in outcomes if isinstance(one, int)] == [survivor] * 2
        assert {await routines.pid() for _ in range(6)} == {survivor}
        for task in calls:
            task.cancel()
        await asyncio.wait(calls, timeout=5)

    pooled(work, here=here, restart="never")


def test_a_stream_whose_worker_is_killed() -> None:
    """D7: the next step says so, and the stream is over."""

    async def work(pool: catena.WorkerPool) -> None:
        stream = routines.count_steps(10)
        assert (await anext(stream))[0] == 1
        (victim,) = pool.pids.values()
        os.kill(victim, signal.SIGKILL)
        await asyncio.sleep(0.3)
        with pytest.raises(catena.WorkerLost, match="count_steps"):
            await asyncio.wait_for(anext(stream), 3)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await stream.aclose()
        assert catena.statistics().streams == 0

    pooled(work, spawn=1)


def test_a_routine_that_kills_its_own_worker() -> None:
    """D7: even when nobody but the worker did it."""

    @catena.routine
    async def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def work(pool: catena.WorkerPool) -> None:
        began = time.monotonic()
        with pytest.raises(catena.WorkerLost, match="die"):
            await asyncio.wait_for(die(), 5)
        assert time.monotonic() - began < 5
        assert await routines.pid() in pool.pids.values()

    pooled(work)


def test_all_workers_killed() -> None:
    """P12: calls under way and later ones are errors that name a worker and its exit, no hang."""

    async def work(pool: catena.WorkerPool) -> None:
        call = asyncio.create_task(routines.hold(20))
        await asyncio.sleep(0.2)
        names = set(pool.workers)
        for pid in pool.pids.values():
            os.kill(pid, signal.SIGKILL)
        assert isinstance(await _soon(call), catena.WorkerLost)
        async with asyncio.timeout(5):
            # A call that is sent to a dead worker may have begun there, as far as anyone knows.
            while pool.workers:
                await asyncio.sleep(0.01)
        for _ in range(3):
            with pytest.raises(catena.WorkerLost, match=r"SIGKILL.*restart\(\)") as caught:
                await asyncio.wait_for(routines.pid(), 5)
            assert caught.value.begun is False
            assert caught.value.worker in names

    pooled(work, restart="never")


def test_a_call_sent_to_a_worker_that_has_just_died() -> None:
    """D7: either another worker takes it, or it is WorkerLost; it is never a hang or a resend."""

    async def work(pool: catena.WorkerPool) -> None:
        victim, survivor = pool.pids.values()
        os.kill(victim, signal.SIGKILL)
        calls = [asyncio.create_task(routines.pid()) for _ in range(20)]
        done, pending = await asyncio.wait(calls, timeout=5)
        assert not pending
        for task in done:
            error = task.exception()
            assert isinstance(error, catena.WorkerLost) or task.result() == survivor
        assert await routines.pid() == survivor

    pooled(work, restart="never")


def test_a_nested_call_whose_worker_is_killed() -> None:
    """D7: the loss reaches the caller over two hops, with the nested worker and routine named."""

    @catena.routine
    async def outer() -> AsyncGenerator[int, None]:
        yield os.getpid()
        # Workers are taken in turn, so the call after this one goes to the other.
        while await routines.pid() != os.getpid():
            pass
        await routines.hold(20)

    async def work(pool: catena.WorkerPool) -> None:
        stream = outer()
        host = await anext(stream)
        step = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.5)
        ((name, other),) = ((name, pid) for name, pid in pool.pids.items() if pid != host)
        os.kill(other, signal.SIGKILL)
        error = await _soon(step)
        assert isinstance(error, catena.WorkerLost)
        assert (error.worker, error.routine) == (name, "tests.integration.routines.hold")
        assert "outer" in "".join(error.__notes__)

    pooled(work)


def test_a_blocked_routine_does_not_stop_the_other_worker() -> None:
    """Calls on another worker go on while one's event loop is blocked."""

    @catena.routine
    async def block(seconds: float) -> int:
        time.sleep(seconds)  # noqa: ASYNC251 - the mistake under test
        return os.getpid()

    async def work(pool: catena.WorkerPool) -> None:
        call = asyncio.create_task(block(2.0))
        await asyncio.sleep(0.3)
        quick = [asyncio.create_task(routines.pid()) for _ in range(8)]
        done, pending = await asyncio.wait(quick, timeout=1.2)
        assert not pending, "all of them go to the worker that is free"
        blocked = await call
        assert {task.result() for task in done} == set(pool.pids.values()) - {blocked}

    pooled(work)


def test_a_stopped_worker_is_ended_all_the_same() -> None:
    """Leaving the block ends a process that does not even take signals (SIGSTOP)."""
    pids: list[int] = []

    async def work(pool: catena.WorkerPool) -> None:
        pids.extend(pool.pids.values())
        os.kill(pids[0], signal.SIGSTOP)

    pooled(work, stop_timeout=0.5)

    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
