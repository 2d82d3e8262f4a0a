"""The way to those workers of a pool that have some tags.

Who that is is looked up for each call: workers come and go. Two of them are drawn, and the one with
fewer open calls gets the call, so that nothing has to be kept between calls.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.caller.line import join_line
from catena.dispatch.dispatcher import Dispatcher
from catena.errors import CatenaError, NoFittingWorker, WorkerLost
from catena.proxy.member import Member
from catena.proxy.reaching import (
    Causes,
    WaitedFor,
    choose_serving,
    describe_causes,
    reach_all,
    reach_any,
    reach_first,
)
from catena.security.credentials import Credentials
from catena.tags import NO_TAGS, Tags, show_tags


class WholePool(WaitedFor, Dispatcher, Protocol):
    """The way to all workers of a pool, as far as it is known here."""

    members: list[Member]

    def under(self, credentials: Credentials, /) -> WholePool:
        """Return the way to them under these credentials."""
        ...

    def check_open(self, routine: str, /) -> None:
        """Raise ForkedPool where the pool is another process's, NoPool where it is closed."""
        ...


class TaggedWorkers:
    """A dispatcher over the members of a pool that have all these tags.

    Their calls stand in the line of the pool, and pass by those that fit others alone.
    """

    def __init__(self, pool: WholePool, tags: Tags) -> None:
        self._pool = pool
        self._tags = tags
        join_line(self, pool)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the pool."""
        return self._pool.loop

    @property
    def max_waiting(self) -> int | None:
        """How many calls of the pool may wait for slots, None for any number."""
        return self._pool.max_waiting

    @property
    def members(self) -> list[Member]:
        """Those that have the tags, also where they get no calls."""
        return [one for one in self._pool.members if self._tags <= one.tags]

    @property
    def serving(self) -> list[Member]:
        """Those of them that get calls."""
        return choose_serving(self.members)

    def check_process(self, routine: str) -> None:
        """Raise ForkedPool where the pool is another process's."""
        self._pool.check_process(routine)

    def under(self, credentials: Credentials) -> TaggedWorkers:
        """Return the way to the same workers under these credentials."""
        pool = self._pool.under(credentials)
        return self if pool is self._pool else TaggedWorkers(pool, self._tags)

    def fitting(self, tags: Tags) -> TaggedWorkers:
        """Return the way to those that have these tags as well."""
        return TaggedWorkers(self._pool, self._tags | tags)

    def pick_connection(self) -> WorkerConnection | None:
        """Return the caller of one, None when it is not connected and has to be reached."""
        serving = self.serving
        if not serving:
            return None
        drawn, other = _draw(serving), _draw(serving)
        if drawn is None:
            return None
        if other is not None and _rank(other) < _rank(drawn):
            drawn = other
        return _pass_over(drawn, serving) if drawn.pulse.held_up else drawn

    def reach_worker(self, routine: str) -> Coroutine[Any, Any, WorkerConnection]:
        """Connect to one of them and return its caller.

        Raises NoFittingWorker where the pool has none and expects none, and as the pool otherwise.
        """
        self._pool.check_open(routine)
        return reach_any(self._pool, self, routine)

    def reach_all(self, routine: str) -> Coroutine[Any, Any, list[WorkerConnection]]:
        """Connect to them and return the callers of those that can be used.

        Raises as ``reach_worker`` when there is none.
        """
        return reach_all(self._pool, self, routine)

    async def reach_next(self, causes: Causes) -> WorkerConnection | None:
        """Return the caller of one that answers; None where none does, with the causes filled."""
        serving = self.serving
        return await reach_first(random.sample(serving, len(serving)), causes)

    def describe_lack(self, causes: Causes) -> str:
        """Return in words why none of them can be reached."""
        if self.members:
            return describe_causes(f"no worker with {show_tags(self._tags)} can be reached", causes)
        there = show_tags(self._list_known())
        return f"no worker has {show_tags(self._tags)}; those that there are have {there}"

    def find_error(self, routine: str, causes: Causes) -> CatenaError:
        """Return the error of a call that reaches none of them."""
        members = self.members
        if not members:
            asked, there = sorted(self._tags), sorted(self._list_known())
            return NoFittingWorker(routine=routine, tags=tuple(asked), known=tuple(there))
        names, cause = ", ".join(one.worker for one in members), self.describe_lack(causes)
        return WorkerLost(worker=names, routine=routine, begun=False, cause=cause)

    def _list_known(self) -> Tags:
        """Return the tags that the workers of the pool have."""
        return NO_TAGS.union(*(one.tags for one in self._pool.members))

    def __repr__(self) -> str:
        return f"<workers of {self._pool!r} with {show_tags(self._tags)}>"


def _draw(serving: Sequence[Member]) -> WorkerConnection | None:
    """Return the caller of any member, None where it has to be reached."""
    caller = random.choice(serving).caller  # noqa: S311 - nobody is to be kept from guessing
    return caller if caller is not None and caller.usable else None


def _pass_over(held_up: WorkerConnection, serving: Sequence[Member]) -> WorkerConnection:
    """Return whom to call instead of a worker that is held up, itself where all of them are."""
    callers = [one.caller for one in serving if one.caller is not None and one.caller.usable]
    others = [one for one in callers if not one.pulse.held_up]
    return min(others, key=_rank, default=held_up)


def _rank(connection: WorkerConnection) -> int:
    return len(connection.calls)
