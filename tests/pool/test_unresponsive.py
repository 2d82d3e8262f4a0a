"""Workers that do not answer: real ones, whose loop is blocked or whose process is stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import catena
from catena.events import WorkerGivenUp, WorkerRecovered, WorkerSuspected
from catena.pool import silence
from catena.pool.stacks import is_stopped
from catena.proxy.balance import Proxy
from catena.testing import Recording, recording
from tests.integration.pools import LOOPS, pooled
from tests.pool.blocking import hold_the_lock, rest, sleep_in_a_coroutine, whoami

SECONDS = 30


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def rest_on_each(pool: catena.WorkerPool) -> list[asyncio.Future[None]]:
    """Have each worker run a call that goes on; return the calls."""
    calls: list[asyncio.Future[None]] = []
    proxy = pool.dispatcher
    assert isinstance(proxy, Proxy)
    while not all(one.caller and one.caller.calls for one in proxy.members):
        calls.append(asyncio.ensure_future(rest()))
        await asyncio.sleep(0.05)
    return calls


def states(pool: catena.WorkerPool) -> list[str]:
    """Return the state of each worker."""
    proxy = pool.dispatcher
    assert isinstance(proxy, Proxy)
    return [one.state for one in proxy.members]


def watched(
    work: Callable[[catena.WorkerPool, Recording], Awaitable[None]], **options: Any
) -> None:
    """Open a pool of two whose workers know the routines; record what becomes of its workers."""

    async def main(pool: catena.WorkerPool) -> None:
        # Importing blocks a loop as well, for long where the machine is busy.
        while {await whoami() for _ in range(4)} != set(pool.pids.values()):
            pass
        with recording(WorkerSuspected, WorkerRecovered, WorkerGivenUp) as recorded:
            await work(pool, recorded)

    pooled(main, **options)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_blocks_a_loop_is_announced_with_its_stack(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """P12: the suspect's stack names the code; a loop that goes on is ready again."""

    async def main(pool: catena.WorkerPool, recorded: Recording) -> None:
        blocked = asyncio.ensure_future(sleep_in_a_coroutine(4))
        await until(lambda: recorded.of(WorkerSuspected))
        [suspected] = recorded.of(WorkerSuspected)
        assert suspected.cause == silence.BLOCKED
        assert "in sleep_in_a_coroutine" in suspected.stack.splitlines()[0]
        assert pool.pids[suspected.worker] == suspected.pid
        if not blocked.done():
            assert sorted(states(pool)) == ["ready", "suspect"]
            assert {await whoami() for _ in range(4)}.isdisjoint({suspected.pid})
        await blocked
        await until(lambda: recorded.of(WorkerRecovered))
        assert states(pool) == ["ready", "ready"]
        assert {await whoami() for _ in range(4)} == set(pool.pids.values())
        assert recorded.of(WorkerGivenUp) == []

    with caplog.at_level(logging.INFO, "catena"):
        watched(main, loop=loop)
    [warning] = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert warning.name == "catena.pool"
    assert "in sleep_in_a_coroutine" in warning.getMessage()
    [_] = [one for one in caplog.records if "answers again" in one.getMessage()]


def test_code_that_holds_the_interpreters_lock_is_found_and_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """P12: the stack is written although no Python code can run; the call says why it was lost."""

    async def main(pool: catena.WorkerPool, recorded: Recording) -> None:
        with pytest.raises(
            catena.WorkerLost, match=r"killed by the pool: it did not answer for . s"
        ) as lost:
            await hold_the_lock()
        assert lost.value.begun is not False
        [suspected] = recorded.of(WorkerSuspected)
        assert (suspected.worker, suspected.cause) == (lost.value.worker, silence.BLOCKED)
        assert "in hold_the_lock" in suspected.stack
        [given_up] = recorded.of(WorkerGivenUp)
        assert given_up.worker == lost.value.worker
        assert await whoami() != suspected.pid

    watched(main, unresponsive_after=2)
    # Each is reported once: that it hangs, and that it is killed for that.
    said = [(one.levelname, vars(one)["event.name"]) for one in caplog.records]
    assert said == [("WARNING", "catena.worker.suspected"), ("ERROR", "catena.worker.given_up")]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says that a process is stopped")
def test_a_stopped_process_is_named_and_killed() -> None:
    """P12: it is not taken for one whose loop is blocked; if it stays stopped it is killed."""

    async def main(pool: catena.WorkerPool, recorded: Recording) -> None:
        worker, pid = next(iter(pool.pids.items()))
        calls = await rest_on_each(pool)
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: any(call.done() for call in calls))
        for call in [one for one in calls if one.done()]:
            with pytest.raises(catena.WorkerLost) as lost:
                await call
            assert (lost.value.worker, lost.value.begun) == (worker, True)
        [suspected] = recorded.of(WorkerSuspected)
        assert (suspected.worker, suspected.cause) == (worker, silence.STOPPED)
        assert [one.pid for one in recorded.of(WorkerGivenUp)] == [pid]
        assert await whoami() != pid
        for call in calls:
            call.cancel()

    watched(main, unresponsive_after=2)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says that a process is stopped")
def test_a_stopped_process_that_goes_on_is_ready_again() -> None:
    """P12: suspect is not gone: after SIGCONT it answers, and gets calls."""

    async def main(pool: catena.WorkerPool, recorded: Recording) -> None:
        pid = next(iter(pool.pids.values()))
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: is_stopped(pid))
        await until(lambda: "suspect" in states(pool))
        assert {await whoami() for _ in range(4)}.isdisjoint({pid})
        os.kill(pid, signal.SIGCONT)
        await until(lambda: recorded.of(WorkerRecovered))
        assert not is_stopped(pid)
        assert {await whoami() for _ in range(4)} == set(pool.pids.values())

    watched(main)


def test_none_never_kills(caplog: pytest.LogCaptureFixture) -> None:
    """P12: without an end a worker is suspect and nothing else."""

    async def main(pool: catena.WorkerPool, recorded: Recording) -> None:
        await sleep_in_a_coroutine(4)
        await until(lambda: recorded.of(WorkerRecovered))
        assert recorded.of(WorkerGivenUp) == []

    watched(main, unresponsive_after=None)


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        (0, ValueError, "unresponsive_after must be positive, it is 0"),
        (-1, ValueError, "unresponsive_after must be positive, it is -1"),
        ("30", TypeError, "unresponsive_after must be a number of seconds, it is '30'"),
    ],
)
def test_a_wrong_patience_is_refused(value: Any, error: type[Exception], says: str) -> None:
    """P12: whoever makes the pool learns which option is wrong."""
    with pytest.raises(error, match=says):
        catena.WorkerPool(unresponsive_after=value)
