"""Broadcasts: one call on each worker of a pool."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

import catena
from tests.support import isolated, run

# A fixed key: a worker that imports this file declares the same one.
color: catena.ContextVar[str] = catena.ContextVar("broadcast.color", namespace="tests", default="-")
ran: list[int] = []


@catena.routine
async def paint(new: str) -> tuple[int, str]:
    """Set the color; return the process and the color before."""
    old = color.get()
    color.set(new)
    return os.getpid(), old


@catena.routine
async def fail_in(pid: int) -> int:
    """Raise in one process."""
    if os.getpid() == pid:
        raise KeyError(pid)
    return pid


@catena.routine
async def wait_for_ever() -> None:
    """Wait."""
    try:
        await asyncio.Event().wait()
    finally:
        ran.append(os.getpid())


@catena.routine
async def count_ended() -> int:
    """Return how many waits have ended here."""
    return len(ran)


@catena.routine
async def stream() -> AsyncGenerator[int, None]:
    """Yield nothing."""
    if ran:
        yield 1


@catena.routine
def hold_slot(seconds: float) -> int:
    """Keep a slot for some time; return the process."""
    time.sleep(seconds)
    return os.getpid()


class Painter:
    """Has a method that is a routine."""

    def __init__(self, new: str) -> None:
        self.new = new

    @catena.routine
    async def paint(self) -> str:
        """Return its color."""
        return self.new


@isolated
def test_each_worker_gets_a_fork_of_the_chain() -> None:
    """P10: it sees the caller's values, and nothing comes back but results."""

    async def main() -> None:
        async with catena.WorkerPool(2) as pool:
            color.set("red")
            found = await pool.broadcast(paint, "blue")
            assert found == {worker: (pid, "red") for worker, pid in pool.pids.items()}
            assert color.get() == "red"
            assert set((await pool.broadcast(Painter("green").paint)).values()) == {"green"}
            # Where no chain is, none is made.
            unarmed = asyncio.create_task(pool.broadcast(paint, new="x"))
            assert {old for _, old in (await unarmed).values()} == {"red"}

    run(main(), 60)


def test_it_works_from_another_loop() -> None:
    """P10: it is handed over as other calls are."""

    async def main() -> None:
        async with catena.WorkerPool(2) as pool:
            found = await asyncio.to_thread(lambda: asyncio.run(_broadcast(pool)))
            assert found == {worker: (pid, "-") for worker, pid in pool.pids.items()}

    run(main(), 60)


async def _broadcast(pool: catena.WorkerPool) -> dict[str, tuple[int, str]]:
    return await pool.broadcast(paint, "blue")


def test_failures_are_one_group() -> None:
    """P10: each says on which worker; a worker that is gone is one of them."""

    async def main() -> None:
        async with catena.WorkerPool(2) as pool:
            (first, pid), (second, other) = pool.pids.items()
            with pytest.raises(ExceptionGroup, match="fail_in failed on 1 of 2 workers") as failed:
                await pool.broadcast(fail_in, pid)
            (error,) = failed.value.exceptions
            assert isinstance(error, KeyError)
            assert f"on worker {first}" in error.__notes__
            os.kill(other, signal.SIGKILL)
            with pytest.raises(ExceptionGroup) as failed:
                await pool.broadcast(fail_in, 0)
            (error,) = failed.value.exceptions
            assert isinstance(error, catena.WorkerLost)
            assert error.worker == second

    run(main(), 60)


def test_cancelling_it_cancels_every_call() -> None:
    """D6: and waits for their ends."""

    async def main() -> None:
        async with catena.WorkerPool(2) as pool:
            call = asyncio.create_task(pool.broadcast(wait_for_ever))
            await asyncio.sleep(0.05)
            await pool.broadcast(count_ended)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert set((await pool.broadcast(count_ended)).values()) == {1}

    run(main(), 60)


def test_what_cannot_be_broadcast() -> None:
    """Bad input: a stream, no routine, wrong arguments, a pool that is closed."""

    async def main() -> None:
        async with catena.WorkerPool(1) as pool:
            with pytest.raises(TypeError, match="is a stream"):
                await pool.broadcast(cast("Any", stream))
            with pytest.raises(TypeError, match="is not a routine"):
                await pool.broadcast(cast("Any", print))
            with pytest.raises(TypeError, match="surplus"):
                await pool.broadcast(cast("Any", paint), "x", surplus=1)
        with pytest.raises(catena.NoPool, match="the pool is not open"):
            await pool.broadcast(paint, "x")

    run(main(), 60)


@isolated
def test_plain_functions_stand_in_the_line_of_the_pool() -> None:
    """P10, P13: they take their turn on each worker, and calls behind them get the slots after."""

    async def main() -> None:
        async with catena.WorkerPool(2) as pool, asyncio.timeout(30):
            pids = {*pool.pids.values()}
            assert {*await asyncio.gather(hold_slot(0.2), hold_slot(0.2))} == pids
            before = [asyncio.ensure_future(hold_slot(0.3)) for _ in range(4)]
            await asyncio.sleep(0.05)
            each = asyncio.ensure_future(pool.broadcast(hold_slot, 0.1))
            await asyncio.sleep(0.05)
            after = [asyncio.ensure_future(hold_slot(0.01)) for _ in range(40)]
            ended: list[str] = []
            for name, calls in (("before", before), ("each", [each]), ("after", after)):
                for call in calls:
                    call.add_done_callback(lambda _, name=name: ended.append(name))
            assert await each == pool.pids
            for calls in (before, after):
                assert {*await asyncio.gather(*calls)} <= pids
            # What one worker has done before the other is done with its share may overtake.
            assert ended[:3].count("before") >= 2
            assert ended.index("each") < 30
        left = catena.statistics()
        assert left.calls == 0

    run(main())
