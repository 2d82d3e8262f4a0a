"""The proxy: a scope dispatches through it, and nested calls on a worker find the same pool by it.

It knows the members of a pool and connects to each when it is needed. Those that are ready take
turns, or where none is, those that are suspect; the member whose turn it is and the one before it
are compared, and the one with fewer open calls gets the call, so that calls that follow the answers
of one message again leave together in one message. One that is held up is passed over while there
is another that is not.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
from collections.abc import Coroutine, Sequence
from typing import Any
from weakref import WeakSet

from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.caller.long_waits import LongWaits
from catena.errors import ForkedPool, NoPool, WorkerLost, WorkerStartError
from catena.events import announced
from catena.leases import Leases
from catena.proxy.member import Member
from catena.proxy.reaching import (
    Causes,
    choose_serving,
    connect_member,
    describe_causes,
    reach_all,
    reach_any,
    reach_first,
)
from catena.proxy.tagged import TaggedWorkers
from catena.proxy.views import Views
from catena.security.credentials import Credentials
from catena.security.trust import NO_TRUST, Trust
from catena.tags import Tags
from catena.targets import is_local
from catena.wire import codec
from catena.wire.codec import MemberFacts

proxies: WeakSet[Proxy] = WeakSet()
"""Every proxy of this process that was not closed."""


class Proxy:
    """A dispatcher over the members of one pool.

    ``name`` says who calls through it, ``secret`` is what all processes of the pool know,
    ``strict`` whether a bad entry refuses a chain here, ``max_waiting`` how many of its calls may
    wait for slots, None for any number. ``watched`` says that this process learns how the members'
    processes end. ``epoch`` counts how often the members have changed. ``trust`` says how workers
    on other machines are called. A view of the proxy ``of`` follows that one. Its links live on
    the ``loop``, by default the running one.
    """

    def __init__(  # noqa: PLR0913 - each is a fact of its own
        self,
        id: bytes,
        members: Sequence[MemberFacts | tuple[str, str]],
        name: str,
        *,
        secret: bytes = b"",
        strict: bool = False,
        max_waiting: int | None = None,
        watched: bool = False,
        epoch: int = 0,
        trust: Trust = NO_TRUST,
        of: Proxy | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.id = id
        self.leases = Leases(id)
        self.trust = trust
        self._of = of
        self._views = Views(self._make_view)
        # Whether some of its workers are not on this machine.
        self._reaches_out = False
        self.name = name
        self.secret = secret
        self.strict = strict
        self.max_waiting = max_waiting
        self.epoch = epoch
        self.watched = watched
        # In words how the last of those ended that have left, empty before the first.
        self.last_exit = ""
        # Those that have left and still have calls.
        self._parting: dict[Member, asyncio.Task[None]] = {}
        # Who lets calls that find no worker wait for one, and what ends their wait.
        self._expecting: set[str] = set()
        self._change: asyncio.Future[None] | None = None
        self.long_waits = LongWaits()
        self.members: list[Member] = []
        self.serving: list[Member] = []
        self.encoded = b""
        self._take_members([self.make_member(_facts_of(one)) for one in members])
        self.loop = loop or asyncio.get_running_loop()
        self.closed = False
        self._opened_by = 0
        proxies.add(self)
        # A worker's own calls begin with its neighbour, so that those of all workers spread.
        self._turn = next((at for at, one in enumerate(self.members) if one.worker == name), -1)

    def make_member(self, facts: MemberFacts) -> Member:
        """Return a member that is not among the others yet."""
        of = self._of
        original = None if of is None else of.find_exactly(facts.worker, facts.target)
        watched = self.watched and not facts.found
        return Member(self, facts, self._choose_serving, watched=watched, original=original)

    def find_member(self, worker: str) -> Member | None:
        """Return the member of that name, also one that drains, None without one."""
        return next((one for one in self.list_known() if one.worker == worker), None)

    def find_exactly(self, worker: str, target: str) -> Member | None:
        """Return the member of that name and target, None without one."""
        return next(
            (one for one in self.members if (one.worker, one.target) == (worker, target)), None
        )

    def list_known(self) -> list[Member]:
        """Return the members, and those that have left and still have calls."""
        return [*self.members, *self._parting]

    def list_watched(self) -> list[Member]:
        """Return all that are known, and those of views: each has a link of its own."""
        proxies = (self, *self._views.list_all())
        return [one for proxy in proxies for one in proxy.list_known()]

    def under(self, credentials: Credentials) -> Proxy:
        """Return what calls under these credentials go through, itself where they are its own.

        P5: workers on other machines are reached by links of these credentials and of no others.
        """
        if self._of is not None:
            return self._of.under(credentials)
        if not self._reaches_out or credentials == self.trust.credentials:
            return self
        return self if self.closed or self._opened_by else self._views.find(credentials)

    def _make_view(self, credentials: Credentials) -> Proxy:
        return Proxy(
            self.id,
            [one.facts for one in self.members],
            self.name,
            secret=self.secret,
            strict=self.strict,
            max_waiting=self.max_waiting,
            watched=self.watched,
            epoch=self.epoch,
            trust=dataclasses.replace(self.trust, credentials=credentials, insecure=False),
            of=self,
        )

    @property
    def is_busy(self) -> bool:
        """Whether calls are open, or wait for a worker."""
        waits = self._change is not None and not self._change.done()
        return waits or any(one.is_busy for one in self.list_known())

    def follow(self) -> None:
        """Do, as a view, what the proxy does that it is a view of."""
        of = self._of
        if of is None or self.closed:
            return
        self.last_exit, self._expecting = of.last_exit, of.expecting
        facts = [one.facts for one in of.members]
        if (of.epoch, facts) == (self.epoch, [one.facts for one in self.members]):
            self._choose_serving()
            return
        self.epoch = of.epoch
        self._follow_members(facts)

    @property
    def expecting(self) -> set[str]:
        """Who lets calls that find no worker wait for one; nobody where it is empty."""
        return self._expecting

    def add_member(self, member: Member) -> None:
        """Have a member get calls from here on, from all processes of the pool."""
        self._announce_members([*self.members, member])

    def remove_member(self, member: Member, reason: str) -> None:
        """Have a member whose process has ended, for that reason, get no calls any more."""
        self.last_exit = f"{member.worker} {reason}"
        member.leave(reason)
        self._announce_members([one for one in self.members if one is not member])

    def part_with(self, member: Member) -> None:
        """Have a member get no more calls, from no process of the pool; those it has go on."""
        self._begin_parting(member)
        self._announce_members([one for one in self.members if one is not member])

    def replace_members(self, facts: codec.ProxyFacts) -> None:
        """Have the members that a later epoch names; what is known of them already stays."""
        if facts.epoch <= self.epoch or self.closed:
            return
        self.epoch = facts.epoch
        self._follow_members(facts.members)

    def _follow_members(self, facts: Sequence[MemberFacts]) -> None:
        """Have these members; those that are known stay as they are, others leave."""
        known = {one.facts: one for one in self.members}
        members = [known.pop(one, None) or self.make_member(one) for one in facts]
        for member in known.values():
            self._begin_parting(member)
        self._take_members(members)

    def _announce_members(self, members: list[Member]) -> None:
        """Take these members, in a new epoch, which all workers learn."""
        self.epoch += 1
        self._take_members(members)
        proxies = (self, *self._views.list_all())
        for member in [one for proxy in proxies for one in proxy.list_known()]:
            if member.caller is not None:
                member.caller.renew_proxy(self.encoded)

    def _take_members(self, members: list[Member]) -> None:
        self.members = members
        facts = [one.facts for one in members]
        self.encoded = codec.encode_proxy(self.id, facts, self.epoch)
        self._reaches_out = not all(is_local(one.target) for one in members)
        self._choose_serving()

    def _begin_parting(self, member: Member) -> None:
        """Send a member no calls, and end the link to it when it has answered those it has."""
        member.drain()
        parting = self._parting[member] = self.loop.create_task(
            member.part(), context=contextvars.Context()
        )
        parting.add_done_callback(lambda _: self._parting.pop(member, None))

    def _choose_serving(self) -> None:
        """Note who gets calls: those that are ready, without any the suspects."""
        self.serving = choose_serving(self.members)
        self._end_wait()
        self._views.follow()

    def expect_members(self, source: str, *, expected: bool) -> None:
        """Have calls that find no worker wait for one that the source may bring, or fail."""
        if expected:
            self._expecting.add(source)
        else:
            self._expecting.discard(source)
        self._end_wait()
        self._views.follow()

    def _end_wait(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    async def await_change(self, seconds: float | None) -> None:
        """Wait until there may be another worker, at most so many seconds, None for any time."""
        if self._change is None or self._change.done():
            self._change = self.loop.create_future()
        await asyncio.wait((self._change,), timeout=seconds)

    @property
    def is_used(self) -> bool:
        """Whether a worker has been reached through it."""
        known = self.list_watched()
        return any(one.caller is not None and one.caller.link.up for one in known)

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

    def check_open(self, routine: str) -> None:
        """Raise ForkedPool where the pool is another process's, NoPool where it is closed."""
        self.check_process(routine)
        if self.closed:
            raise announced(NoPool(routine=routine, reason="the pool was closed"))

    def reach_worker(self, routine: str) -> Coroutine[Any, Any, WorkerConnection]:
        """Connect to the member whose turn it is, or the next that answers; return its caller.

        Raises ForkedPool at once where the pool is another process's, NoPool when it is closed,
        WorkerLost when no member answers, and PeerRefused or CredentialsError where all refuse.
        """
        # Not when it is awaited: a child that goes on in its parent's loop has none that runs.
        self.check_open(routine)
        return reach_any(self, self, routine)

    def reach_all(self, routine: str) -> Coroutine[Any, Any, list[WorkerConnection]]:
        """Connect to the members and return the callers of those that can be used.

        Raises as ``reach_worker`` when there is none.
        """
        return reach_all(self, self, routine)

    def fitting(self, tags: Tags) -> TaggedWorkers:
        """Return the way to those members that have all these tags; from any thread."""
        return TaggedWorkers(self, tags)

    @property
    def is_usable(self) -> bool:
        """Whether it leads to workers from here."""
        return not (self.closed or self._opened_by)

    async def reach_next(self, causes: Causes) -> WorkerConnection | None:
        """Return the caller of the member whose turn it is, or of the next that answers.

        None where none does; then the causes say why.
        """
        first, serving = self._turn, self.serving
        for offset in range(len(serving)):
            self._turn = (first + offset) % len(serving)
            found = await reach_first([serving[self._turn]], causes)
            if found is not None:
                return found
        return None

    def describe_lack(self, causes: Causes) -> str:
        """Return in words why no worker can be reached."""
        if self.members:
            return describe_causes("no worker can be reached", causes)
        if self.last_exit:
            return f"no worker is left: {self.last_exit}; `await pool.restart()` starts others"
        return "the pool has no worker that can be reached from here"

    def find_error(self, routine: str, causes: Causes) -> WorkerLost:
        """Return the error of a call for which there is no worker."""
        names = ", ".join(member.worker for member in self.members)
        if not self.members:
            names, _, _ = self.last_exit.partition(" ")
        cause = self.describe_lack(causes)
        return WorkerLost(worker=names, routine=routine, begun=False, cause=cause)

    async def connect_all(self) -> list[WorkerStartError]:
        """Connect to every member; return an error for each that cannot be reached."""
        outcomes = await asyncio.gather(*map(connect_member, self.members))
        return [one for one in outcomes if one is not None]

    def lead_nowhere(self, opened_by: int) -> list[WorkerConnection]:
        """Lead nowhere in a forked child; return what led to the workers, to be kept."""
        members = self.list_known()
        callers = [member.caller for member in members if member.caller is not None]
        if not self.closed:
            self._opened_by = self._opened_by or opened_by
        for member in members:
            member.caller = None
        return callers

    async def close(self) -> None:
        """End every link; calls that are open fail with WorkerLost."""
        self.closed = True
        proxies.discard(self)
        self._end_wait()
        for parting in self._parting.values():
            parting.cancel()
        await asyncio.gather(*(member.close() for member in self.list_known()), self._views.close())

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<Proxy {self.id.hex()[-8:]} of {len(self.members)} workers, {state}>"


def _facts_of(member: MemberFacts | tuple[str, str]) -> MemberFacts:
    return member if isinstance(member, MemberFacts) else MemberFacts(*member)
