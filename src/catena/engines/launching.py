"""What the launchers of all engines share: which workers there are to be, and where they are.

For each worker there is one task that keeps it. An engine's launcher says how that is done, by
four methods; the rest is here.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

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

_NUMBERS = ("slots", "max_calls_in_flight")
_SECONDS = ("start_timeout", "drain_timeout")
_FUNCTIONS = ("refuse", "lifespan")

_log = logging.getLogger("catena.engines")


class WorkerOptions(TypedDict, total=False):
    """What launchers of all engines take for their workers; ``EngineLauncher`` explains it."""

    tags: Iterable[str]
    imports: Iterable[str]
    slots: int
    max_calls_in_flight: int | None
    refuse: str | None
    lifespan: str | None
    strict: bool
    start_timeout: float
    drain_timeout: float
    certs: str | os.PathLike[str] | None
    pool: str


class EngineLauncher(ABC):
    """A ``Launcher`` that has an engine keep ``count`` workers; the base of those that there are.

    ``catena.WorkerServer`` explains ``tags``, ``slots``, ``max_calls_in_flight``, ``refuse``,
    ``lifespan``, ``strict`` and ``drain_timeout``. ``imports`` names modules that each worker
    imports before it listens, ``start_timeout`` is how many seconds it may take until then (30).

    The workers have certificates of an authority that the launcher makes for itself, and ``trust``
    is how they are called. Where ``certs`` names a folder that is there on each machine of the
    engine, its credentials are used in place of that, and ``pool`` is the name in them; the pool is
    given ``credentials`` and ``name`` then.

    Constructing raises TypeError and ValueError for a wrong option.
    """

    kind = "engine"
    """The engine in one small word, with which the names of its workers begin."""

    def __init__(self, count: int, **options: Unpack[WorkerOptions]) -> None:
        self.count = _check_count(count)
        self._certs, self._pool, self._options = _check_options({**options})
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()
        self._identity: PoolIdentity | None = None
        self._is_open = False
        self._keeping: dict[str, asyncio.Task[None]] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._records: dict[str, MemberRecord] = {}
        self._begin_list()

    def _begin_list(self) -> None:
        self._records.clear()
        self._listed = ListedMembers(())
        self._source = LookingSource(self._listed)

    @property
    def trust(self) -> Trust | None:
        """How workers are called, from ``launch`` to ``close``; None where ``certs`` is given."""
        return None if self._identity is None else self._identity.trust

    @abstractmethod
    async def open_engine(self) -> None:
        """Look whether the engine is there, and make what all workers need."""

    @abstractmethod
    async def keep_worker(self, plan: WorkerPlan, report: Report) -> None:
        """Have the engine run a worker and start it again when it has ended, until cancelled."""

    @abstractmethod
    async def end_worker(self, id: str, patience: float) -> None:
        """End a worker that is kept no more, and take away all that is there for it.

        It has so many seconds for the calls that it has.
        """

    @abstractmethod
    async def close_engine(self) -> None:
        """Take away what was made for all workers; there are none left."""

    async def launch(self, count: int) -> None:
        """Have so many workers; those that are too many answer the calls that they have, and end.

        Returns when the engine was asked: ``members`` says when they are there. Raises
        WorkerStartError where the engine is not there, what making certificates raises, and
        TypeError and ValueError for a wrong number.
        """
        wanted = _check_count(count)
        self._enter_loop()
        async with self._lock:
            await self._open()
            for _ in range(wanted - len(self._keeping)):
                plan = await asyncio.to_thread(self._make_plan)
                self._keeping[plan.id] = _begin_task(self._keep(plan), f"keep {plan.id}")
            for id in [*self._keeping][wanted:]:
                self._begin_ending(id, self._options["drain_timeout"])

    def members(self) -> AsyncIterator[frozenset[MemberRecord]]:
        """Return an iterator over the sets of members, now and on each change."""
        return self._source.members()

    async def close(self) -> None:
        """End all workers, and take away all that was made; it may be launched again after that.

        Calls that they have get a moment. Doing it twice is fine. Raises an ExceptionGroup of what
        went wrong.
        """
        self._enter_loop()
        async with self._lock:
            try:
                await self._end_all()
                if self._is_open:
                    self._is_open = False
                    await self.close_engine()
            finally:
                if self._identity is not None:
                    self._identity.close()
                    self._identity = None
                await self._source.close()
                self._begin_list()

    def _enter_loop(self) -> None:
        """Let go of what belongs to an event loop that has ended."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            self._lock = asyncio.Lock()
            # Nothing keeps the workers any more, nor ends them: that is begun again.
            self._keeping.update(self._ending)
            self._ending.clear()
            self._begin_list()
        self._loop = loop

    async def _open(self) -> None:
        if self._is_open:
            return
        if not self._certs and self._identity is None:
            self._identity = await asyncio.to_thread(_make_identity, self.kind)
        await self.open_engine()
        self._is_open = True

    def _make_plan(self) -> WorkerPlan:
        id = f"{self.kind}-{secrets.token_hex(4)}"
        if self._identity is None:
            return WorkerPlan(id=id, pool=self._pool, certs=self._certs, **self._options)
        files = self._identity.issue_worker(id)
        return WorkerPlan(id=id, pool=self._identity.pool, files=files, **self._options)

    async def _keep(self, plan: WorkerPlan) -> None:
        try:
            await self.keep_worker(plan, lambda record: self._note(plan.id, record))
        except Exception:
            # Nobody waits for this task, and the other workers are kept all the same.
            _log.exception("worker %s is kept no more", plan.id)
            self._note(plan.id, None)

    def _note(self, id: str, record: MemberRecord | None) -> None:
        """Take note where a worker is now; on the event loop."""
        if record is None:
            self._records.pop(id, None)
        else:
            self._records[id] = record
        self._listed.replace(self._records.values())

    def _begin_ending(self, id: str, patience: float) -> None:
        """Say that a worker is no member, and end it."""
        keeping = self._keeping.pop(id)
        self._note(id, None)
        ending = _begin_task(self._end(id, keeping, patience), f"end {id}")
        self._ending[id] = ending
        ending.add_done_callback(lambda _: self._forget_ended(id))

    async def _end(self, id: str, keeping: asyncio.Task[None], patience: float) -> None:
        if keeping.get_loop() is asyncio.get_running_loop():
            keeping.cancel()
            await asyncio.wait({keeping})
        await self.end_worker(id, patience)

    def _forget_ended(self, id: str) -> None:
        """Forget a worker that has ended, unless somebody has to hear why it has not."""
        task = self._ending.get(id)
        if task is not None and not task.cancelled() and task.exception() is None:
            del self._ending[id]

    async def _end_all(self) -> None:
        """End all workers, at once. Raises an ExceptionGroup of what went wrong."""
        for id in [*self._keeping]:
            self._begin_ending(id, CLOSE_SECONDS)
        endings = [*self._ending.values()]
        self._ending.clear()
        raised = await asyncio.gather(*endings, return_exceptions=True)
        errors = [one for one in raised if isinstance(one, Exception)]
        if errors:
            raise ExceptionGroup("workers could not be ended", errors)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} launcher of {len(self._keeping)} workers>"


def _begin_task(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    # In an empty Context: it outlives whoever opened the pool.
    loop = asyncio.get_running_loop()
    return loop.create_task(work, name=f"catena: {name}", context=contextvars.Context())


def _check_count(count: int) -> int:
    """Return a number of workers. Raises TypeError and ValueError."""
    checked = checked_number("count", count, least=1)
    if checked is None:
        raise TypeError("count must be a whole number, it is None")
    return checked


def _check_options(given: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Return the folder of certificates, the pool in them, and the options of all plans.

    Raises TypeError and ValueError.
    """
    unknown = given.keys() - WorkerOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"a launcher has no option {', '.join(sorted(unknown))}")
    found: dict[str, Any] = {name: one for name, one in given.items() if one is not None}
    folder: str | os.PathLike[str] = found.pop("certs", "")
    certs, pool = os.fspath(folder), str(found.pop("pool", ""))
    if bool(certs) != bool(pool):
        raise ValueError("certs and pool belong together: the certificates name the pool")
    checked: dict[str, Any] = {"drain_timeout": 30.0}
    for name, value in found.items():
        if name in _NUMBERS:
            checked[name] = checked_number(name, value, least=1)
        elif name in _SECONDS:
            checked[name] = checked_patience(name, value)
        elif name in _FUNCTIONS:
            checked[name] = checked_function(name, value)
        elif name == "strict":
            checked[name] = checked_switch(name, value)
        else:
            checked[name] = _check_words(name, value)
    return certs, pool and check_label(pool, "a pool's name"), checked


def _check_words(name: str, words: Any) -> Any:
    """Return tags as a set, and modules as they are. Raises TypeError for a text."""
    if isinstance(words, str):
        raise TypeError(f"{name} must be a list of texts, it is {words!r}")
    return frozenset(words) if name == "tags" else tuple(words)


def _make_identity(kind: str) -> PoolIdentity:
    from catena.engines.identity import PoolIdentity  # noqa: PLC0415 - it needs an extra

    return PoolIdentity(f"{kind}-{secrets.token_hex(6)}")
