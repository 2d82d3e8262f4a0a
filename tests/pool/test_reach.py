"""Where a pool is within reach: what is bound, and the default pool of the process."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import warnings
from collections.abc import AsyncGenerator

import pytest

import catena
from tests.integration.programs import alive, until
from tests.support import run


@catena.routine
async def where() -> int:
    """Return the process of the worker."""
    return os.getpid()


@catena.routine
async def where_further() -> tuple[int, int]:
    """Return the processes of this call and of one made from here."""
    return os.getpid(), await where()


async def refusal() -> str:
    """Return why a call is refused here."""
    with pytest.raises(catena.NoPool) as caught:
        await where()
    return str(caught.value)


def all_gone(pids: list[int]) -> bool:
    """Wait until no process is there any more; say whether that came to be."""
    return until(lambda: not any(map(alive, pids)), 10)


# ---- open, close, bound


def test_an_open_pool_serves_where_it_is_bound() -> None:
    """P10: `open` binds nothing; `bound` does, and leaving restores what was there."""

    async def main() -> None:
        pool = catena.WorkerPool(1)
        assert not pool.is_open
        assert await pool.open() is pool
        assert pool.is_open
        assert "it is not bound here" in await refusal()
        with pool.bound() as bound:
            assert bound is pool
            assert await where() in pool.pids.values()
        assert "it is not bound here" in await refusal()
        await pool.close()
        assert not pool.is_open
        assert "no worker pool is open here" in await refusal()

    run(main())


def test_the_innermost_pool_serves() -> None:
    """P10: two pools, one within the other, and nested calls stay in the pool of their call."""

    async def main() -> None:
        async with catena.WorkerPool(1) as outer:
            inner = await catena.WorkerPool(1).open()
            with inner.bound():
                assert set(await where_further()) == set(inner.pids.values())
            assert set(await where_further()) == set(outer.pids.values())
            await inner.close()

    run(main())


def test_a_pool_is_bound_in_tasks_that_start_within() -> None:
    """P10: a task that was started within the block goes on with the pool."""

    async def main() -> None:
        pool = await catena.WorkerPool(1).open()
        with pool.bound():
            task = asyncio.create_task(where())
        assert await task in pool.pids.values()
        await pool.close()

    run(main())


def test_leaving_from_another_task_restores_nothing_of_others() -> None:
    """P10: a block that is left in another Context than it was entered in changes nothing there."""

    async def fixture(pool: catena.WorkerPool) -> AsyncGenerator[None, None]:
        with pool.bound():
            yield

    async def main() -> None:
        async with catena.WorkerPool(1) as mine:
            pool = await catena.WorkerPool(1).open()
            steps = fixture(pool)
            there = contextvars.copy_context()
            await asyncio.create_task(anext(steps), context=there)
            assert await where() in mine.pids.values()
            await steps.aclose()
            assert await where() in mine.pids.values()
            await pool.close()

    run(main())


def test_a_closed_pool_may_be_opened_again() -> None:
    """P10: with other workers; closing it twice is fine, opening it twice is not."""

    async def main() -> None:
        pool = catena.WorkerPool(1)
        pids: list[int] = []
        for _ in range(2):
            async with pool:
                pids.append(await where())
                with pytest.raises(RuntimeError, match="open already"):
                    await pool.open()
            await pool.close()
        assert len(set(pids)) == 2
        assert all_gone(pids)
        with pytest.raises(catena.NoPool, match="the pool is not open"), pool.bound():
            pass

    run(main())


def test_a_pool_that_is_closed_twice_at_once_is_closed_once() -> None:
    """P10: both wait until the workers have ended."""

    async def main() -> None:
        pool = await catena.WorkerPool(1).open()
        pids = [*pool.pids.values()]
        await asyncio.gather(pool.close(), pool.close())
        assert not any(map(alive, pids))

    run(main())


def test_a_pool_that_did_not_start_can_be_opened_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """P10: it is closed after a failure, and not the default any more."""

    async def main() -> None:
        pool = catena.WorkerPool(1, default=True)
        monkeypatch.setenv("CATENA_WORKER_BOOTSTRAP", "no_such_module:f")
        with pytest.raises(ExceptionGroup):
            await pool.open()
        assert not pool.is_open
        monkeypatch.delenv("CATENA_WORKER_BOOTSTRAP")
        await pool.open()
        assert await where() in pool.pids.values()
        await pool.close()

    run(main())


def test_a_pool_that_is_lost_ends_its_workers() -> None:
    """P10: with a ResourceWarning."""
    pids: list[int] = []

    async def main() -> None:
        pool = await catena.WorkerPool(1).open()
        pids.extend(pool.pids.values())

    def lose() -> None:
        run(main())
        gc.collect()

    with pytest.warns(ResourceWarning, match="WorkerPool of 1 workers> was not closed"):
        lose()
    assert all_gone(pids)


# ---- one call to another pool


class Counter:
    """Counts in steps, there."""

    def __init__(self, step: int) -> None:
        self.step = step

    @catena.routine
    async def where(self) -> tuple[int, int]:
        """Return the step and the process."""
        return self.step, os.getpid()

    @catena.routine
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        """Yield the process, and then the counts."""
        yield os.getpid()
        for number in range(0, to, self.step):
            yield number


def test_one_call_goes_to_another_pool() -> None:
    """P10, D1: calls, streams, methods, and what they call in turn; the binding stays."""

    async def main() -> None:
        async with catena.WorkerPool(1) as bound:
            other = await catena.WorkerPool(1).open()
            theirs = {*other.pids.values()}
            on = where_further.on(other)
            assert set(await on()) == theirs
            counter = Counter(2)
            assert await counter.where.on(other)() == (2, *theirs)
            assert await Counter.where.on(other)(counter) == (2, *theirs)
            steps = counter.count.on(other)(5)
            assert [step async for step in steps] == [*theirs, 0, 2, 4]
            assert {await where()} == {*bound.pids.values()}
            with pytest.raises(TypeError, match="unexpected keyword"):
                on(surplus=1)  # type: ignore[call-arg]
            await other.close()
            with pytest.raises(catena.NoPool):
                where.on(other)
            with pytest.raises(catena.NoPool, match="the pool was closed"):
                await on()
        with pytest.raises(TypeError, match=r"on\(\) takes a WorkerPool, not int"):
            where.on(3)  # type: ignore[arg-type]

    run(main())


# ---- the default pool


def test_the_default_pool_serves_where_none_is_bound() -> None:
    """P10: what the context binds comes first."""

    async def main() -> None:
        with pytest.raises(catena.NoPool, match="no default pool is open"):
            catena.default_pool()
        default = await catena.WorkerPool(1, default=True).open()
        assert catena.default_pool() is default
        assert set(await where_further()) == set(default.pids.values())
        assert await contextvars.Context().run(asyncio.create_task, where()) in {
            *default.pids.values()
        }
        async with catena.WorkerPool(1) as bound:
            assert await where() in bound.pids.values()
        await default.close()
        assert "no worker pool is open here" in await refusal()

    run(main())


def test_a_second_default_is_refused() -> None:
    """P10: the error gives the line that closes the first."""

    async def main() -> None:
        first = await catena.WorkerPool(1, default=True).open()
        second = catena.WorkerPool(1, default=True)
        with pytest.raises(catena.DefaultPoolExists) as caught:
            await second.open()
        assert "`await catena.default_pool().close()`" in str(caught.value)
        assert caught.value.existing == repr(first)
        assert not second.is_open
        await catena.default_pool().close()
        async with second:
            assert catena.default_pool() is second

    run(main())


def test_a_default_whose_loop_has_ended_is_replaced() -> None:
    """P10: it counts as none, its workers end, and a warning says so."""

    async def opening() -> catena.WorkerPool:
        return await catena.WorkerPool(1, default=True).open()

    async def replacing(lost: catena.WorkerPool) -> None:
        assert not lost.is_open
        assert "no worker pool is open here" in await refusal()
        with pytest.raises(catena.NoPool):
            catena.default_pool()
        with pytest.warns(RuntimeWarning, match="cannot be reached any more"):
            pool = await opening()
        assert await where() in pool.pids.values()
        await pool.close()

    lost = run(opening())
    pids = [*lost.pids.values()]
    run(replacing(lost))
    assert all_gone(pids)


def test_a_pool_whose_loop_has_ended_can_be_closed_and_opened() -> None:
    """P10: on the next loop; as in a notebook whose kernel made a new one."""
    pool = catena.WorkerPool(1)
    first = [*run(pool.open()).pids.values()]
    run(pool.close())
    assert all_gone(first)

    async def main() -> None:
        async with pool:
            assert await where() not in first

    run(main())


def test_a_pool_is_closed_on_its_own_loop() -> None:
    """P10: another loop cannot wait for its links."""

    async def main() -> None:
        async with catena.WorkerPool(1) as pool:
            with pytest.raises(RuntimeError, match="on the event loop that it was opened on"):
                await asyncio.to_thread(asyncio.run, pool.close())
            assert await where() in pool.pids.values()

    run(main())


FORKING = """
import asyncio, os, sys, warnings
import catena

@catena.routine
async def f() -> int:
    return 1

async def main():
    pool = await catena.WorkerPool(1, default=True).open()
    child = os.fork()
    if child == 0:
        try:
            assert not pool.is_open
            try:
                catena.default_pool()
            except catena.NoPool:
                os._exit(0)
        finally:
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), await f())
    await pool.close()

asyncio.run(main())
"""


def test_a_forked_child_has_no_default() -> None:
    """P10: the parent's goes on."""
    with warnings.catch_warnings():
        done = subprocess.run(
            [sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.stdout, done.returncode) == ("0 1\n", 0), done.stderr


FORKED_THREAD = """
import asyncio, contextvars, os, threading
import catena

@catena.routine
async def f() -> int:
    return 1

def call():
    try:
        f.blocking()
    except catena.ForkedPool:
        os._exit(0)

async def main():
    async with catena.WorkerPool(1) as pool:
        child = os.fork()
        if child == 0:
            try:
                threading.Thread(target=contextvars.copy_context().run, args=(call,)).start()
                threading.Event().wait(20)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(code, await asyncio.to_thread(f.blocking))

asyncio.run(main())
"""


def test_a_thread_of_a_forked_child_has_no_pool() -> None:
    """D9: bound in a child, it is refused as anywhere in the child; the parent's goes on."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED_THREAD],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("0 1\n", 0), done.stderr
