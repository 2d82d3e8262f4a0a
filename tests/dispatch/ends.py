"""Two ends for tests of calls: caller and worker in one process, or one of them and a hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.declaration import Declaration, declaration_of
from catena.dispatch.dispatcher import Dispatcher, dispatcher
from catena.dispatch.worker.restoring import Proxies
from catena.dispatch.worker.sessions import Sessions
from catena.leases import Leases
from catena.link.link import Link
from catena.pickling import pickler
from catena.wire.frames import Next, Task
from tests.link.ends import Hand, link_and_hand, linked, settle

__all__ = [
    "Ends",
    "Through",
    "caller_and_hand",
    "connected",
    "declared",
    "hand_and_sessions",
    "opening",
]

PROXY = (b"i" * 16, b"proxy")

_numbers: dict[str, int] = {}


class Through:
    """A dispatcher that takes its callers in turn."""

    def __init__(self, *callers: WorkerConnection) -> None:
        self.callers = list(callers)
        self.id = PROXY[0]
        self.leases = Leases(self.id)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of its callers."""
        return self.callers[0].link.loop if self.callers else asyncio.get_running_loop()

    def pick_connection(self) -> WorkerConnection | None:
        """Return the next caller that can be used."""
        for _ in self.callers:
            self.callers.append(caller := self.callers.pop(0))
            if caller.usable:
                return caller
        return None

    @property
    def max_waiting(self) -> int | None:
        """Any number of calls may wait."""
        return None

    def under(self, credentials: object) -> Through:
        """Its links are made already."""
        return self

    def fitting(self, tags: object) -> Through:
        """Its callers have all tags."""
        return self

    def check_process(self, routine: str) -> None:
        """Nobody forks here."""

    async def reach_all(self, routine: str) -> list[WorkerConnection]:
        """Return the callers that can be used."""
        usable = [one for one in self.callers if one.usable]
        return usable or [await self.reach_worker(routine)]

    async def reach_worker(self, routine: str) -> WorkerConnection:
        """There is nobody else to reach."""
        raise ConnectionError(f"no worker for {routine}")


@dataclass
class Ends:
    """A caller and the sessions of a worker, on the two ends of one link."""

    caller: WorkerConnection
    sessions: Sessions

    @property
    def near(self) -> Link:
        """The caller's link."""
        return self.caller.link

    @property
    def far(self) -> Link:
        """The worker's link."""
        return self.sessions.link


@asynccontextmanager
async def connected() -> AsyncIterator[Ends]:
    """Connect a caller with a worker, and dispatch through it while the block runs."""
    near, far = await linked()
    caller = WorkerConnection(near, PROXY)
    through = Through(caller)
    sessions = Sessions(far, "w1", lambda encoded, _: through if encoded else None)
    near.start(caller)
    far.start(sessions)
    token = dispatcher.set(through)
    try:
        yield Ends(caller, sessions)
    finally:
        dispatcher.reset(token)
        await near.close()
        await far.close()
        await settle()


@asynccontextmanager
async def caller_and_hand(count: int = 1) -> AsyncIterator[tuple[Any, ...]]:
    """Dispatch through callers whose workers are played by hands; yield them in pairs."""
    callers: list[WorkerConnection] = []
    hands: list[Hand] = []
    for n in range(count):
        link, hand = await link_and_hand(peer=f"w{n + 1}")
        callers.append(WorkerConnection(link, PROXY))
        link.start(callers[-1])
        hands.append(hand)
    token = dispatcher.set(Through(*callers))
    try:
        yield tuple(one for both in zip(callers, hands, strict=True) for one in both)
    finally:
        dispatcher.reset(token)
        for caller in callers:
            await caller.link.close()
        await settle()


@asynccontextmanager
async def hand_and_sessions(
    through: Dispatcher | None = None,
    proxies: Proxies | None = None,
) -> AsyncIterator[tuple[Hand, Sessions]]:
    """Let a hand play the caller of a worker, whose nested calls go ``through`` a dispatcher.

    Or through what ``proxies`` finds for their proxy.
    """
    link, hand = await link_and_hand(name="w1")
    sessions = Sessions(link, "w1", proxies or (lambda *_: through))
    link.start(sessions)
    try:
        yield hand, sessions
    finally:
        await link.close()
        await settle()


def declared(routine: Any) -> Declaration:
    """Return what the decorator knows of a routine."""
    return declaration_of(routine)


def opening(
    call: int, routine: Callable[..., Any], *args: Any, manifest: Any = None
) -> tuple[Task, Next]:
    """Return the frames that open a call of a routine, as a hand sends them."""
    known = declared(routine)
    task = Task(
        call,
        _numbers.setdefault(known.name, len(_numbers) + 1),
        pickler.dumps((args, {})),
        known.name,
        known.stream,
        pickler.dumps(routine),
    )
    return task, Next(call, manifest)
