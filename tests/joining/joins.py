"""Calls and streams of two pools whose workers join, leave, are killed, and are lied about.

One pool follows the folder in which the workers announce themselves. The other one has a list of
three, of whom two are not who it says. A file that each call writes to when it begins is the
witness of where it ran, and how often.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from time import monotonic

import catena
from catena.discovery import MemberRecord
from tests.joining.fleet import POOL, Fleet
from tests.joining.plan import HANGS_UP, STEADY, Plan
from tests.joining.routines import color, count_up, work
from tests.laws.law import Random

__all__ = ["join_and_leave"]

IN_FLIGHT = 12
STREAMS = 3
"""One call of so many is a stream."""

PERIOD = 0.25
"""Seconds from one event to the next."""

ROUND = 20
"""After so many events it is seen who is a member."""

seconds = 8.0
"""Within so many seconds after the last event, all who live and are recorded are members: a folder
on this machine is read every five seconds, whatever the system has announced."""

DEADLINE = 30.0
"""Seconds after which a call counts as hanging."""

NOTICE = 2.0
"""For so long after its record is gone, or it was told to stop, a worker may begin calls."""


def join_and_leave(
    count: int, seed: int, progress: Callable[[int], object] = lambda _: None
) -> Counter[str]:
    """Let so many things happen while calls run; return what was met.

    AssertionError when a call ran twice, was lost without a kill, ran where it may not, or hangs;
    when the members are not those that they have to be; and when something is left over.
    """
    links = catena.statistics().links
    with tempfile.TemporaryDirectory(prefix="joins-") as base:
        fleet, met = Fleet(Path(base)), Counter[str]()

        async def main() -> None:
            try:
                await _run(fleet, count, Random(seed), met, progress)
            except BaseException as error:
                error.add_note("\n".join(fleet.log.read_text().splitlines()[-20:]))
                raise
            finally:
                await fleet.close()

        with asyncio.Runner() as runner:
            runner.run(main())
        _check_witness(fleet)
    left = catena.statistics()
    assert (left.calls, left.streams, left.transfers, left.links) == (0, 0, 0, links), left
    return met


async def _run(
    fleet: Fleet, count: int, random: Random, met: Counter[str], progress: Callable[[int], object]
) -> None:
    plan = Plan(fleet, random, met)
    await plan.begin()
    tasks = len(asyncio.all_tasks())
    options = {"credentials": fleet.certs / "alice", "name": POOL}
    try:
        pool = catena.WorkerPool(discovery=fleet.where, **options)
        async with pool, catena.WorkerPool(discovery=_list_of(fleet), **options) as listed:
            calls = _Calls(fleet, pool, listed, met)
            calling = asyncio.create_task(calls.go_on())
            began = monotonic()
            try:
                check = partial(_check, fleet, pool, listed)
                await _let_happen(plan, count, calling, check, progress)
            finally:
                await calls.stop(calling)
            met[f"attempts at {HANGS_UP}"] = plan.attempts
            # The pauses between attempts grow to ten seconds; each record begins with short ones.
            most = 10 * met[HANGS_UP] + (monotonic() - began) / 4
            assert plan.attempts <= most, f"{plan.attempts} attempts, and not {most:.0f}"
    finally:
        await plan.close()
    await fleet.check_ends()
    await _await(lambda: len(asyncio.all_tasks()) - tasks, "tasks are left")


def _list_of(fleet: Fleet) -> list[MemberRecord]:
    """Return a list that names the steady worker, an address of nobody, and somebody else's."""
    steady = fleet.workers[0]
    return [
        MemberRecord(STEADY, steady.target),
        MemberRecord("nobody", "127.0.0.1:9"),
        MemberRecord("banker", fleet.others["banker"].target),
    ]


async def _let_happen(
    plan: Plan,
    count: int,
    calling: asyncio.Task[None],
    check: Callable[[], Awaitable[None]],
    progress: Callable[[int], object],
) -> None:
    """Let so many things happen; after some of them, see who is a member."""
    await check()
    await asyncio.sleep(2 * PERIOD)
    for number in range(count):
        progress(number)
        assert not calling.done(), "calls have ended"
        await plan.step()
        await asyncio.sleep(PERIOD)
        if number % ROUND == ROUND - 1 or number == count - 1:
            await plan.settle()
            await check()


async def _check(fleet: Fleet, pool: catena.WorkerPool, listed: catena.WorkerPool) -> None:
    """See that the members of the pools are those that live and are recorded."""
    members = fleet.list_members()
    await _await(lambda: members ^ set(pool.workers), "are members, or are none")
    assert listed.workers == (STEADY,), listed.workers


async def _await(find: Callable[[], object], what: str) -> None:
    until = monotonic() + seconds
    while found := find():
        assert monotonic() < until, f"after {seconds:g} s {found} {what}"
        await asyncio.sleep(0.02)


class _Calls:
    """Calls and streams that are made all the time, and what becomes of each."""

    def __init__(
        self,
        fleet: Fleet,
        pool: catena.WorkerPool,
        listed: catena.WorkerPool,
        met: Counter[str],
    ) -> None:
        self._fleet = fleet
        self._pools = (pool, pool, pool, listed)
        self._met = met
        self._stopping = False

    async def go_on(self) -> None:
        """Make calls, a number of them at a time, until it is stopped. Raises AssertionError."""
        room = asyncio.Semaphore(IN_FLIGHT)
        async with asyncio.TaskGroup() as group:
            number = 0
            while not self._stopping:
                await room.acquire()
                number += 5
                call = group.create_task(self._call(number))
                call.add_done_callback(lambda _: room.release())

    async def stop(self, calling: asyncio.Task[None]) -> None:
        """Make no more calls, and have those that run end; raise what one has raised."""
        self._stopping = True
        try:
            await calling
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _call(self, number: int) -> None:
        pool = self._pools[number // 5 % len(self._pools)]
        length, witness = (number * 37) % 61 / 100, str(self._fleet.witness)
        try:
            async with asyncio.timeout(DEADLINE):
                if number // 5 % STREAMS == 0:
                    await self._stream(pool, number, length, witness)
                else:
                    await self._work(pool, number, length, witness)
        except catena.WorkerLost as lost:
            self._note_lost(number, lost)
        except TimeoutError:
            raise AssertionError(f"call {number} hangs") from None

    async def _work(
        self, pool: catena.WorkerPool, number: int, length: float, witness: str
    ) -> None:
        color.set(f"{number}")
        found, seen, worker = await work.on(pool)(number, length, witness)
        assert (found, seen) == (number, f"{number}")
        assert color.get() == f"{number}, seen"
        assert worker in {one.id for one in self._fleet.workers}, worker
        self._met["calls answered"] += 1

    async def _stream(
        self, pool: catena.WorkerPool, number: int, length: float, witness: str
    ) -> None:
        found = [one async for one in count_up.on(pool)(number, length, witness)]
        assert found == [*range(number, number + 5)]
        self._met["streams ended"] += 1

    def _note_lost(self, number: int, lost: catena.WorkerLost) -> None:
        """Note that a call was lost: only a worker that was killed loses any."""
        killed = {one.id for one in self._fleet.workers if one.ended_by == "SIGKILL"}
        assert lost.worker in killed, f"call {number} was lost: {lost}"
        assert lost.begun is not False, f"call {number} found no worker: {lost}"
        self._met["calls lost"] += 1


def _check_witness(fleet: Fleet) -> None:
    """See that no call ran twice, and none where it may not have begun."""
    ran: Counter[str] = Counter()
    barred = {one.process.pid: one.barred for one in fleet.workers}
    for line in fleet.witness.read_text().splitlines():
        number, pid, at = line.split()
        ran[number] += 1
        assert int(pid) in barred, f"call {number} ran at a worker that is no member"
        for begin, end in barred[int(pid)]:
            late = float(at) - begin
            assert not NOTICE < late < end - begin, f"call {number} began {late:.1f} s too late"
    twice = [number for number, many in ran.items() if many > 1]
    assert not twice, f"these ran more than once: {twice[:5]}"
