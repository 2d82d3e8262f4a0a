"""Pools whose workers somebody else starts: real processes, announced in a folder."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.discovery import MemberRecord, announce
from tests.pool.found_routines import (
    color,
    count_up,
    identify,
    identify_nested,
    rest_a_while,
)
from tests.support import isolated, run

SECONDS = 30
ROOT = Path(__file__).parents[2]


class Fleet:
    """Workers that are started by hand, all announced in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "workers"
        self.folder.mkdir(mode=0o700)
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.targets: dict[str, str] = {}

    @property
    def where(self) -> str:
        """The folder as a form of discovery."""
        return f"dir:{self.folder}"

    async def start(self, name: str, *options: str) -> int:
        """Start a worker and wait until it listens; return its process id."""
        return await asyncio.to_thread(self._start, name, *options)

    def _listen(self, name: str) -> list[str]:
        return [f"unix:{self.folder.parent}/{name}.sock"]

    def _start(self, name: str, *options: str) -> int:
        command = [sys.executable, "-m", "catena", "worker", "--listen", *self._listen(name)]
        if name in self.processes:
            self.processes.pop(name).communicate(timeout=SECONDS)
        process = self.processes[name] = subprocess.Popen(
            [*command, "--id", name, "--announce", self.where, "--announce", "stdout", *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        announced = json.loads(line)
        assert announced["id"] == name
        self.targets[name] = announced["target"]
        return process.pid

    def end(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a worker a signal."""
        self.processes[name].send_signal(number)

    def close(self) -> None:
        """Kill all of them."""
        for process in self.processes.values():
            process.kill()
            process.communicate(timeout=SECONDS)


def with_fleet(folder: Path, work: Callable[[Fleet], Awaitable[None]]) -> None:
    """Run a test with a fleet, and leave no process behind."""
    fleet = Fleet(folder)

    async def main() -> None:
        async with asyncio.timeout(2 * SECONDS):
            await work(fleet)

    try:
        run(main())
    finally:
        fleet.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def answering(many: int) -> set[int]:
    """Return which processes answer so many calls."""
    return {await identify() for _ in range(many)}


@isolated
def test_workers_that_are_found_serve_calls(tmp_path: Path) -> None:
    """P8: context goes there and back, streams and nested calls work, nothing is started here."""
    before = catena.statistics().links

    async def work(fleet: Fleet) -> None:
        pids = {await fleet.start("w1"), await fleet.start("w2", "--tags", "gpu")}
        async with catena.WorkerPool(discovery=fleet.where, quorum=2) as pool:
            assert sorted(pool.workers) == ["w1", "w2"]
            assert pool.pids == {}
            assert "2 workers" in repr(pool)
            color.set("red")
            assert await answering(4) == pids
            assert color.get().startswith("red, seen")
            assert [number async for number in count_up(5)] == [0, 1, 2, 3, 4]
            nested = [await identify_nested() for _ in range(4)]
            assert {pid for pair in nested for pid in pair} == pids
        left = catena.statistics()
        assert (left.calls, left.streams, left.links) == (0, 0, before)

    with_fleet(tmp_path, work)


@isolated
def test_a_pool_follows_joins_and_deaths(tmp_path: Path) -> None:
    """P8, P12: the calls of a dead worker fail at once; others go on; who joins gets calls."""

    async def work(fleet: Fleet) -> None:
        first = await fleet.start("w1")
        async with catena.WorkerPool(discovery=fleet.where) as pool:
            resting = asyncio.ensure_future(rest_a_while(60))
            second = await fleet.start("w2")
            await until(lambda: len(pool.workers) == 2)
            # Whoever has fewer calls is preferred.
            assert await answering(4) == {second} != {first}
            fleet.end("w1")
            with pytest.raises(catena.WorkerLost) as lost:
                await resting
            assert (lost.value.worker, lost.value.begun) == ("w1", True)
            await until(lambda: pool.workers == ("w2",))
            assert await answering(4) == {second}
            # Under the same name, at the same place.
            (fleet.folder / "w1.json").unlink(missing_ok=True)
            third = await fleet.start("w1")
            await until(lambda: len(pool.workers) == 2)
            assert await answering(4) == {second, third}

    with_fleet(tmp_path, work)


@isolated
def test_calls_wait_while_nobody_is_there(tmp_path: Path) -> None:
    """P8, P12: as for a replacement, bounded by their own timeouts."""

    async def work(fleet: Fleet) -> None:
        async with catena.WorkerPool(discovery=fleet.where, quorum=0) as pool:
            assert pool.workers == ()
            with catena.RuntimeContext(timeout=0.2), pytest.raises(TimeoutError):
                await identify()
            call = asyncio.ensure_future(identify())
            await asyncio.sleep(0.1)
            assert not call.done()
            pid = await fleet.start("w1")
            assert await call == pid

    with_fleet(tmp_path, work)


@isolated
def test_calls_that_wait_learn_that_the_pool_is_closed() -> None:
    """P8: and not that there is no worker, although nobody looks for one any more."""

    async def main() -> None:
        pool = catena.WorkerPool(discovery=["unix:/nowhere/w1.sock"], quorum=0)
        async with pool:
            calls = [asyncio.ensure_future(identify()) for _ in range(3)]
            await asyncio.sleep(0.1)
        for call in calls:
            with pytest.raises(catena.NoPool, match="the pool was closed"):
                await call

    run(main())


@isolated
def test_a_worker_that_is_stopped_finishes_its_calls(tmp_path: Path) -> None:
    """P12: its record goes first, so that no call is lost."""

    async def work(fleet: Fleet) -> None:
        first, second = await fleet.start("w1"), await fleet.start("w2")
        async with catena.WorkerPool(discovery=fleet.where, quorum=2) as pool:
            calls = [asyncio.ensure_future(rest_a_while(0.5)) for _ in range(8)]
            await asyncio.sleep(0.2)
            fleet.end("w1", signal.SIGTERM)
            assert {await one for one in calls} == {first, second}
            await until(lambda: pool.workers == ("w2",))
            code = await asyncio.to_thread(fleet.processes["w1"].wait, SECONDS)
            assert code == 0
            assert await answering(4) == {second}

    with_fleet(tmp_path, work)


@isolated
def test_records_that_lie_make_no_members(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """P8: a record is a hint; who answers under another name, or not at all, is no member."""

    async def work(fleet: Fleet) -> None:
        pid = await fleet.start("w1")
        nowhere = MemberRecord("w2", f"unix:{tmp_path}/nowhere.sock")
        with (
            announce(fleet.folder, nowhere),
            announce(fleet.folder, MemberRecord("w3", f"unix:{tmp_path}/w1.sock")),
        ):
            (fleet.folder / "w4.json").write_text("{")
            async with catena.WorkerPool(discovery=fleet.where) as pool:
                await asyncio.sleep(1)
                assert pool.workers == ("w1",)
                assert await answering(4) == {pid}

    with_fleet(tmp_path, work)
    assert "worker w1 is at" in caplog.text


@isolated
def test_started_and_found_workers_add_up(tmp_path: Path) -> None:
    """P8: a hybrid pool; resize counts those alone that it has started."""

    async def work(fleet: Fleet) -> None:
        pid = await fleet.start("w1")
        where = [f"unix:{tmp_path}/w1.sock"]
        async with catena.WorkerPool(1, discovery=where) as pool:
            await until(lambda: len(pool.workers) == 2)
            (own,) = pool.pids.values()
            assert await answering(8) == {pid, own}
            await pool.resize(2)
            assert len(pool.pids) == 2
            assert await answering(9) == {pid, *pool.pids.values()}

    with_fleet(tmp_path, work)


@isolated
def test_no_more_than_asked_for_are_used(tmp_path: Path) -> None:
    """P8: ``max_found`` leaves the others alone, and takes one of them when one is gone."""

    async def work(fleet: Fleet) -> None:
        await fleet.start("w1")
        await fleet.start("w2")
        async with catena.WorkerPool(discovery=fleet.where, max_found=1) as pool:
            await asyncio.sleep(0.5)
            (used,) = pool.workers
            fleet.end(used)
            await until(lambda: pool.workers not in {(used,), ()})
            (other,) = pool.workers
            assert {used, other} == {"w1", "w2"}
            assert os.getpid() not in await answering(2)

    with_fleet(tmp_path, work)


@isolated
def test_too_few_are_an_error(tmp_path: Path) -> None:
    """P8: it says how many there were; nothing is left."""
    before = catena.statistics().links

    async def work(fleet: Fleet) -> None:
        await fleet.start("w1")
        pool = catena.WorkerPool(discovery=fleet.where, quorum=2, quorum_timeout=0.5)
        with pytest.raises(ExceptionGroup) as raised:
            await pool.open()
        [error] = raised.value.exceptions
        assert "1 of 2 workers were found within 0.5 s" in str(error)
        assert not pool.is_open
        assert catena.statistics().links == before

    with_fleet(tmp_path, work)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"discovery": "etcd:x"}, ValueError),
        ({"discovery": 7}, TypeError),
        ({"discovery": ["unix:/a"], "quorum": -1}, ValueError),
        ({"discovery": ["unix:/a"], "max_found": 0}, ValueError),
        ({"discovery": ["unix:/a"], "quorum_timeout": 0}, ValueError),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], kind: type[Exception]) -> None:
    """P8: when the pool is constructed, by name."""
    with pytest.raises(kind):
        catena.WorkerPool(**options)
