"""``kill_after``: a routine that goes on when its time is up costs its worker its life."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.events import RoutineOverran, WorkerExited, WorkerReplaced
from catena.pool.overtime import OvertimeWatch, overtime_path, read_overtime
from catena.testing import recording
from tests.integration.pools import pooled
from tests.pool.blocking import whoami
from tests.pool.overrunning import (
    block_the_loop,
    end_late,
    go_on_in_a_thread,
    hold_the_lock_for_long,
    nest_under_options,
    rest_for_long,
    swallow_cancellation,
    tidy_up,
    yield_and_block,
)

SECONDS = 30


async def take_two_steps() -> None:
    """Drive a stream until its second step."""
    async for _ in yield_and_block():
        pass


@pytest.mark.parametrize(
    ("overrun", "loop"),
    [
        (go_on_in_a_thread, "uvloop"),
        (block_the_loop, "uvloop"),
        (swallow_cancellation, "asyncio"),
        (hold_the_lock_for_long, "asyncio"),
        (take_two_steps, "asyncio"),
    ],
)
def test_a_worker_is_killed_for_a_routine_that_goes_on(overrun: Any, loop: str) -> None:
    """P12: who ran beside it learns for which routine; another worker answers; no death counts."""

    async def main(pool: catena.WorkerPool) -> None:
        (old,) = pool.workers
        beside = asyncio.ensure_future(rest_for_long())
        await whoami()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await overrun()
        with pytest.raises(catena.WorkerLost) as lost:
            await beside
        assert time.monotonic() - began >= 0.99
        assert (lost.value.worker, lost.value.begun) == (old, True)
        said = r"killed by the pool: routine \S+ had not ended 0\.5 s after its timeout"
        assert lost.match(said)
        name = "yield_and_block" if overrun is take_two_steps else overrun.__name__
        assert name in lost.value.cause
        # With a limit of one death the pool would have none left.
        assert await whoami() == pool.pids[next(iter({*pool.workers} - {old}))]

    pooled(main, spawn=1, loop=loop, restart_limit=1, restart_pause=0.1)


def test_a_worker_that_is_late_takes_no_calls_and_is_replaced_at_once() -> None:
    """P12: when the routine ends in time the worker answers its other calls, and ends unharmed."""

    async def main(pool: catena.WorkerPool) -> None:
        (old,) = pool.workers
        pid = pool.pids[old]
        beside = asyncio.ensure_future(rest_for_long())
        await whoami()
        with recording(RoutineOverran, WorkerReplaced, WorkerExited) as recorded:
            with pytest.raises(TimeoutError):
                await end_late(1.5)
            await asyncio.sleep(0.2)
            assert await whoami() != pid
            [overran] = recorded.of(RoutineOverran)
            assert (overran.worker, overran.pid, overran.kill_after) == (old, pid, 20)
            assert overran.routine.endswith("end_late")
            [replaced] = recorded.of(WorkerReplaced)
            assert replaced.worker == old
            assert replaced.reason == f"routine {overran.routine} went on when its time was up"
            # Beyond the end of the function: nothing is killed, whoever else runs there.
            await asyncio.sleep(2)
            assert not beside.done()
            beside.cancel()
            async with asyncio.timeout(SECONDS):
                while not recorded.of(WorkerExited):
                    await asyncio.sleep(0.01)
            [exited] = recorded.of(WorkerExited)
            assert (exited.worker, exited.exit_code) == (old, 0)
            assert exited.reason == "ended when it had drained"

    pooled(main, spawn=1)


def test_a_routine_that_ends_when_it_is_cancelled_harms_nobody() -> None:
    """D6: a timeout alone, with a clean end, replaces no worker."""

    async def main(pool: catena.WorkerPool) -> None:
        before = pool.pids
        with recording(RoutineOverran) as recorded:
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await tidy_up()
            # Longer than one beat.
            await asyncio.sleep(1.3)
        assert recorded.of(RoutineOverran) == []
        assert pool.pids == before
        assert await whoami() in before.values()

    pooled(main, spawn=1)


def test_calls_of_a_routine_inherit_it() -> None:
    """D8: what a RuntimeContext says holds for nested calls; their worker goes first."""

    async def main(pool: catena.WorkerPool) -> None:
        with recording(WorkerExited) as recorded:
            with (
                catena.RuntimeContext(timeout=0.5, kill_after=0.5),
                pytest.raises(TimeoutError),
            ):
                await nest_under_options()
            async with asyncio.timeout(SECONDS):
                while not recorded.of(WorkerExited):
                    await asyncio.sleep(0.01)
        # Calls that ran beside it were lost.
        assert all(one.unexpected for one in recorded.of(WorkerExited))
        reasons = [one.reason for one in recorded.of(WorkerExited)]
        assert any("_block_without_options had not ended 0.45 s" in one for one in reasons), reasons

    pooled(main)


def test_a_pool_that_replaces_nobody_loses_the_worker() -> None:
    """P12: restart="never" holds here, too."""

    async def main(pool: catena.WorkerPool) -> None:
        pids = {*pool.pids.values()}
        with pytest.raises(TimeoutError):
            await go_on_in_a_thread()
        async with asyncio.timeout(SECONDS):
            while len(pool.pids) == 2:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert len(pool.pids) == 1
        assert {await whoami() for _ in range(4)} == {*pool.pids.values()} <= pids

    pooled(main, restart="never")


def test_the_pool_warns(caplog: pytest.LogCaptureFixture) -> None:
    """P12: one warning says which worker takes no more calls, and for which routine."""

    async def main(pool: catena.WorkerPool) -> None:
        with pytest.raises(TimeoutError):
            await end_late(1.2)
        async with asyncio.timeout(SECONDS):
            while len(pool.pids) == 1 and not caplog.records:
                await asyncio.sleep(0.01)

    with caplog.at_level(logging.WARNING, "catena"):
        pooled(main, spawn=1)
    said = [one.getMessage() for one in caplog.records if "end_late" in one.getMessage()]
    (line,) = said
    assert "takes no more calls: routine tests.pool." in line


# ---- the watch of one worker


def test_the_call_that_is_killed_for_first_is_in_the_file(tmp_path: Path) -> None:
    """P12: the pool reads it; a call that has ended is not there any more."""
    path = overtime_path(tmp_path / "w1.sock")
    watch = OvertimeWatch(path, threading.Event().set)
    assert read_overtime(path) is None
    soon = time.monotonic() + 60
    end_first = watch.begin_call("app.a b", soon, 20)
    end_second = watch.begin_call("app.c", soon, 10)
    end_third = watch.begin_call("app.d", soon, 10.5)

    def shown() -> tuple[str, float] | None:
        found = read_overtime(path)
        return found and (found.routine, found.seconds)

    assert shown() == ("app.c", 10)
    end_third()
    assert shown() == ("app.c", 10)
    end_second()
    assert shown() == ("app.a b", 20)
    found = read_overtime(path)
    assert found is not None
    assert (found.kill_at, found.late_at) == (pytest.approx(soon + 20), pytest.approx(soon + 0.1))
    end_first()
    assert shown() is None
    assert not watch.is_late


def test_a_late_call_stays_in_the_file_and_a_later_one_ends_the_worker(tmp_path: Path) -> None:
    """P12: once late is late for good; what ends the worker comes at its time, and not before."""
    path, ended = tmp_path / "w1.overtime", threading.Event()
    watch = OvertimeWatch(path, ended.set)
    end = watch.begin_call("app.a", time.monotonic(), 60)
    deadline = time.monotonic() + 20
    while not watch.is_late:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    end()
    found = read_overtime(path)
    assert found is not None
    assert (found.routine, found.kill_at) == ("app.a", math.inf)
    kill_at = time.monotonic() + 0.3
    watch.begin_call("app.b", kill_at - 0.2, 0.2)
    assert ended.wait(20)
    assert time.monotonic() >= kill_at
    found = read_overtime(path)
    assert found is not None
    assert found.verdict == "routine app.b had not ended 0.2 s after its timeout"


def test_calls_that_end_in_time_wake_nobody_up(tmp_path: Path) -> None:
    """P12: a call that has ended is not counted late, nor ended for."""
    ended = threading.Event()
    watch = OvertimeWatch(tmp_path / "w1.overtime", ended.set)
    for _ in range(50):
        watch.begin_call("app.a", time.monotonic() + 0.01, 0.01)()
    assert not ended.wait(0.3)
    assert not watch.is_late


@pytest.mark.parametrize("content", ["", "1.0", "1 2 x y", "a b c d", "\0" * 512])
def test_a_file_that_says_nothing_is_none(tmp_path: Path, content: str) -> None:
    """P12: whatever stands there, the pool goes on."""
    (tmp_path / "w1.overtime").write_text(content)
    assert read_overtime(tmp_path / "w1.overtime") is None


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
def test_senseless_seconds_are_refused(seconds: float) -> None:
    """D8: a kill at once, or before the timeout, is none."""
    with pytest.raises(ValueError, match=r"^kill_after must be more than 0"):
        catena.RuntimeContext(timeout=1, kill_after=seconds)
    with pytest.raises(ValueError, match=r"^kill_after must be more than 0"):
        catena.routine(timeout=1, kill_after=seconds)


def test_it_needs_a_timeout_beside_it() -> None:
    """D8: there is nothing to count from; the error says what to give."""
    with pytest.raises(ValueError, match="give a timeout beside it"):
        catena.RuntimeContext(kill_after=1)
    with pytest.raises(ValueError, match="give a timeout beside it"):
        catena.routine(kill_after=1)
