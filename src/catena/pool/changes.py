"""What one can do to the workers of an open pool: restart, replace, add, remove, call each."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, ParamSpec, TypeVar

from catena.dispatch.dispatcher import Dispatcher
from catena.dispatch.kinds import Calls
from catena.errors import NoPool
from catena.pool.arguments import checked_number
from catena.pool.broadcast import call_each
from catena.pool.running import RunningPool
from catena.pool.upkeep import Upkeep

P = ParamSpec("P")
T = TypeVar("T")


class WorkerChanges:
    """The part of a pool that changes its workers while it is open."""

    way: Dispatcher | None = None
    _running: RunningPool | None = None
    _home: asyncio.AbstractEventLoop | None = None
    _opened_by = 0
    """The process that has opened it, 0 while it is closed; also where its options were refused."""

    _spawn: int
    """How many workers it starts when it is opened."""

    @property
    def is_open(self) -> bool:
        """Whether the pool was opened here and not closed since, and its event loop still runs."""
        return self.is_here and self._home is not None and self._home.is_running()

    @property
    def is_here(self) -> bool:
        """Whether this process has opened the pool and not closed it since."""
        return self._opened_by == os.getpid()

    @property
    def dispatcher(self) -> Dispatcher:
        """What calls to this pool go through. Raises NoPool when it is not open."""
        if self.way is None or not self._opened_by:
            raise NoPool(routine="", reason="the pool is not open")
        return self.way

    async def restart(self) -> None:
        """Start a worker for each that died and was not replaced.

        Raises an ExceptionGroup of WorkerStartError for those that do not come up, and NoPool when
        the pool is not open.
        """
        await self._find_running()[1].restart()

    async def drain(self, worker: str) -> None:
        """Put another worker in the place of this one, which answers the calls that it has.

        Those that are open after ``drain_timeout`` fail with WorkerLost. Raises ValueError for an
        id that no worker has, WorkerStartError when the other one does not come up (then this one
        stays), and NoPool when the pool is not open.
        """
        await self._find_running()[1].drain(worker)

    async def resize(self, workers: int) -> None:
        """Have so many workers; those that are too many answer the calls that they have, and end.

        Where the pool has a launcher, it is the launched workers that become more or less, and
        those that it has started itself stay. Raises TypeError and ValueError for a wrong number,
        an ExceptionGroup of WorkerStartError for workers that do not come up, what a launcher
        raises, and NoPool when the pool is not open.
        """
        many = checked_number("workers", workers, least=1)
        if many is None:
            raise TypeError("workers must be a whole number, it is None")
        running, upkeep = self._find_running()
        if running.has_launcher:
            await running.launch(many)
        else:
            await upkeep.resize(many)
            self._spawn = many

    async def broadcast(
        self, routine: Calls[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> dict[str, T]:
        """Call a routine once on each worker, all at once; return the results by worker.

        Each call gets a fork of the caller's chain: what the routine sets stays there. When all
        have ended, raises one ExceptionGroup of what they raised. Raises TypeError for a stream
        and for wrong arguments, and NoPool when the pool is not open.
        """
        way, running = self.dispatcher, self._running
        proxy = None if running is None else running.proxy
        members = () if proxy is None else tuple(proxy.members)
        return await call_each(way, members, routine, args, kwargs)

    def _find_running(self) -> tuple[RunningPool, Upkeep]:
        """Return what the pool has while it is open. Raises NoPool and RuntimeError if it cannot.

        Its workers are changed on its own event loop.
        """
        running = self._running
        if running is None or running.upkeep is None or not self.is_open:
            raise NoPool(routine="", reason="the pool is not open")
        if self._home is not asyncio.get_running_loop():
            raise RuntimeError(
                "a pool's workers are changed on the event loop that it was opened on"
            )
        return running, running.upkeep
