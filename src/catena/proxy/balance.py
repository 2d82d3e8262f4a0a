"""The proxy: a scope dispatches through it, and nested calls on a worker find the same pool by it.

It knows the members of a pool and connects to each when it is needed. Those that are ready take
turns, or where none is, those that are suspect; the member whose turn it is and the one before it
are compared, and the one with fewer open calls gets the call, so that calls that follow the answers
of one message again leave together in one message. One that is held up is passed over while there
is another that is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from weakref import WeakSet

from catena.dispatch.caller.connection import WorkerConnection
from catena.errors import CatenaError, ForkedPool, NoPool, WorkerLost, WorkerStartError
from catena.events import announced
from catena.proxy.member import Member
from catena.wire import codec

proxies: WeakSet[Proxy] = WeakSet()
"""Every proxy of this process that was not closed."""


class Proxy:
    """A dispatcher over the members of one pool.

    ``name`` says who calls through it, ``secret`` is what all processes of the pool know,
    ``strict`` whether a bad entry refuses a chain here.
    """

    def __init__(
        self,
        id: bytes,
        members: tuple[tuple[str, str], ...],
        name: str,
        *,
        secret: bytes = b"",
        strict: bool = False,
    ) -> None:
        self.id = id
        self.name = name
        self.secret = secret
        self.strict = strict
        self.members = [
            Member(self, worker, target, self._choose_serving) for worker, target in members
        ]
        self.serving: list[Member] = []
        self._choose_serving()
        self.encoded = codec.encode_proxy(id, members)
        self.loop = asyncio.get_running_loop()
        self.closed = False
        self._opened_by = 0
        proxies.add(self)
        # A worker's own calls begin with its neighbour, so that those of all workers spread.
        self._turn = next((at for at, one in enumerate(self.members) if one.worker == name), -1)

    def _choose_serving(self) -> None:
        """Note who gets calls: those that are ready, without any the suspects."""
        ready = [one for one in self.members if one.state == "ready"]
        self.serving = ready or [one for one in self.members if one.state == "suspect"]

    def pick_connection(self) -> WorkerConnection | None:
        """Return the next member's caller, None when it is not connected and has to be reached."""
        members = self.serving
        if not members:
            return None
        turn = self._turn = (self._turn + 1) % len(members)
        caller = members[turn].caller
        if caller is None or not caller.usable:
            return None
        neighbour = members[turn - 1].caller
        if neighbour is not None and len(neighbour.calls) < len(caller.calls) and neighbour.usable:
            caller = neighbour
        return self._pass_over(caller) if caller.pulse.held_up else caller

    def _pass_over(self, held_up: WorkerConnection) -> WorkerConnection | None:
        """Return whom to call instead of a worker that is held up, itself where all of them are.

        None where one is left that is not connected; it is that one's turn then.
        """
        callers = [one.caller for one in self.serving]
        others = [one for one in callers if one and one.usable and not one.pulse.held_up]
        if others:
            return min(others, key=lambda one: len(one.calls))
        for turn, caller in enumerate(callers):
            if caller is None or not caller.usable:
                self._turn = turn
                return None
        return held_up

    def check_process(self, routine: str) -> None:
        """Raise ForkedPool where the pool was opened by a process that this one was forked from."""
        if self._opened_by:
            raise announced(ForkedPool(opened_by=self._opened_by, routine=routine))

    def reach_worker(self, routine: str) -> Coroutine[Any, Any, WorkerConnection]:
        """Connect to the member whose turn it is, or the next that answers; return its caller.

        Raises ForkedPool at once where the pool is another process's, NoPool when it is closed, and
        WorkerLost when no member answers.
        """
        # Not when it is awaited: a child that goes on in its parent's loop has none that runs.
        self.check_process(routine)
        if self.closed:
            raise announced(NoPool(routine=routine, reason="the pool was closed"))
        return self._reach_any(routine)

    async def _reach_any(self, routine: str) -> WorkerConnection:
        causes: list[str] = []
        first = self._turn
        serving = self.serving
        for offset in range(len(serving)):
            self._turn = (first + offset) % len(serving)
            member = serving[self._turn]
            try:
                caller = await member.reach_worker()
            except (CatenaError, OSError) as error:
                causes.append(f"{member.worker}: {error}")
                continue
            if caller.usable:
                return caller
            causes.append(f"{member.worker} takes no more calls")
        raise announced(
            WorkerLost(
                worker=", ".join(member.worker for member in self.members),
                routine=routine,
                begun=False,
                cause="no worker can be reached: " + "; ".join(causes),
            )
        )

    async def connect_all(self) -> list[WorkerStartError]:
        """Connect to every member; return an error for each that cannot be reached."""
        reaching = [self._connect_member(member) for member in self.members]
        outcomes = await asyncio.gather(*reaching)
        return [one for one in outcomes if one is not None]

    async def _connect_member(self, member: Member) -> WorkerStartError | None:
        try:
            await member.reach_worker()
        except (CatenaError, OSError) as error:
            failed = WorkerStartError(worker=member.worker, cause=f"no link to it: {error}")
            failed.__cause__ = error
            return failed
        return None

    def lead_nowhere(self, opened_by: int) -> list[WorkerConnection]:
        """Lead nowhere in a forked child; return what led to the workers, to be kept."""
        callers = [member.caller for member in self.members if member.caller is not None]
        if not self.closed:
            self._opened_by = self._opened_by or opened_by
        for member in self.members:
            member.caller = None
        return callers

    async def close(self) -> None:
        """End every link; calls that are open fail with WorkerLost."""
        self.closed = True
        proxies.discard(self)
        await asyncio.gather(*(member.close() for member in self.members))

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<Proxy {self.id.hex()[-8:]} of {len(self.members)} workers, {state}>"
