"""Workers that a launcher starts for a pool: real processes, over mutual TLS on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.discovery import MemberRecord
from catena.errors import WorkerStartError
from catena.events import WorkerJoined, WorkerLeft
from catena.security.credentials import Credentials
from catena.security.names import name_caller
from catena.security.trust import Trust
from catena.standing import count_now
from catena.testing import recording
from tests.pool.found_routines import color, identify_nested, rest_a_while
from tests.pool.test_found_over_tls import Secured, with_secured
from tests.pool.test_found_workers import answering, until
from tests.support import isolated, run


class Processes:
    """A launcher that starts processes here, and restarts none.

    ``leafs`` says whether each worker has a certificate of an authority that nobody knows, so that
    it is known by that very certificate.
    """

    def __init__(self, fleet: Secured, many: int, *, leafs: bool = False) -> None:
        self.count = many
        self.asked: list[int] = []
        self.closed = 0
        self.pids: dict[str, int] = {}
        self.records: dict[str, MemberRecord] = {}
        self.failure: Exception | None = None
        self._fleet = fleet
        self._leafs = leafs
        self._numbers = count(1)
        self._changed = asyncio.Condition()
        self.trust = Trust(Credentials(fleet.issue("launching", name_caller("shop", "me"))), "shop")

    async def launch(self, count: int) -> None:
        """Start workers, or have the last ones end."""
        self.asked.append(count)
        for _ in range(count - len(self.records)):
            await self._start(f"w{next(self._numbers)}")
        for name in [*self.records][count:]:
            self._fleet.end(name, signal.SIGTERM)
            del self.records[name]
        await self.announce()

    async def _start(self, name: str) -> None:
        self.pids[name] = await self._fleet.start(name)
        leaf = self._fleet.leafs[name] if self._leafs else None
        self.records[name] = MemberRecord(name, self._fleet.targets[name], leaf=leaf)

    async def announce(self) -> None:
        """Yield the records anew."""
        async with self._changed:
            self._changed.notify_all()

    async def members(self) -> AsyncIterator[frozenset[MemberRecord]]:
        """Yield the records, now and after each change."""
        while True:
            if self.failure is not None:
                raise self.failure
            yield frozenset(self.records.values())
            async with self._changed:
                await self._changed.wait()

    async def close(self) -> None:
        """End all workers."""
        self.closed += 1
        for name in [*self.records]:
            self._fleet.end(name, signal.SIGTERM)
            process = self._fleet.processes[name]
            await asyncio.to_thread(process.wait, 20)
            del self.records[name]


@isolated
def test_launched_workers_serve_calls_until_the_pool_closes(tmp_path: Path) -> None:
    """P8, P12: all of them, with context there and back; then none is left."""

    async def work(fleet: Secured) -> None:
        launcher = Processes(fleet, 2)
        async with catena.WorkerPool(launcher=launcher) as pool:
            assert launcher.asked == [2]
            assert sorted(pool.workers) == ["w1", "w2"]
            color.set("red")
            assert await answering(4) == {*launcher.pids.values()}
            assert color.get().startswith("red, seen")
            nested = [await identify_nested() for _ in range(4)]
            assert {pid for pair in nested for pid in pair} == {*launcher.pids.values()}
        assert launcher.closed == 1
        assert [one.returncode for one in fleet.processes.values()] == [0, 0]
        # A pool can be opened again.
        async with pool:
            assert sorted(pool.workers) == ["w3", "w4"]

    with_secured(tmp_path, work)


@isolated
def test_a_pool_grows_and_shrinks_by_its_launcher(tmp_path: Path) -> None:
    """P12: growth waits for the workers; one that has to go finishes the calls that it has."""

    async def work(fleet: Secured) -> None:
        launcher = Processes(fleet, 1)
        async with catena.WorkerPool(spawn=1, launcher=launcher) as pool:
            assert len(pool.workers) == 2
            assert len(pool.pids) == 1
            await pool.resize(3)
            assert launcher.asked == [1, 3]
            assert sorted(pool.workers)[-3:] == ["w1", "w2", "w3"]
            assert len(pool.pids) == 1
            resting = [asyncio.create_task(rest_a_while(0.5)) for _ in range(8)]
            await asyncio.sleep(0.1)
            await pool.resize(1)
            assert len(await asyncio.gather(*resting)) == 8
            await until(lambda: len(pool.workers) == 2)
            assert await answering(4) == {launcher.pids["w1"], *pool.pids.values()}

    with_secured(tmp_path, work)


@isolated
def test_a_launched_worker_that_dies_gets_no_more_calls(tmp_path: Path) -> None:
    """P12: its link has ended before its launcher knows, and that is enough."""

    async def work(fleet: Secured) -> None:
        launcher = Processes(fleet, 2)
        async with catena.WorkerPool(launcher=launcher) as pool:
            os.kill(launcher.pids["w1"], signal.SIGKILL)
            await until(lambda: pool.workers == ("w2",))
            assert "w1" in launcher.records
            assert await answering(4) == {launcher.pids["w2"]}

    with_secured(tmp_path, work)


@isolated
def test_a_worker_is_known_by_its_very_certificate(tmp_path: Path) -> None:
    """Trust: the one that the launcher hands over, whoever has issued it; nested calls know it."""

    async def work(fleet: Secured) -> None:
        fleet.issues_strangely = True
        launcher = Processes(fleet, 2, leafs=True)
        async with catena.WorkerPool(launcher=launcher):
            nested = [await identify_nested() for _ in range(4)]
            assert {pid for pair in nested for pid in pair} == {*launcher.pids.values()}
            assert any(first != second for first, second in nested)
        # The certificate of another one is not enough, though both are of the same authority.
        other = Processes(fleet, 1, leafs=True)
        await other.launch(2)
        first, second = sorted(other.records)
        other.records[first] = other.records[first]._replace(leaf=fleet.leafs[second])
        other.records[second] = other.records[second]._replace(leaf=fleet.leafs[first])
        pool = catena.WorkerPool(launcher=other, quorum_timeout=2.0)
        with pytest.raises(ExceptionGroup) as raised:
            await pool.open()
        assert raised.group_contains(WorkerStartError, match="0 of 1 workers were found")

    with_secured(tmp_path, work)


@isolated
def test_a_record_that_is_found_does_not_bring_its_own_certificate(tmp_path: Path) -> None:
    """Trust: who can write where workers are found cannot have a stranger trusted."""

    async def work(fleet: Secured) -> None:
        fleet.issues_strangely = True
        await fleet.start("w1")
        record = MemberRecord("w1", fleet.targets["w1"], leaf=fleet.leafs["w1"])
        caller = fleet.issue("caller", name_caller("shop", "alice"))
        pool = catena.WorkerPool(
            discovery=[record], credentials=caller, name="shop", quorum_timeout=2.0
        )
        with pytest.raises(ExceptionGroup) as raised:
            await pool.open()
        assert raised.group_contains(WorkerStartError, match="0 of 1 workers were found")

    with_secured(tmp_path, work)


@isolated
def test_workers_may_share_a_certificate(tmp_path: Path) -> None:
    """Trust: its name is the pool's then, for nested calls and other credentials as well."""

    async def work(fleet: Secured) -> None:
        fleet.shares = True
        pids = {await fleet.start(name, "--shared-certificate") for name in ("w1", "w2")}
        caller = fleet.issue("caller", name_caller("shop", "alice"))
        other = fleet.issue("other", name_caller("shop", "bob"))
        named: Any = fleet.where
        unnamed: Any = [*fleet.targets.values()]
        for where in (named, unnamed):
            pool = catena.WorkerPool(discovery=where, quorum=2, credentials=caller, name="shop")
            async with pool:
                assert sorted(pool.workers) == ["w1", "w2"]
                nested = [await identify_nested() for _ in range(4)]
                assert {pid for pair in nested for pid in pair} == pids
                with catena.credentials(other):
                    assert await answering(4) == pids

    with_secured(tmp_path, work)


@isolated
def test_what_a_launcher_raises_is_raised_and_it_is_closed(tmp_path: Path) -> None:
    """P8: when it is asked for workers, or fails to say which there are; nothing is left."""

    async def work(fleet: Secured) -> None:
        launcher = Processes(fleet, 1)
        launcher.failure = LookupError("the engine is gone")
        with pytest.raises(LookupError, match="the engine is gone"):
            await catena.WorkerPool(launcher=launcher).open()
        assert launcher.closed == 1
        assert not launcher.records

    with_secured(tmp_path, work)


def test_a_launcher_has_to_be_one() -> None:
    """P8: it is refused when the pool is made."""
    with pytest.raises(TypeError, match="launcher must have count, launch, members, close"):
        catena.WorkerPool(launcher=3)  # type: ignore[arg-type]


def test_a_launcher_that_does_not_answer_fails_in_time() -> None:
    """P8: opening waits for it as long as for a quorum."""

    class Slow:
        count = 1

        async def launch(self, count: int) -> None:
            await asyncio.sleep(60)

        async def members(self) -> AsyncIterator[frozenset[MemberRecord]]:
            yield frozenset()

        async def close(self) -> None:
            return

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as raised:
            await catena.WorkerPool(launcher=Slow(), quorum_timeout=0.2).open()
        assert raised.group_contains(WorkerStartError, match="did not take on 1 workers")

    run(main())


@isolated
def test_launched_workers_end_with_a_pool_that_nobody_closed(tmp_path: Path) -> None:
    """P12: the event loop has ended, so another one closes the launcher."""
    fleet = Secured(tmp_path)
    opened: list[catena.WorkerPool] = []
    launchers: list[Processes] = []

    async def main() -> None:
        launchers.append(Processes(fleet, 1))
        opened.append(await catena.WorkerPool(launcher=launchers[0]).open())

    try:
        run(main())
        opened.pop().abandon(wait=True)
        assert launchers[0].closed == 1
        assert [one.returncode for one in fleet.processes.values()] == [0]
    finally:
        fleet.close()


@isolated
def test_workers_that_come_and_go_are_announced_and_counted(tmp_path: Path) -> None:
    """P8, P12: whoever looks after the program sees which workers it has, and why one left."""

    def count() -> int:
        return count_now("members")["launcher",]

    async def work(fleet: Secured) -> None:
        launcher = Processes(fleet, 2)
        with recording(WorkerJoined, WorkerLeft) as seen:
            async with catena.WorkerPool(launcher=launcher) as pool:
                assert count() == 2
                os.kill(launcher.pids["w1"], signal.SIGKILL)
                await until(lambda: count() == 1)
                await until(lambda: pool.workers == ("w2",))
            assert count() == 0
        joined = seen.of(WorkerJoined)
        left = {one.worker: one.reason for one in seen.of(WorkerLeft)}
        assert {one.worker for one in joined} == {"w1", "w2"}
        assert {one.source for one in joined} == {"launcher"}
        assert left == {"w1": "its link has ended", "w2": "the pool closes"}

    with_secured(tmp_path, work)
