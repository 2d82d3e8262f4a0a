"""Workers that are let go: who answers what they had, and who takes their place."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from catena import events
from catena.testing import recording
from tests.integration import routines
from tests.integration.pools import LOOPS, pooled


@catena.routine
async def wait_and_nest(seconds: float) -> tuple[int, set[int]]:
    """Take so long; return which process this is, and which ones nested calls have met."""
    await asyncio.sleep(seconds)
    return os.getpid(), {await routines.pid() for _ in range(4)}


@catena.routine
async def count_slowly(to: int) -> AsyncGenerator[int, None]:
    """Count."""
    for number in range(to):
        yield number


@pytest.mark.parametrize("here", LOOPS)
def test_a_drained_worker_answers_what_it_has(here: str) -> None:
    """P12: the replacement is ready first; old calls end where they began, new ones go there."""

    async def work(pool: catena.WorkerPool) -> None:
        (old,) = pool.workers
        pid = pool.pids[old]
        calls = [asyncio.create_task(routines.hold(1.0)) for _ in range(5)]
        await routines.pid()
        with recording(events.WorkerReplaced, events.WorkerExited) as recorded:
            draining = asyncio.create_task(pool.drain(old))
            met = {pid}
            while not draining.done():
                met.add(await routines.pid())
                await asyncio.sleep(0)
            await draining
        assert {await call for call in calls} == {pid}
        (new,) = pool.workers
        assert met == {pid, pool.pids[new]}
        assert recorded.events == [
            events.WorkerReplaced(old, new, "drained"),
            events.WorkerExited(old, pid, 0, "ended when it had drained"),
        ]

    pooled(work, spawn=1, here=here)


def test_a_drain_during_nested_calls_comes_to_an_end() -> None:
    """P12, P2: what a draining worker runs goes on calling, and reaches the replacement."""

    async def work(pool: catena.WorkerPool) -> None:
        (old,) = pool.workers
        pid = pool.pids[old]
        stream = count_slowly(3)
        assert await anext(stream) == 0
        draining = asyncio.create_task(pool.drain(old))
        while len(pool.workers) < 2:
            await asyncio.sleep(0.01)
        # Its stream holds it, so what it runs now runs while it drains.
        late = asyncio.create_task(stream.asend(None))
        assert await late == 1
        assert pool.pids[old] == pid
        await stream.aclose()
        await draining
        assert old not in pool.workers

    async def nest(pool: catena.WorkerPool) -> None:
        (old,) = pool.workers
        call = asyncio.create_task(wait_and_nest(5.0))
        await routines.pid()
        await pool.drain(old)
        host, met = await call
        assert met == {*pool.pids.values()} != {host}

    pooled(work, spawn=1)
    pooled(nest, spawn=1)


def test_what_is_left_at_the_end_of_a_drain_is_lost() -> None:
    """P12: with begun=True and the reason, streams included."""

    async def work(pool: catena.WorkerPool) -> None:
        (old,) = pool.workers
        call = asyncio.create_task(routines.hold(60))
        stream = count_slowly(3)
        await anext(stream)
        await pool.drain(old)
        for lost in (call, anext(stream)):
            with pytest.raises(catena.WorkerLost, match=r"drain_timeout of 0\.3 s was over") as it:
                await lost
            assert (it.value.worker, it.value.begun, it.value.closed) == (old, True, False)
        assert await routines.pid() in pool.pids.values()

    pooled(work, spawn=1, drain_timeout=0.3, stop_timeout=1.0)


def test_a_draining_worker_that_dies_fails_its_calls_and_is_replaced_once() -> None:
    """P12: with its exit in words."""

    async def work(pool: catena.WorkerPool) -> None:
        (old,) = pool.workers
        pid = pool.pids[old]
        call = asyncio.create_task(routines.hold(60))
        await routines.pid()
        draining = asyncio.create_task(pool.drain(old))
        while len(pool.workers) < 2:
            await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(catena.WorkerLost, match="SIGKILL"):
            await call
        await draining
        assert len(pool.workers) == 1
        assert await routines.pid() in pool.pids.values()

    pooled(work, spawn=1)


def test_a_pool_grows_and_shrinks() -> None:
    """P12: new workers get calls, and those that are too many lose none."""

    async def work(pool: catena.WorkerPool) -> None:
        (first,) = pool.workers
        await pool.resize(3)
        assert len(pool.workers) == 3
        assert {await routines.pid() for _ in range(6)} == set(pool.pids.values())
        calls = [asyncio.create_task(routines.hold(0.5)) for _ in range(9)]
        await routines.pid()
        await pool.resize(1)
        assert pool.workers == (first,)
        await asyncio.gather(*calls)
        assert repr(pool) == "<WorkerPool of 1 workers>"

    pooled(work, spawn=1)


def test_a_worker_that_gets_sigterm_serves_until_its_parent_lets_go() -> None:
    """P12: calls are answered as before; it ends with the pool, long before drain_timeout."""
    pids: list[int] = []

    async def work(pool: catena.WorkerPool) -> None:
        pids.extend(pool.pids.values())
        call = asyncio.create_task(routines.hold(0.5))
        await routines.pid()
        os.kill(pids[0], signal.SIGTERM)
        assert await call == pids[0]
        assert await routines.pid() == pids[0]

    pooled(work, spawn=1, drain_timeout=25.0)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_worker_that_gets_sigterm_ends_after_a_while_and_is_replaced() -> None:
    """P12: at most drain_timeout later."""

    async def work(pool: catena.WorkerPool) -> None:
        (old,) = pool.workers
        await routines.pid()
        with recording(events.WorkerExited) as recorded:
            os.kill(pool.pids[old], signal.SIGTERM)
            while old in pool.workers or not pool.workers:
                await asyncio.sleep(0.01)
        (exited,) = recorded.events
        assert isinstance(exited, events.WorkerExited)
        assert (exited.worker, exited.reason) == (old, "ended by SIGTERM")
        assert await routines.pid() in pool.pids.values()

    pooled(work, spawn=1, drain_timeout=0.2)


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda pool: pool.drain("nobody"), ValueError, "'nobody'; there are: .*-0"),
        (lambda pool: pool.resize(0), ValueError, "workers must be at least 1, it is 0"),
        (lambda pool: pool.resize(-1), ValueError, "workers must be at least 1, it is -1"),
        (lambda pool: pool.resize(None), TypeError, "workers must be a whole number"),
        (lambda pool: pool.resize(1.5), TypeError, "workers must be a whole number"),
    ],
)
def test_wrong_changes_are_refused(change: Any, kind: type[Exception], text: str) -> None:
    """P12: by name, and nothing changes; on a closed pool NoPool says so."""

    async def work(pool: catena.WorkerPool) -> catena.WorkerPool:
        before = pool.workers
        with pytest.raises(kind, match=text):
            await change(pool)
        assert pool.workers == before
        return pool

    pooled(work, spawn=1)


def test_a_closed_pool_is_not_changed() -> None:
    """P12: there is nobody to drain."""

    async def main() -> None:
        for change in (catena.WorkerPool(1).drain("any"), catena.WorkerPool(1).resize(2)):
            with pytest.raises(catena.NoPool, match="not open"):
                await change
        with pytest.raises(ValueError, match="drain_timeout must be positive"):
            catena.WorkerPool(1, drain_timeout=0)

    asyncio.run(main())
