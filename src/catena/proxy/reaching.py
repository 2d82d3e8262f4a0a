"""How a call finds a worker that answers, and how it waits where there is none.

Whom it may go to is the ``Choice``: all workers of a pool, or some of them. Whether it waits for
others to come is a matter of the pool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from functools import partial
from time import monotonic
from typing import Any, Protocol

from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.caller.long_waits import LongWaits
from catena.errors import CatenaError, NoPool, WorkerStartError
from catena.events import announced
from catena.proxy.member import Member, raise_refusal

_ROUNDS = 2
_NOTICE_SECONDS = 0.5
"""How often, and how long, a call that finds no worker waits for news of those that there were."""

Causes = dict[str, Exception | str]
"""Why workers cannot be used, by their names."""


class Choice(Protocol):
    """The workers that a call may go to."""

    @property
    def members(self) -> Sequence[Member]:
        """All of them, also those that get no calls."""
        ...

    @property
    def serving(self) -> Sequence[Member]:
        """Those that get calls."""
        ...

    async def reach_next(self, causes: Causes, /) -> WorkerConnection | None:
        """Return the caller of one that answers; None where none does, with the causes filled."""
        ...

    def describe_lack(self, causes: Causes, /) -> str:
        """Return in words why a call reaches none of them."""
        ...

    def find_error(self, routine: str, causes: Causes, /) -> CatenaError:
        """Return the error of such a call."""
        ...

    def reach_worker(self, routine: str, /) -> Coroutine[Any, Any, WorkerConnection]:
        """Reach one of them, as a call does."""
        ...


class WaitedFor(Protocol):
    """A pool, as far as those know it who wait for its workers."""

    @property
    def closed(self) -> bool:
        """Whether it leads nowhere any more."""
        ...

    @property
    def watched(self) -> bool:
        """Whether this process learns how its workers' processes end."""
        ...

    @property
    def expecting(self) -> set[str]:
        """Who may bring other workers."""
        ...

    @property
    def is_usable(self) -> bool:
        """Whether it leads to workers from here."""
        ...

    @property
    def long_waits(self) -> LongWaits:
        """The calls that wait for its workers."""
        ...

    async def await_change(self, seconds: float | None, /) -> None:
        """Wait until there may be another worker, at most so many seconds, None for any time."""
        ...


async def reach_any(pool: WaitedFor, choice: Choice, routine: str) -> WorkerConnection:
    """Return the caller of a worker that answers; wait for one as long as any may come.

    Raises NoPool when the pool is closed, PeerRefused or CredentialsError where all refuse, and the
    error of the choice.
    """
    began, rounds = monotonic(), 0
    while True:
        causes: Causes = {}
        found = await choice.reach_next(causes)
        if found is not None:
            return found
        if pool.closed:
            raise announced(NoPool(routine=routine, reason="the pool was closed"))
        raise_refusal(causes)
        rounds += 1
        # A worker that has just died is soon known to be dead, and another one expected.
        may_hear = pool.watched and rounds <= _ROUNDS and choice.members
        if not (pool.expecting or may_hear):
            raise announced(choice.find_error(routine, causes))
        seconds = None if pool.expecting else _NOTICE_SECONDS
        with pool.long_waits.watch(routine, began, partial(choice.describe_lack, causes)):
            await pool.await_change(seconds)


async def reach_all(pool: WaitedFor, choice: Choice, routine: str) -> list[WorkerConnection]:
    """Connect to those that get calls, and return the callers of those that can be used.

    Waits and raises as ``reach_any`` when there is none.
    """
    if pool.is_usable:
        anew = [one for one in choice.serving if one.caller is None or not one.caller.link.up]
        if anew:
            await asyncio.gather(*map(connect_member, anew))
    callers = [one.caller for one in choice.serving if one.caller and one.caller.usable]
    return callers or [await choice.reach_worker(routine)]


async def reach_first(members: Iterable[Member], causes: Causes) -> WorkerConnection | None:
    """Return the caller of the first that answers; None where none does, with the causes filled."""
    for member in members:
        try:
            caller = await member.reach_worker()
        except (CatenaError, OSError) as error:
            causes[member.worker] = error
            continue
        if caller.usable:
            return caller
        causes[member.worker] = "it takes no more calls"
    return None


async def connect_member(member: Member) -> WorkerStartError | None:
    """Connect to a member; return an error where it cannot be reached."""
    try:
        await member.reach_worker()
    except (CatenaError, OSError) as error:
        failed = WorkerStartError(worker=member.worker, cause=f"no link to it: {error}")
        failed.__cause__ = error
        return failed
    return None


def choose_serving(members: Iterable[Member]) -> list[Member]:
    """Return who gets calls: those that are ready, without any the suspects."""
    known = list(members)
    ready = [one for one in known if one.state == "ready"]
    return ready or [one for one in known if one.state == "suspect"]


def describe_causes(text: str, causes: Causes) -> str:
    """Return why workers cannot be used, in words behind others."""
    return f"{text}: {'; '.join(f'{worker}: {why}' for worker, why in causes.items())}"
