"""One call of a routine on each worker of a pool."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.caller.line import join_line
from catena.dispatch.declaration import declaration_of
from catena.dispatch.dispatcher import Dispatcher
from catena.errors import CatenaError, CredentialsError, PeerRefused, WorkerLost
from catena.events import announced
from catena.proxy.balance import Proxy
from catena.proxy.member import Member
from catena.security.credentials import Credentials
from catena.tags import Tags


class OneWorker:
    """The way to one worker of a pool, and to no other."""

    def __init__(self, pool: Dispatcher, member: Member) -> None:
        self.loop = pool.loop
        self.max_waiting = pool.max_waiting
        self._pool = pool
        self._member = member
        # Workers offer slots to a link, whose calls are in one line.
        join_line(self, pool)

    @property
    def dispatcher(self) -> OneWorker:
        """What calls to it go through: a routine knows it as it knows a pool."""
        return self

    def under(self, credentials: Credentials) -> OneWorker:
        """Return the way to the same worker under these credentials."""
        through = self._pool.under(credentials)
        if through is self._pool or not isinstance(through, Proxy):
            return self
        member = through.find_exactly(self._member.worker, self._member.target)
        return self if member is None else OneWorker(through, member)

    def fitting(self, tags: Tags) -> OneWorker:
        """Return the way to the worker: whoever names it has chosen already."""
        return self

    def check_process(self, routine: str) -> None:
        """Raise ForkedPool where the pool is another process's."""
        self._pool.check_process(routine)

    def pick_connection(self) -> WorkerConnection | None:
        """Return the connection, None when it has to be reached."""
        caller = self._member.caller
        return caller if caller is not None and caller.usable else None

    async def reach_worker(self, routine: str) -> WorkerConnection:
        """Connect and return the connection. Raises WorkerLost, or what refuses it."""
        cause = "it takes no more calls"
        try:
            caller = await self._member.reach_worker()
            if caller.usable:
                return caller
        except (CredentialsError, PeerRefused):
            raise
        except (CatenaError, OSError) as error:
            cause = str(error)
        raise announced(
            WorkerLost(worker=self._member.worker, routine=routine, begun=False, cause=cause)
        )

    async def reach_all(self, routine: str) -> list[WorkerConnection]:
        """Return the one connection, in a list. Raises WorkerLost."""
        return [await self.reach_worker(routine)]

    def __repr__(self) -> str:
        return f"<worker {self._member.worker}>"


async def call_each(
    pool: Dispatcher,
    members: Iterable[Member],
    routine: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> dict[str, Any]:
    """Call a routine once for each worker, in tasks, and return the results by the workers' ids.

    When all have ended, raises one group of what they raised, with a note of the worker each.
    Raises TypeError for a stream and for wrong arguments.
    """
    declared = declaration_of(routine)
    if declared.stream:
        raise TypeError(f"{declared.name} is a stream, whose values broadcast cannot gather")
    calls = {one.worker: routine.on(OneWorker(pool, one))(*args, **kwargs) for one in members}
    tasks = {worker: asyncio.ensure_future(call) for worker, call in calls.items()}
    outcomes = await asyncio.gather(*tasks.values(), return_exceptions=True)
    found: dict[str, Any] = {}
    failures: list[BaseException] = []
    for worker, outcome in zip(tasks, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            outcome.add_note(f"on worker {worker}")
            failures.append(outcome)
        else:
            found[worker] = outcome
    if failures:
        raise BaseExceptionGroup(
            f"routine {declared.name} failed on {len(failures)} of {len(tasks)} workers", failures
        )
    return found
