"""A pool whose workers die: what its calls learn, who takes their place, and what is left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

import catena
from catena import events
from catena.testing import recording
from tests.integration import routines
from tests.integration.pools import LOOPS, pooled
from tests.integration.programs import alive

FOLLOWS = "another one takes its place"
BROKEN = "TESTS_BROKEN"
"""The variable that names a file: while it is there, workers break down as they start."""


@catena.routine
async def leave(code: int) -> None:
    """End this worker as a library might."""
    os._exit(code)


@catena.routine
async def nest_twice(many: int) -> AsyncGenerator[set[int], None]:
    """Yield which process this is, and then which ones so many nested calls have met."""
    yield {os.getpid()}
    yield {await routines.pid() for _ in range(many)}


def list_sockets(home: Path) -> list[Path]:
    """Return the sockets that pools have below a folder."""
    return [one for one in home.rglob("*") if one.is_socket()]


async def await_workers(pool: catena.WorkerPool, many: int, but: str = "") -> None:
    """Wait until so many workers get calls, and not the one of that name."""
    while len(pool.workers) != many or but in pool.workers:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("here", LOOPS)
def test_a_dead_worker_is_reaped_and_replaced(here: str) -> None:
    """P12: error and events have the exit in words, no zombie is left, the pool is whole again."""

    async def work(pool: catena.WorkerPool) -> None:
        (first,), (pid,) = pool.workers, pool.pids.values()
        with recording(events.WorkerExited, events.WorkerReplaced) as recorded:
            call = asyncio.create_task(routines.hold(20))
            await routines.pid()
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(catena.WorkerLost) as caught:
                await call
            # A zombie would still take signals.
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
            assert await routines.pid() == pool.pids[pool.workers[0]] != pid

        words = "killed by SIGKILL, perhaps out of memory"
        assert (caught.value.worker, caught.value.cause) == (first, words)
        assert recorded.events == [
            events.WorkerExited(first, pid, -signal.SIGKILL, words, FOLLOWS, unexpected=True),
            events.WorkerReplaced(first, pool.workers[0], words),
        ]
        assert catena.statistics().calls == 0

    pooled(work, spawn=1, here=here)


def test_a_worker_that_ends_itself_says_with_which_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """P12: the code is in the error and in the log, and calls after it wait for the replacement."""

    async def work(pool: catena.WorkerPool) -> None:
        (first,) = pool.workers
        with pytest.raises(catena.WorkerLost, match=r"ended with exit code 3, as by os\._exit"):
            await leave(3)
        assert await routines.pid() in pool.pids.values()
        (record,) = [one for one in caplog.records if first in one.getMessage()]
        assert (record.name, record.levelname) == ("catena.pool", "WARNING")
        assert f"ended with exit code 3, as by os._exit; {FOLLOWS}" in record.getMessage()

    pooled(work, spawn=1)


def test_a_stream_learns_how_its_worker_ended() -> None:
    """P12, D7: the step after the end has the words, too."""

    async def work(pool: catena.WorkerPool) -> None:
        stream = routines.count_steps(10)
        await anext(stream)
        (pid,) = pool.pids.values()
        os.kill(pid, signal.SIGSEGV)
        with pytest.raises(catena.WorkerLost, match="crashed with SIGSEGV"):
            await anext(stream)

    pooled(work, spawn=1)


def test_nested_calls_reach_the_replacement() -> None:
    """P2: a routine that began before the death calls the worker that came after it."""

    async def work(pool: catena.WorkerPool) -> None:
        stream = nest_twice(4)
        (host,) = await anext(stream)
        ((name, other),) = ((name, pid) for name, pid in pool.pids.items() if pid != host)
        os.kill(other, signal.SIGKILL)
        await await_workers(pool, 2, name)
        assert await anext(stream) == set(pool.pids.values()) != {host, other}
        await stream.aclose()

    pooled(work)


def test_never_leaves_the_pool_with_those_that_live() -> None:
    """P12: without replacement calls go to the others; then they fail at once; restart helps."""

    async def work(pool: catena.WorkerPool) -> None:
        first, second = pool.workers
        os.kill(pool.pids[first], signal.SIGKILL)
        await await_workers(pool, 1)
        assert pool.workers == (second,)
        assert await routines.pid() == pool.pids[second]
        os.kill(pool.pids[second], signal.SIGKILL)
        await await_workers(pool, 0)
        with pytest.raises(catena.WorkerLost, match="no worker is left") as caught:
            await routines.pid()
        assert (caught.value.worker, caught.value.begun) == (second, False)

        await pool.restart()

        assert len(pool.workers) == 2
        assert {await routines.pid() for _ in range(4)} == set(pool.pids.values())

    pooled(work, restart="never")


def test_deaths_before_any_answer_are_limited(
    monkeypatch: pytest.MonkeyPatch, scratch_home: Path, tmp_path: Path
) -> None:
    """P12: at the limit calls fail at once with the last exit; the pool is open, and restarts."""
    broken = tmp_path / "broken"
    monkeypatch.setenv(BROKEN, str(broken))

    async def work(pool: catena.WorkerPool) -> None:
        assert await routines.pid() in pool.pids.values()
        broken.touch()
        for pid in pool.pids.values():
            os.kill(pid, signal.SIGKILL)
        await await_workers(pool, 0)
        with pytest.raises(catena.WorkerLost, match=r"no worker is left: .* SIGKILL") as caught:
            await routines.pid()
        assert caught.value.begun is False
        with pytest.raises(BaseExceptionGroup) as failures:
            await pool.restart()
        (failure,) = failures.value.exceptions
        assert isinstance(failure, catena.WorkerStartError)
        assert failure.exit_code == 7
        broken.unlink()
        await pool.restart()
        assert await routines.pid() in pool.pids.values()
        assert len(list_sockets(scratch_home)) == 1

    pooled(work, spawn=1, restart_limit=2, restart_pause=0.1, bootstrap=f"{__name__}:break_down")


def break_down() -> None:
    """End the worker before it serves where a file is there."""
    if Path(os.environ[BROKEN]).exists():
        os._exit(7)


def test_what_a_worker_answered_that_was_let_go_counts() -> None:
    """P12: a death after it is not one more in a row of deaths without an answer."""

    async def work(pool: catena.WorkerPool) -> None:
        for _ in range(3):
            await routines.pid()
            (worker,) = pool.workers
            await pool.drain(worker)
            (worker,) = pool.workers
            os.kill(pool.pids[worker], signal.SIGKILL)
            await await_workers(pool, 1, but=worker)

    pooled(work, spawn=1, restart_limit=2, seconds=60)


def test_workers_pids_and_gauge_are_true_at_every_moment() -> None:
    """P12: what is shown is what lives, before, between and after."""
    shown: Counter[int] = Counter()

    async def work(pool: catena.WorkerPool) -> None:
        for _ in range(2):
            victim = pool.workers[0]
            os.kill(pool.pids[victim], signal.SIGKILL)
            while victim in pool.workers or len(pool.workers) < 2:
                assert set(pool.pids) == set(pool.workers)
                shown[len(pool.workers)] += 1
                await asyncio.sleep(0)
            assert all(alive(pid) for pid in pool.pids.values())
            await asyncio.gather(*(routines.pid() for _ in range(4)))

    pooled(work)
    assert set(shown) == {1, 2}


def test_a_pool_that_closes_in_the_middle_of_a_replacement_leaves_nothing(
    scratch_home: Path,
) -> None:
    """P12: neither a process that was just starting, nor its socket."""
    started: list[int] = []

    async def work(pool: catena.WorkerPool) -> None:
        (pid,) = pool.pids.values()
        os.kill(pid, signal.SIGKILL)
        await await_workers(pool, 0)
        private: Any = pool
        while not started:
            started.extend(one.pid for one in private._running.workers._starting if one.pid)
            await asyncio.sleep(0)

    pooled(work, spawn=1)
    assert not any(alive(pid) for pid in started)
    assert list(scratch_home.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"restart": "sometimes"},
        {"restart_limit": 0},
        {"restart_limit": -1},
        {"restart_pause": -1.0},
    ],
    ids=str,
)
def test_wrong_options_are_refused_by_name(options: dict[str, Any]) -> None:
    """P12: when the pool is constructed."""
    (name,) = options
    with pytest.raises(ValueError, match=name):
        catena.WorkerPool(1, **options)


def test_restart_of_a_pool_that_is_not_open() -> None:
    """P12: there is nothing to start."""

    async def main() -> None:
        with pytest.raises(catena.NoPool, match="not open"):
            await catena.WorkerPool(1).restart()

    asyncio.run(main())
