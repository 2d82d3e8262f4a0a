"""What the launchers of all engines share: which workers there are to be, and where they are.

For each worker there is one task that keeps it. An engine's launcher says how that is done, by
three methods; the rest is here.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any

from catena.discovery.listed import ListedMembers
from catena.discovery.looking import LookingSource
from catena.engines.plan import WorkerPlan
from catena.ids import MemberRecord
from catena.pool.arguments import (
    checked_function,
    checked_number,
    checked_patience,
    checked_switch,
)
from catena.security.names import check_label
from catena.security.trust import Trust

if TYPE_CHECKING:
    from catena.engines.identity import PoolIdentity

Report = Callable[[MemberRecord | None], None]
"""Takes a worker's record when it listens somewhere, and None when it does not any more."""

CLOSE_SECONDS = 2.5
"""How long workers may take for their calls when the pool is closed."""

_log = logging.getLogger("catena.engines")


class EngineLauncher(ABC):
    """A ``Launcher`` that has an engine keep ``count`` workers; a base class.

    ``catena.WorkerServer`` explains ``tags``, ``slots``, ``max_calls_in_flight``, ``refuse``,
    ``lifespan``, ``strict`` and ``drain_timeout``. ``imports`` names modules that each worker
    imports before it listens, ``start_timeout`` is how many seconds it may take until then.

    The workers have certificates of an authority that the launcher makes for itself, and ``trust``
    is how they are called. Where ``certs`` names a folder that is there on each machine of the
    engine, its credentials are used in place of that, and ``pool`` is the name in them; the pool is
    given ``credentials`` and ``name`` then.

    Constructing raises TypeError and ValueError for a wrong option.
    """

    kind = "engine"
    """The engine in one small word, with which the names of its pools begin."""

    def __init__(  # noqa: PLR0913 - each is an option of its own
        self,
        count: int,
        *,
        tags: Iterable[str] = (),
        imports: Iterable[str] = (),
        slots: int = 1,
        max_calls_in_flight: int | None = None,
        refuse: str | None = None,
        lifespan: str | None = None,
        strict: bool = False,
        start_timeout: float = 30.0,
        drain_timeout: float = 30.0,
        certs: str | os.PathLike[str] | None = None,
        pool: str = "",
    ) -> None:
        self.count = _check_count(count)
        if (certs is None) != (not pool):
            raise ValueError(
                "certs and pool belong together: the certificates name the pool"
            )
        self._certs = "" if certs is None else os.fspath(certs)
        self._pool = pool and check_label(pool, "a pool's name")
        self._options: dict[str, Any] = {
            "tags": frozenset(tags),
            "imports": tuple(imports),
            "slots": checked_number("slots", slots, least=1) or 1,
            "max_calls_in_flight": checked_number(
                "max_calls_in_flight", max_calls_in_flight, least=1
            ),
            "refuse": checked_function("refuse", refuse),
            "lifespan": checked_function("lifespan", lifespan),
            "strict": checked_switch("strict", strict),
            "start_timeout": checked_patience("start_timeout", start_timeout),
            "drain_timeout": checked_patience("drain_timeout", drain_timeout),
        }
        self._lock = asyncio.Lock()
        self._identity: PoolIdentity | None = None
        self._is_open = False
        self._keeping: dict[str, asyncio.Task[None]] = {}
        self._records: dict[str, MemberRecord] = {}
        self._begin_list()

    def _begin_list(self) -> None:
        self._listed = ListedMembers(())
        self._source = LookingSource(self._listed)

    @property
    def trust(self) -> Trust | None:
        """How the workers are called while there are some; None where ``certs`` says it."""
        return None if self._identity is None else self._identity.trust

    @abstractmethod
    async def open_engine(self) -> None:
        """Look whether the engine is there, and make what all workers need."""

    @abstractmethod
    async def keep_worker(self, plan: WorkerPlan, report: Report) -> None:
        """Have the engine run a worker and start it again when it has ended, until cancelled."""

    @abstractmethod
    async def end_worker(self, id: str, patience: float) -> None:
        """End a worker that is kept no more, and all that is there for it.

        It has so many seconds for the calls that it has.
        """

    @abstractmethod
    async def close_engine(self) -> None:
        """Take away what was made for all workers; there are none left."""

    async def launch(self, count: int) -> None:
        """Have so many workers; those that are too many answer the calls that they have, and end.

        Returns when those have ended and the others were asked for: ``members`` says when they are
        there. Raises what asking the engine raises; ValueError and TypeError for a wrong number.
        """
        wanted = _check_count(count)
        async with self._lock:
            await self._open()
            loop = asyncio.get_running_loop()
            for _ in range(wanted - len(self._keeping)):
                plan = await asyncio.to_thread(self._make_plan)
                # In an empty Context: it outlives whoever opened the pool.
                self._keeping[plan.id] = loop.create_task(
                    self._keep(plan), name=f"catena-keep-{plan.id}", context=contextvars.Context()
                )
            patience = self._options["drain_timeout"]
            await self._end([*self._keeping][wanted:], patience)

    def members(self) -> AsyncIterator[frozenset[MemberRecord]]:
        """Return an iterator over the sets of members, now and on each change."""
        return self._source.members()

    async def close(self) -> None:
        """End all workers, and take away all that was made; it may be launched again after that.

        Calls that they have get a moment. Doing it twice is fine.
        """
        async with self._lock:
            try:
                await self._end([*self._keeping], CLOSE_SECONDS)
                if self._is_open:
                    self._is_open = False
                    await self.close_engine()
            finally:
                if self._identity is not None:
                    self._identity.close()
                    self._identity = None
                await self._source.close()
                self._begin_list()

    async def _open(self) -> None:
        if self._is_open:
            return
        await self.open_engine()
        self._is_open = True
        if not self._certs:
            self._identity = await asyncio.to_thread(_make_identity, self.kind)

    def _make_plan(self) -> WorkerPlan:
        id = f"{self.kind}-{secrets.token_hex(4)}"
        if self._identity is None:
            return WorkerPlan(id=id, pool=self._pool, certs=self._certs, **self._options)
        files = self._identity.issue_worker(id)
        return WorkerPlan(id=id, pool=self._identity.pool, files=files, **self._options)

    async def _keep(self, plan: WorkerPlan) -> None:
        try:
            await self.keep_worker(plan, lambda record: self._note(plan.id, record))
        except Exception as error:
            # Nobody waits for this task, and the workers of others go on.
            _log.error("worker %s is kept no more", plan.id, exc_info=error)
            self._note(plan.id, None)

    def _note(self, id: str, record: MemberRecord | None) -> None:
        """Take note where a worker is now; on the event loop."""
        if record is None:
            self._records.pop(id, None)
        else:
            self._records[id] = record
        self._listed.replace(self._records.values())

    async def _end(self, ids: list[str], patience: float) -> None:
        """End workers, all at once. Raises an ExceptionGroup of what went wrong."""
        tasks = [self._keeping.pop(id) for id in ids]
        for id, task in zip(ids, tasks, strict=True):
            task.cancel()
            self._note(id, None)
        await asyncio.gather(*tasks, return_exceptions=True)
        ended = [self.end_worker(id, patience) for id in ids]
        raised = await asyncio.gather(*ended, return_exceptions=True)
        errors = [one for one in raised if isinstance(one, Exception)]
        if errors:
            raise ExceptionGroup("workers could not be ended", errors)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} launcher of {len(self._keeping)} workers>"


def _check_count(count: int) -> int:
    """Return a number of workers. Raises TypeError and ValueError."""
    checked = checked_number("count", count, least=0)
    if checked is None:
        raise TypeError("count must be a whole number, it is None")
    return checked


def _make_identity(kind: str) -> PoolIdentity:
    from catena.engines.identity import PoolIdentity  # noqa: PLC0415 - it needs an extra

    return PoolIdentity(f"{kind}-{secrets.token_hex(6)}")
