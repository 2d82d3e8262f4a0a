"""What a worker does from its first link to its last: it serves calls, drains, and cleans up."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from time import monotonic
from weakref import WeakSet

from catena.dispatch.worker.admission import Admission
from catena.dispatch.worker.session import CallWatch
from catena.dispatch.worker.sessions import Sessions
from catena.dispatch.worker.slots import Slots
from catena.escape import printable
from catena.events.kept import list_refusals
from catena.link.link import Link
from catena.link.server import Server
from catena.proxy.table import ProxyTable
from catena.security.trust import NO_TRUST, Trust
from catena.standing import copy_members, count_now, list_tags
from catena.wire import versions
from catena.wire.status import LinkedPeer, WorkerStatus

_LOOK_SECONDS = 0.01
"""How often a worker that drains looks whether anybody calls it still."""


CAPABILITY_LIMIT = 64
"""The most capabilities of a peer that operators are shown."""

_POOLS = "it belongs to a pool, which would start another one; `pool.drain` has it replaced"

Stop = Callable[[str, bool], str]
"""Begins to stop a worker: who asks, and whether calls have no time. Returns why it does not."""


class Service:
    """All calls that the worker of that id serves, over all its links.

    ``slots`` is how many it has, ``secret`` what its callers have to know; ``strict`` refuses
    chains with bad entries, ``found`` says that no pool has started the worker, and ``trust`` how
    it calls workers on other machines; ``admission`` refuses calls, ``overtime`` ends the worker
    for calls that go on when their time is up; ``stop`` stops it for operators.
    """

    def __init__(  # noqa: PLR0913 - each is a part of the worker
        self,
        worker: str,
        slots: int,
        *,
        secret: bytes = b"",
        strict: bool = False,
        found: bool = False,
        trust: Trust = NO_TRUST,
        admission: Admission | None = None,
        overtime: CallWatch | None = None,
        stop: Stop | None = None,
    ) -> None:
        self.proxies = ProxyTable(worker, secret=secret, strict=strict, found=found, trust=trust)
        self.slots = Slots(slots)
        self._worker = worker
        self._began = monotonic()
        self._strict = strict
        self._admission = admission
        self._overtime = overtime
        self._stop = stop
        self._links: WeakSet[Sessions] = WeakSet()
        self._is_draining = self._is_finishing = self._is_asked = False

    def accept_link(self, link: Link) -> Sessions:
        """Return what serves the calls of a link."""
        sessions = Sessions(
            link,
            self._worker,
            self.proxies.get,
            strict=self._strict,
            slots=self.slots,
            admission=self._admission,
            overtime=self._overtime,
        )
        sessions.draining = self._is_draining or (self._is_finishing and not sessions.nested)
        self._links.add(sessions)
        return sessions

    def describe(self, address: str) -> WorkerStatus:
        """Return what this worker is, and does now; it listens at that address."""
        links = [one for one in self._list_links() if one.link.up]
        late = self._overtime is not None and self._overtime.is_late
        leaves = self._is_draining or self._is_finishing or self._is_asked or late
        return WorkerStatus(
            worker=self._worker,
            address=address,
            state="draining" if leaves else "ready",
            pid=os.getpid(),
            seconds=monotonic() - self._began,
            protocol=(versions.MAJOR, versions.MINOR),
            software=versions.SOFTWARE,
            capabilities=versions.CAPABILITIES,
            tags=list_tags(),
            slots=self.slots.total,
            slots_taken=max(self.slots.taken, 0),
            calls=sum(one.open_calls for one in links),
            leases=count_now("leases").total(),
            links=len(links),
            refusals=list_refusals(),
            peers=tuple(_describe_peer(one) for one in links),
        )

    def begin_stop(self, who: str, *, now: bool) -> str:
        """Begin to stop for an operator; return why that is not possible, empty where it is."""
        refusal = _POOLS if self._stop is None else self._stop(who, now)
        self._is_asked = self._is_asked or not refusal
        return refusal

    async def drain(self) -> None:
        """Refuse new calls, and wait until all who have called have let go."""
        self._is_draining = True
        for sessions in self._list_links():
            sessions.draining = True
        while any(sessions.link.up for sessions in self._list_links()):
            await asyncio.sleep(_LOOK_SECONDS)

    async def finish(self) -> None:
        """Refuse new calls, nested ones aside, and wait until none is open.

        Nested ones are served, since what made them may be among the calls that are waited for.
        """
        self._is_finishing = True
        for sessions in self._list_links():
            sessions.draining = sessions.draining or not sessions.nested
        while any(sessions.open_calls for sessions in self._list_links()):
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self, server: Server, grace: float) -> None:
        """Cancel all calls, let them clean up, and end all links; within ``grace`` seconds."""
        links = self._list_links()
        for sessions in links:
            sessions.draining = True
            sessions.link_ended(None)
        # Let cancelled routines run their clean-up before the loop is closed.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace * 0.6):
                await self._wait_idle()
        # Workers that call each other end their links gracefully before any server stops: a server
        # that stops first would break the calls of the others off.
        await self.proxies.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace * 0.2):
                await asyncio.gather(*(one.link.wait_ended() for one in links))
        # Graceful at first: the abrupt end makes the core of a peer complain.
        await server.stop(grace * 0.1)

    def _list_links(self) -> tuple[Sessions, ...]:
        return copy_members(self._links)

    async def _wait_idle(self) -> None:
        """Wait until no other task is left that was cancelled, and no thread at work."""
        mine = asyncio.current_task()
        while self.slots.threads.busy or any(
            one.cancelling() for one in asyncio.all_tasks() if one is not mine
        ):
            await asyncio.sleep(0.005)


def _describe_peer(sessions: Sessions) -> LinkedPeer:
    """Return who has a link to this worker."""
    peer = sessions.link.peer
    if peer is None:
        return LinkedPeer("", 0, (0, 0), "")
    known = tuple(printable(one, 64) for one in peer.capabilities[:CAPABILITY_LIMIT])
    version = (peer.major, peer.minor)
    return LinkedPeer(
        peer.peer, peer.pid, version, peer.software, known, fields=sessions.reads_fields
    )
