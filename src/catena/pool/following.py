"""Workers that a pool has not started: their records are followed, and links are made to them.

A record is a hint. A worker is a member of the pool as long as a link to it is up on which it has
shown who it is; where the link ends, the worker gets no more calls, and is tried again with growing
pauses for as long as there is a record of it. The pauses are drawn, so that many pools do not all
try at the same moment when a worker comes back.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
from collections.abc import Coroutine
from time import monotonic
from typing import Any, Protocol

from catena.errors import CatenaError, WorkerStartError
from catena.ids import MemberRecord
from catena.proxy.balance import Proxy
from catena.proxy.member import Member
from catena.wire.codec import MemberFacts

_FIRST, _LONGEST = 0.1, 10.0
"""Seconds before the second attempt to reach a worker, and at most before each further one."""

_OTHER = "at %s is worker %s, and not %s as its record says; it gets no calls"

_log = logging.getLogger("catena.pool")


class MemberSource(Protocol):
    """Finds workers; ``catena.discovery`` has those that there are."""

    def members(self) -> Any:
        """Return an asynchronous iterator over all records, now and after each change."""
        ...

    async def close(self) -> None:
        """Let go of what it reads from."""
        ...


class Pauses:
    """The pauses between attempts: each twice as long as the one before, give or take a half."""

    def __init__(self) -> None:
        self._next = _FIRST

    def draw(self) -> float:
        """Return how many seconds to wait now."""
        seconds, self._next = self._next, min(2 * self._next, _LONGEST)
        return seconds * random.uniform(0.5, 1.5)  # noqa: S311 - nobody is to be kept from guessing

    def begin_again(self) -> None:
        """Return to the first."""
        self._next = _FIRST


class Follower:
    """Makes members of a pool's proxy out of the records of a source.

    At most ``most`` workers are used at a time, None for all. While it follows, calls that find no
    worker wait for one.
    """

    def __init__(self, source: MemberSource, proxy: Proxy, most: int | None = None) -> None:
        self._source = source
        self._proxy = proxy
        self._room = None if most is None else asyncio.Semaphore(most)
        self._known: dict[MemberRecord, asyncio.Task[None]] = {}
        self._reported: set[MemberRecord] = set()
        self._joined = asyncio.Event()
        proxy.expect_members("discovery", expected=True)
        self._following = self._begin_task(self._follow())

    async def await_quorum(self, many: int, seconds: float) -> list[WorkerStartError]:
        """Wait until so many are found, at most so many seconds; return why they were not."""
        try:
            async with asyncio.timeout(seconds):
                while self._count_found() < many:
                    self._joined.clear()
                    await self._joined.wait()
        except TimeoutError:
            found = self._count_found()
            cause = f"{found} of {many} workers were found within {seconds:g} s"
            return [WorkerStartError(worker="any", cause=cause)]
        return []

    def _count_found(self) -> int:
        return sum(one.found for one in self._proxy.members)

    async def close(self) -> None:
        """Follow no more; the members stay as they are."""
        tasks = [self._following, *self._known.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._proxy.expect_members("discovery", expected=False)
        await self._source.close()

    def _begin_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # In an empty Context: it outlives whoever opened the pool.
        loop = asyncio.get_running_loop()
        return loop.create_task(work, context=contextvars.Context())

    async def _follow(self) -> None:
        async for records in self._source.members():
            for record in [*self._known.keys() - records]:
                self._known.pop(record).cancel()
            for record in records - self._known.keys():
                self._known[record] = self._begin_task(self._keep(record))

    async def _keep(self, record: MemberRecord) -> None:
        """Keep a worker a member of the pool for as long as there is a record of it."""
        pauses = Pauses()
        while True:
            if self._room is None:
                await self._hold_link(record, pauses)
            else:
                async with self._room:
                    await self._hold_link(record, pauses)
            await asyncio.sleep(pauses.draw())

    async def _hold_link(self, record: MemberRecord, pauses: Pauses) -> None:
        """Reach a worker and have it get calls until its link ends."""
        member = self._proxy.make_member(MemberFacts(record.id, record.target, found=True))
        try:
            caller = await member.reach_worker()
        except (CatenaError, OSError) as error:
            _log.debug("no link to %s: %s", record.target, error)
            await member.close()
            return
        except asyncio.CancelledError:
            await member.close()
            raise
        if not self._admit(record, member, caller.worker):
            await member.close()
            return
        began = monotonic()
        try:
            await caller.link.wait_ended()
        except asyncio.CancelledError:
            # Its record is gone: the calls that it has go on.
            self._proxy.part_with(member)
            raise
        self._proxy.remove_member(member, "lost its link")
        if monotonic() - began > _LONGEST:
            pauses.begin_again()

    def _admit(self, record: MemberRecord, member: Member, shown: str) -> bool:
        """Make a worker a member if it is who its record says, and is none yet."""
        if record.id and shown != record.id:
            if record not in self._reported:
                self._reported.add(record)
                _log.warning(_OTHER, record.target, shown, record.id)
            return False
        if self._proxy.find_member(shown) is not None:
            return False
        member.worker = shown
        self._proxy.add_member(member)
        self._joined.set()
        return True
