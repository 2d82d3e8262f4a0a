"""The upkeep of a pool: its workers are watched, and those that die or have to go are replaced.

A task waits for the end of each process. When it comes, the calls of that worker learn why, the
worker leaves the proxy, and ``Restarts`` decides whether another one takes its place, and when.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from time import monotonic
from typing import Any, NamedTuple

from catena.errors import CatenaError, WorkerStartError
from catena.events import RoutineOverran, WorkerReplaced
from catena.events.bus import announce
from catena.pool.overtime import Overtime, overtime_path, read_overtime
from catena.pool.process import Worker
from catena.pool.recycling import Recycling, read_memory
from catena.pool.restarts import Restarts
from catena.pool.workers import LocalWorkers, raise_failures
from catena.proxy.balance import Proxy
from catena.wire.codec import MemberFacts

_PATIENCE = 0.5
"""How many seconds a worker has that should have ended itself."""

_LOOK_SECONDS = 1.0
"""How often it is looked whether workers have reached a limit."""

_log = logging.getLogger("catena")


class _Vacancy(NamedTuple):
    """The place of a worker that has died, and how that died."""

    worker: str
    reason: str


class Upkeep:
    """Keeps up the workers that ``proxy`` leads to; ``restarts`` decides who is replaced."""

    def __init__(
        self,
        workers: LocalWorkers,
        proxy: Proxy,
        restarts: Restarts,
        recycling: Recycling,
        drain_timeout: float,
    ) -> None:
        self._drain_timeout = drain_timeout
        # One change at a time; what dies meanwhile is replaced all the same.
        self._changing = asyncio.Lock()
        self._leaving: set[str] = set()
        # Those that take no more calls, because a routine goes on when its time is up.
        self._late: set[str] = set()
        self._retiring = 0
        self._stopped = False
        self._workers = workers
        self._proxy = proxy
        self._restarts = restarts
        self._vacancies: list[_Vacancy] = []
        self._replacing = 0
        # Whether one that has left meanwhile has answered a call since the last death.
        self._has_answered = False
        self._tasks: set[asyncio.Task[Any]] = set()
        for worker in workers.all:
            self._begin_task(self._watch(worker))
        if recycling != Recycling():
            self._begin_task(self._recycle(recycling))

    async def restart(self) -> None:
        """Start a worker for each that died and was not replaced.

        Raises an ExceptionGroup of WorkerStartError for those that do not come up.
        """
        self._restarts.begin_again()
        vacancies, self._vacancies = self._vacancies, []
        starts = [self._begin_filling(vacancy) for vacancy in vacancies]
        outcomes = await asyncio.gather(*starts)
        raise_failures([one for one in outcomes if one is not None])

    async def drain(self, name: str, reason: str = "drained") -> None:
        """Replace a worker that works, and let it answer the calls that it has.

        Raises ValueError for a name that no worker has, and WorkerStartError when the other one
        does not come up; then everything stays as it was.
        """
        async with self._changing:
            worker = self._find_worker(name)
            self._leaving.add(name)
            try:
                replacement = await self._start_worker()
                _announce_replaced(name, replacement.id, reason)
                await self._let_go(worker)
            finally:
                self._leaving.discard(name)

    async def resize(self, many: int) -> None:
        """Have so many workers: start more, or let the last ones answer their calls and end.

        Raises an ExceptionGroup of WorkerStartError for those that do not come up.
        """
        async with self._changing:
            self._vacancies.clear()
            ours = [one for one in self._proxy.members if not one.found]
            missing = many - len(ours) - self._replacing
            starts = (self._start_worker() for _ in range(missing))
            outcomes = await asyncio.gather(*starts, return_exceptions=True)
            raise_failures([one for one in outcomes if isinstance(one, BaseException)])
            if missing < 0:
                leaving = self._workers.all[missing:]
                await asyncio.gather(*map(self._let_go, leaving))

    async def _recycle(self, recycling: Recycling) -> None:
        """Replace workers that have reached a limit, one after the other."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for worker in [*self._workers.all]:
                member = self._proxy.find_member(worker.id)
                if member is None or member.caller is None or member.state != "ready":
                    continue
                calls = member.answered
                memory = read_memory(worker.pid) if recycling.max_memory is not None else 0
                reason = recycling.find_reason(worker.id, calls, memory)
                if reason:
                    await self._recycle_one(worker.id, reason)

    async def _recycle_one(self, name: str, reason: str) -> None:
        try:
            await self.drain(name, reason)
        except WorkerStartError as error:
            _log.warning("worker %s stays, although %s: %s", name, reason, error)
        except ValueError:
            # It has died meanwhile, and is replaced for that.
            return

    def look_for_overtime(self) -> None:
        """Replace workers where a routine goes on when its time is up; kill those that it holds."""
        now = monotonic()
        for worker in [] if self._stopped else [*self._workers.all]:
            found = read_overtime(overtime_path(worker.socket))
            if found is None or now < found.late_at:
                continue
            if worker.id not in self._late:
                self._late.add(worker.id)
                self._begin_task(self._retire(worker, found))
            if now > found.kill_at + _PATIENCE:
                worker.give_up(found.verdict, kill=True)

    async def _retire(self, worker: Worker, found: Overtime) -> None:
        """Have another worker take the calls, while this one still runs those that it has."""
        if RoutineOverran.listeners:
            announce(RoutineOverran(worker.id, worker.pid, found.routine, found.seconds))
        member = self._proxy.find_member(worker.id)
        if member is None or worker.id in self._leaving:
            return
        self._retiring += 1
        try:
            member.drain()
            self._note_replacing(0)
            await self._replace_late(worker, found.reason)
        except WorkerStartError as error:
            # Where the worker has ended, too, it is replaced for that, as often as it takes.
            worker.give_up(f"it had no replacement: {error}")
        except ValueError:
            # It has died meanwhile, and is replaced for that.
            return
        finally:
            self._retiring -= 1
            self._note_replacing(0)

    async def _replace_late(self, worker: Worker, reason: str) -> None:
        if self._restarts.replaces:
            await self.drain(worker.id, reason)
            return
        async with self._changing:
            await self._let_go(worker)

    def _find_worker(self, name: str) -> Worker:
        worker = self._workers.find(name)
        if worker is not None:
            return worker
        names = ", ".join(worker.id for worker in self._workers.all) or "none"
        raise ValueError(f"no worker of this pool is called {name!r}; there are: {names}")

    async def _let_go(self, worker: Worker) -> None:
        """Let a worker answer the calls that it has, for so long as it may, and end it."""
        member = self._proxy.find_member(worker.id)
        if member is None:
            # It has died meanwhile.
            return
        self._leaving.add(worker.id)
        self._has_answered = self._take_answers() or self._has_answered
        try:
            self._proxy.part_with(member)
            worker.begin_drain()
            if not await worker.wait_exit(self._drain_timeout):
                worker.give_up(f"its drain_timeout of {self._drain_timeout:g} s was over")
                member.leave(worker.describe_exit())
                await worker.wait_stopped(self._workers.stop_timeout)
        finally:
            self._leaving.discard(worker.id)

    async def stop(self) -> None:
        """Watch no more, and replace nobody; a worker that is just starting is left as it is."""
        self._stopped = True
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin_task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        # In an empty Context: it outlives whoever made it happen.
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _watch(self, worker: Worker) -> None:
        """Wait until a worker has ended, and see to its calls and to its place."""
        await worker.wait_exit()
        if self._workers.stopping:
            return
        late = read_overtime(overtime_path(worker.socket))
        is_killed = late is not None and monotonic() >= late.kill_at
        if late is not None and is_killed:
            worker.give_up(late.verdict)
        reason = worker.describe_exit()
        member = self._proxy.find_member(worker.id)
        if member is None or worker.id in self._leaving:
            # It was let go; where it is no member, it had answered all its calls.
            worker.note_exit(unexpected=is_killed)
        else:
            self._see_to_place(worker, reason, is_killed=is_killed)
        self._workers.forget(worker)
        self._late.discard(worker.id)
        if member is not None:
            # Last, because the calls that it had may be sent again when they have failed.
            self._proxy.remove_member(member, reason)

    def _see_to_place(self, worker: Worker, reason: str, *, is_killed: bool) -> None:
        """Have another worker take the place of one that has died, or keep the place vacant."""
        vacancy = _Vacancy(worker.id, reason)
        pause = self._find_pause(is_killed=is_killed)
        if pause is None:
            worker.note_exit("no other one takes its place", unexpected=True)
            self._vacancies.append(vacancy)
        else:
            worker.note_exit("another one takes its place", unexpected=is_killed)
            self._begin_filling(vacancy, pause)

    def _find_pause(self, *, is_killed: bool) -> float | None:
        """Return after how many seconds a dead worker is replaced, None where it is not.

        One that was killed for a routine does not count as a death.
        """
        if is_killed and self._restarts.replaces:
            return 0.0
        return self._note_death()

    def _note_death(self) -> float | None:
        has_answered = self._take_answers() or self._has_answered
        self._has_answered = False
        return self._restarts.note_death(answered=has_answered)

    def _take_answers(self) -> bool:
        """Return whether any worker has answered a call since this was asked last."""
        # All of them are asked: each counts from when it was.
        return sum(member.take_answers() for member in self._proxy.members) > 0

    def _begin_filling(
        self, vacancy: _Vacancy, pause: float = 0.0
    ) -> asyncio.Task[WorkerStartError | None]:
        self._note_replacing(1)
        return self._begin_task(self._fill(vacancy, pause))

    async def _fill(self, vacancy: _Vacancy, pause: float | None) -> WorkerStartError | None:
        """Start a worker in the place of another one; return why that was given up."""
        failed = None
        try:
            while pause is not None:
                await asyncio.sleep(pause)
                try:
                    started = await self._start_worker()
                except WorkerStartError as error:
                    failed = error
                    pause = self._note_death()
                    _log.warning("worker %s has no replacement yet: %s", vacancy.worker, error)
                    continue
                _announce_replaced(vacancy.worker, started.id, vacancy.reason)
                return None
            self._vacancies.append(vacancy)
            return failed
        finally:
            self._note_replacing(-1)

    def _note_replacing(self, change: int) -> None:
        """Let calls that find no worker wait, or fail, from here on.

        When it is stopped, those that wait learn from the proxy that the pool is closed.
        """
        self._replacing += change
        expected = self._stopped or self._replacing + self._retiring > 0
        self._proxy.expect_members("upkeep", expected=expected)

    async def _start_worker(self) -> Worker:
        """Start a worker that gets calls; return it. Raises WorkerStartError."""
        worker = await self._workers.start_another()
        member = self._proxy.make_member(MemberFacts(worker.id, worker.target))
        try:
            await member.reach_worker()
        except (CatenaError, OSError) as error:
            await self._workers.discard(worker)
            cause = f"no link to it: {error}"
            raise WorkerStartError(worker=worker.id, cause=cause) from error
        self._workers.admit(worker)
        self._proxy.add_member(member)
        self._begin_task(self._watch(worker))
        return worker


def _announce_replaced(worker: str, replacement: str, reason: str) -> None:
    if WorkerReplaced.listeners:
        announce(WorkerReplaced(worker, replacement, reason))
