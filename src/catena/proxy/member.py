"""A member of a pool, seen by those who call it: its address, the link to it, and its state.

A link that has ended is made anew when the member is needed again. The state says whether it gets
calls; the proxy that it belongs to looks at it whenever it changes.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
from collections.abc import Callable
from typing import Literal, Protocol
from weakref import WeakSet

from catena.dispatch.caller.connection import WorkerConnection
from catena.errors import CatenaError, CredentialsError, PeerRefused, VersionRefused
from catena.escape import printable
from catena.link.client import connect
from catena.link.link import Link
from catena.proxy.breaker import Breaker
from catena.security.trust import Trust
from catena.tags import read_tags
from catena.wire import codec
from catena.wire.codec import MemberFacts
from catena.wire.versions import MEMBERS, TAGS
from catena.wording import class_name

State = Literal["ready", "suspect", "draining", "gone"]
"""Whether a worker gets calls: a suspect one gets them only while no other is ready."""


_TEXT_LIMIT = 500
_LOOK_SECONDS = 0.01
"""How often it is looked whether a worker that drains has answered its calls."""


class MemberOf(Protocol):
    """A proxy, as far as its members know it."""

    id: bytes
    name: str
    secret: bytes
    strict: bool
    encoded: bytes
    trust: Trust


class Member:
    """One worker of a pool, connected or not.

    ``facts`` are its name, its address, and whether the pool has found it. ``changed`` is called
    after each change of ``state``. ``watched`` says that this process learns how the worker ends;
    ``exit`` brings that in words. The ``original`` of a view's member is the same worker in the
    pool's own proxy: where that gets no calls, this one gets none.
    """

    def __init__(
        self,
        proxy: MemberOf,
        facts: MemberFacts,
        changed: Callable[[], object],
        *,
        watched: bool = False,
        original: Member | None = None,
    ) -> None:
        self.worker, self.target, self.found, self._shared, self._leaf, self.tags = facts
        self.caller: WorkerConnection | None = None
        self.exit: asyncio.Future[str] | None = None
        self._views: WeakSet[Member] = WeakSet()
        self._original = original
        if original is not None:
            self.exit = original.exit
            original.join_view(self)
        elif watched:
            self.exit = asyncio.get_running_loop().create_future()
        self._answers = 0
        # Why the last link could not be made, empty where it was.
        self.failure = ""
        self._state: State = "ready"
        self._changed = changed
        self._proxy = proxy
        self._connecting: asyncio.Task[WorkerConnection] | None = None
        self._breaker = Breaker(self.suspect, self.trust)

    @property
    def state(self) -> State:
        """Whether it gets calls."""
        if self._original is not None and self._state == "ready":
            return self._original.state
        return self._state

    def join_view(self, member: Member) -> None:
        """Note that a member of a view is the same worker: what it answers counts here as well."""
        self._views.add(member)

    @property
    def answered(self) -> int:
        """How many calls the present links have brought answers to, those of views included."""
        own = self.caller.answered if self.caller else 0
        return own + sum(one.answered for one in self._views)

    def suspect(self) -> None:
        """Give it no calls while another one is ready; one that drains or is gone stays so."""
        if self._state == "ready":
            self._enter_state("suspect")

    def trust(self) -> None:
        """Give a suspect one calls again."""
        if self._state == "suspect":
            self._enter_state("ready")

    def drain(self) -> None:
        """Give it no more calls; those that it has go on."""
        if self._state != "gone":
            self._enter_state("draining")

    def leave(self, reason: str = "") -> None:
        """Note that the worker is gone, for good; the calls that it had learn the reason."""
        self._enter_state("gone")
        if self.exit is not None and not self.exit.done():
            self.exit.set_result(reason)

    @property
    def is_busy(self) -> bool:
        """Whether a link is made, or calls are open on one or wait for slots there."""
        caller, connecting = self.caller, self._connecting
        if connecting is not None and not connecting.done():
            return True
        return caller is not None and bool(caller.calls or caller.wanted)

    @property
    def facts(self) -> MemberFacts:
        """What a proxy says of it."""
        return MemberFacts(
            self.worker, self.target, self.found, self._shared, self._leaf, self.tags
        )

    def note_said(self, connection: WorkerConnection) -> None:
        """Have the id that the worker has said on a link, and its tags where it says them.

        A version that says none has those of its record.
        """
        self.worker, link = connection.worker, connection.link
        if link.peer is not None and TAGS in link.capabilities:
            self.tags = read_tags(link.peer.tags)

    def cut_link(self, reason: str) -> None:
        """End the link at once; the calls that it has fail for that reason."""
        if self.caller is not None and self.caller.link.up:
            self.caller.link.fail(ConnectionAbortedError(reason))

    def take_answers(self) -> int:
        """Return how many calls of this process it has answered since this was asked last."""
        before, self._answers = self._answers, self.caller.answered if self.caller else 0
        return max(self._answers - before, 0) + sum(one.take_answers() for one in self._views)

    def _enter_state(self, state: State) -> None:
        if self._state != state:
            self._state = state
            self._changed()

    async def reach_worker(self) -> WorkerConnection:
        """Connect, once for all who ask at the same time, and return the caller.

        Raises CatenaError, ConnectionError or TimeoutError.
        """
        if self.caller is not None and self.caller.link.up:
            return self.caller
        if self._connecting is None:
            # In an empty Context: what gRPC starts must not hold on to anybody's variables.
            self._connecting = asyncio.get_running_loop().create_task(
                self._open_connection(), context=contextvars.Context()
            )
        connecting = self._connecting
        try:
            return await asyncio.shield(connecting)
        finally:
            if connecting.done():
                self._connecting = None

    async def _open_connection(self) -> WorkerConnection:
        proxy = self._proxy
        if self.caller is not None and not self.caller.link.heard_at:
            # The link before was of no use: it ended before anything came.
            self._breaker.note_failure()
        try:
            link = await self._connect(proxy.trust)
        except (CatenaError, OSError) as error:
            self.failure = printable(str(error) or class_name(error), _TEXT_LIMIT)
            if not isinstance(error, CredentialsError):
                # That would be no fault of the worker.
                self._breaker.note_failure()
            raise
        self.failure = ""
        if self.caller is None or self.caller.link.heard_at:
            self._breaker.note_success()
        way = (proxy.id, proxy.encoded)
        if MEMBERS not in link.capabilities:
            way = codec.rename_proxy(proxy.encoded)
        caller = self.caller = WorkerConnection(link, way, strict=proxy.strict, exit=self.exit)
        self._answers = 0
        link.start(caller)
        return caller

    async def _connect(self, trust: Trust) -> Link:
        """Make a link to the worker, which has to prove its name where it is another machine's."""
        proxy = self._proxy
        return await connect(
            self.target,
            proxy.name,
            # Whoever was found does not get to know what only the pool's own workers do.
            b"" if self.found else proxy.secret,
            credentials=trust.credentials,
            verify=trust.name_for("" if self._shared else self.worker),
            leaf=self._leaf or None,
            insecure=trust.insecure,
        )

    async def part(self) -> None:
        """End the link as soon as no call is open on it."""
        while self.caller is not None and self.caller.link.up and self.caller.calls:
            await asyncio.sleep(_LOOK_SECONDS)
        if self.caller is not None and self.caller.link.up:
            await self.close()

    async def close(self) -> None:
        """End the link, if there is one, or the attempt to make it."""
        self._breaker.close()
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self.caller is not None:
            await self.caller.close()


def raise_refusal(causes: dict[str, Exception | str]) -> None:
    """Raise why no worker can be reached where all refuse this process, or it refuses them.

    To try again would not help then. The causes stand by the workers' names.
    """
    refused = [
        one
        for one in causes.values()
        if isinstance(one, PeerRefused | CredentialsError | VersionRefused)
    ]
    if refused and len(refused) == len(causes):
        # Others wait for the same link, and raise it as well.
        raise copy.copy(refused[0])
