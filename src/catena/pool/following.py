"""Workers that a pool has not started: their records are followed, and links are made to them.

A record is a hint. A worker is a member of the pool as long as a link to it is up on which it has
shown who it is; where the link ends, the worker gets no more calls, and is tried again with growing
pauses for as long as there is a record of it. The pauses are drawn, so that many pools do not all
try at the same moment when a worker comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
from collections.abc import Callable, Coroutine, Iterator
from time import monotonic
from typing import Any
from weakref import WeakSet

from catena.dispatch.caller.connection import WorkerConnection
from catena.errors import CatenaError, WorkerStartError
from catena.events import RecordRefused, WorkerJoined, WorkerLeft
from catena.events.bus import announce
from catena.ids import MemberRecord
from catena.link.link import Link
from catena.members import MemberSource
from catena.pool.workers import raise_failures
from catena.proxy.balance import Proxy
from catena.proxy.member import Member
from catena.standing import copy_members, count_with
from catena.wire.codec import MemberFacts

_FIRST, _LONGEST = 0.1, 10.0
"""Seconds before the second attempt to reach a worker, and at most before each further one."""

_SAME_SECONDS = 60.0
"""How long a record is left alone whose worker has a link by another one, while that lasts."""

_CLOSES = "the pool closes"
_LOST_SOURCE = "%s no longer says which workers there are; those that are known stay"

_log = logging.getLogger("catena.pool")


class Pauses:
    """The pauses between attempts: each is up to twice as long as the one before could be.

    None is shorter than half of what it could be, and none longer than ten seconds.
    """

    def __init__(self) -> None:
        self._next = _FIRST

    def draw(self) -> float:
        """Return how many seconds to wait now."""
        seconds, self._next = self._next, min(2 * self._next, _LONGEST)
        return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - nobody is to be kept from guessing

    def note_lasted(self, seconds: float) -> None:
        """Return to the first pause after what has lasted for longer than the longest one."""
        if seconds > _LONGEST:
            self._next = _FIRST


_followers: WeakSet[Follower] = WeakSet()
"""Those of every pool of this process."""


@count_with("members")
def _count_members() -> Iterator[tuple[str]]:
    for follower in copy_members(_followers):
        yield from [(follower.kind,)] * len(follower.members)


class Followers:
    """Whom a pool follows: where its workers are found, and what has them launched."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._all: list[Follower] = []
        self._news = asyncio.Event()

    def follow(
        self, source: MemberSource, most: int | None = None, *, launched: bool = False
    ) -> Follower:
        """Make members of the workers of a source, at most so many; return what does that."""
        made = Follower(source, self._proxy, self._news.set, most, launched=launched)
        self._all.append(made)
        return made

    async def await_members(self, many: int, seconds: float, of: Follower | None = None) -> None:
        """Wait until so many are members, all together or of one source; at most so many seconds.

        Raises an ExceptionGroup of WorkerStartError when there are not, and what a source raised.
        """
        counted = self._all if of is None else [of]
        try:
            async with asyncio.timeout(seconds):
                while sum(one.count_members() for one in counted) < many:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            found = sum(one.count_members() for one in counted)
            cause = f"{found} of {many} workers were found within {seconds:g} s"
            raise_failures([WorkerStartError(worker="any", cause=cause)])

    def list_unreached(self) -> list[tuple[MemberRecord, str]]:
        """Return the records of workers that there was no link to when last tried, and why."""
        return [pair for one in self._all for pair in one.unreached.items()]

    async def stop(self) -> None:
        """Follow no more; the members stay as they are."""
        await asyncio.gather(*(one.stop() for one in self._all))


class Follower:
    """Makes members of a pool's proxy out of the records of a source.

    At most ``most`` workers are used at a time, None for all. ``changed`` is called when one is
    there. Those that were ``launched`` for this pool are known by their very certificate, where
    their record has one; what else is found may have any record. While it follows, calls that find
    no worker wait for one.
    """

    def __init__(
        self,
        source: MemberSource,
        proxy: Proxy,
        changed: Callable[[], object],
        most: int | None = None,
        *,
        launched: bool = False,
    ) -> None:
        self._source = source
        self._proxy = proxy
        self._launched = launched
        self.kind = "launcher" if launched else "discovery"
        self._room = None if most is None else asyncio.Semaphore(most)
        self._known: dict[MemberRecord, asyncio.Task[None]] = {}
        self._reported: set[MemberRecord] = set()
        self.members: set[Member] = set()
        # Why there was no link when one was tried last.
        self.unreached: dict[MemberRecord, str] = {}
        self._stopping = False
        self._failure: Exception | None = None
        self._changed = changed
        _followers.add(self)
        proxy.expect_members(self.kind, expected=True)
        self._following = self._begin_task(self._follow())

    def count_members(self) -> int:
        """Return how many workers of the source are members. Raises what the source has raised."""
        if self._failure is not None:
            raise self._failure
        return len(self.members)

    async def stop(self) -> None:
        """Follow no more; the members stay as they are.

        Calls that wait for a worker go on waiting, until they learn that the pool is closed.
        """
        self._stopping = True
        tasks = [self._following, *self._known.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # In an empty Context: it outlives whoever opened the pool.
        loop = asyncio.get_running_loop()
        return loop.create_task(work, context=contextvars.Context())

    async def _follow(self) -> None:
        try:
            async for records in self._source.members():
                self._follow_records(records)
        except Exception as error:
            _log.exception(_LOST_SOURCE, self.kind)
            self._failure = error
            self._proxy.expect_members(self.kind, expected=False)
            self._changed()

    def _follow_records(self, records: frozenset[MemberRecord]) -> None:
        for record in [*self._known.keys() - records]:
            self._known.pop(record).cancel()
            self.unreached.pop(record, None)
        for record in records - self._known.keys():
            self._known[record] = self._begin_task(self._keep(record))

    async def _keep(self, record: MemberRecord) -> None:
        """Keep a worker a member of the pool for as long as there is a record of it."""
        pauses = Pauses()
        while True:
            async with self._room or contextlib.nullcontext():
                same = await self._hold_link(record, pauses)
            if same is not None:
                await _leave_alone(same)
            await asyncio.sleep(pauses.draw())

    async def _hold_link(self, record: MemberRecord, pauses: Pauses) -> Link | None:
        """Reach a worker and have it get calls until its link ends.

        Returns the link of a member that is this very worker, where there is one.
        """
        member = self._proxy.make_member(self._read_facts(record))
        try:
            caller = await member.reach_worker()
        except (CatenaError, OSError) as error:
            _log.debug("no link to %s: %s", record.target, error)
            if record in self._known:
                self.unreached[record] = member.failure
            await member.close()
            return None
        except asyncio.CancelledError:
            await member.close()
            raise
        self.unreached.pop(record, None)
        is_right = self._is_right(record, caller.worker)
        same = self._proxy.find_member(caller.worker) if is_right else None
        if not is_right or same is not None:
            await member.close()
            return None if same is None or same.caller is None else same.caller.link
        self._admit(member, caller)
        began = monotonic()
        try:
            await caller.link.wait_ended()
        except asyncio.CancelledError:
            # Its record is gone: the calls that it has go on.
            self._proxy.part_with(member)
            self._note_left(member, _CLOSES if self._stopping else "its record is gone")
            raise
        self._proxy.remove_member(member, "lost its link")
        self._note_left(member, "its link has ended", unexpected=True)
        pauses.note_lasted(monotonic() - began)
        return None

    def _is_right(self, record: MemberRecord, shown: str) -> bool:
        """Say whether a worker is who its record says; it is announced once where it is not."""
        if not record.id or shown == record.id:
            return True
        if record not in self._reported:
            self._reported.add(record)
            if RecordRefused.listeners:
                announce(RecordRefused(shown, record.target, record.id))
        return False

    def _admit(self, member: Member, caller: WorkerConnection) -> None:
        """Make a worker a member under the name that it has shown."""
        member.note_said(caller)
        self._proxy.add_member(member)
        self.members.add(member)
        if WorkerJoined.listeners:
            announce(WorkerJoined(member.worker, member.target, self.kind))
        self._changed()

    def _note_left(self, member: Member, reason: str, *, unexpected: bool = False) -> None:
        self.members.discard(member)
        if WorkerLeft.listeners:
            announce(
                WorkerLeft(member.worker, member.target, self.kind, reason, unexpected=unexpected)
            )

    def _read_facts(self, record: MemberRecord) -> MemberFacts:
        """Return what a record says of a worker, and how that has to prove who it is.

        Where the id is not known, or a certificate names the pool alone, that name is all there is
        to be proved. A certificate in a record counts where the record itself can be trusted.
        """
        shared = not record.id or record.name == self._proxy.trust.name_for("")
        leaf = record.leaf if self._launched and record.leaf else b""
        return MemberFacts(
            record.id, record.target, found=True, shared=shared, leaf=leaf, tags=record.tags
        )


async def _leave_alone(link: Link) -> None:
    """Wait until the link to a worker ends, or long enough for another one to be at an address."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SAME_SECONDS * random.uniform(0.5, 1.5)):  # noqa: S311 - as above
            await link.wait_ended()
