"""A connection to a worker: open calls, what goes out for them and what comes back.

Each open call has a number on its link, and its frames find it by that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any, Protocol
from weakref import WeakSet

from catena.context.proxy import PROXY_KEY
from catena.dispatch.caller.call import Call, WorkerLink
from catena.dispatch.caller.timeouts import NO_TIMES, Bounds
from catena.dispatch.declaration import Declaration
from catena.dispatch.payloads import refuse_unsendable
from catena.errors import ProtocolError, SerializationError
from catena.events import Attempt, Dispatch, Endpoints, FrameDropped, announced
from catena.events.bus import announce
from catena.events.carrier import relayed
from catena.link.link import Link
from catena.transfer.capture import capture_drive
from catena.transfer.manifest import BARE, NO_CHAIN, ChainManifest, Entry, EntryKind
from catena.wire import codec
from catena.wire.frames import Cancel, Decline, Frame, Members, Next, Offer, Send, Task, Throw, Want
from catena.wire.versions import MEMBERS, PROXY_LIMIT, SLOTS, proxy_path

_CARRIES: dict[type[Any], str] = {
    Task: "the arguments",
    Next: "the chain",
    Send: "the sent value",
    Throw: "the thrown exception",
}

EXIT_SECONDS = 0.5
"""How long a call whose link has ended waits to learn how the worker's process ended."""

RENEWALS = 64
"""How many changes of the members a worker learns by new ids of its pool: 0.1.0 keeps them all."""

connections: WeakSet[WorkerConnection] = WeakSet()
"""The caller's side of every link of this process that is up."""


class CallLine(Protocol):
    """The calls that wait for slots, as far as connections know them."""

    def take_offer(self, connection: WorkerConnection, slots: int, /) -> None:
        """Give offered slots to the first call in line that needs as many, or decline them."""
        ...

    def look_again(self) -> None:
        """Have all calls look for workers again."""
        ...


class WorkerConnection(WorkerLink):
    """Opens calls on one link and hands each frame that comes to its call.

    ``proxy`` is the id and the encoded form of what leads to the pool, ``exit`` brings in words how
    the worker's process ended, None where nobody here learns that.
    """

    def __init__(
        self,
        link: Link,
        proxy: tuple[bytes, bytes],
        *,
        strict: bool = False,
        exit: asyncio.Future[str] | None = None,
        listed: bool = True,
    ) -> None:
        super().__init__(link, strict=strict)
        version = link.peer.software if link.peer else ""
        path = proxy_path(link.capabilities)
        ends = (self.worker, link.name, version, link.protocol, link.address)
        self.endpoints = Endpoints(*ends, path)
        self._farewell = ""
        self._ids: Iterator[int] = count(1)
        self._last = 0
        self._proxy_id, self._proxy = proxy
        self._exit = exit
        self._lost = 0
        # The slots that the worker has in all, 0 where it counts none.
        self._counts_slots = SLOTS in link.capabilities
        self.slots = link.peer.slots if link.peer and self._counts_slots else 0
        self._learns_members = MEMBERS in link.capabilities
        self._renewals = 0
        self.line: CallLine | None = None
        self.spare_numbers: list[int] = []
        if listed:
            connections.add(self)

    @property
    def open_calls(self) -> int:
        """How many calls are open."""
        return len(self.calls)

    @property
    def answered(self) -> int:
        """How many calls have ended here in another way than with the link."""
        return self._last - len(self.calls) - self._lost

    def open_call(
        self,
        declared: Declaration,
        payload: bytes,
        operation: Dispatch | None = None,
        bounds: Bounds | None = None,
        *,
        offered: bool = False,
    ) -> Call:
        """Send a call's Task and its first drive frame, together, and return the call.

        The carrier of its ``operation`` goes along, also when there is no chain; without an
        operation, the carrier that the running call came with. Raises what capturing the chain
        raises, SerializationError for the callable, and TimeoutError when the time of its
        ``bounds`` is up; nothing has been sent then.
        """
        # First what may fail, then the chain, then the number: either counts as sent from then on.
        if not self.proxy_sent:
            self.check_proxy(declared.name)
        code = declared.dumps()
        times = NO_TIMES if bounds is None else bounds.times_for(self.link)
        captured = capture_drive(self.values, None, self.states)
        number, body = self.number_code(code)
        call = Call(self, next(self._ids), declared, captured, operation, bounds)
        self._last = id = call.id
        self.calls[id] = call
        self.unacknowledged[id] = None
        if not self.pulse.is_alert:
            self.pulse.watch()
        root, proxy = self.states.root, b""
        manifest = captured.manifest if captured is not None else BARE[root] if root else None
        if not self.proxy_sent:
            proxy, manifest = self._introduce_proxy(manifest)
        carrier = relayed.get() if operation is None else operation.carrier
        if carrier:
            manifest = (manifest or NO_CHAIN).carrying(carrier)
        if operation is not None:
            self._note_attempt(operation, id, manifest, payload)
        self.link.send(
            Task(
                id,
                number,
                payload,
                declared.name,
                declared.stream,
                body,
                proxy,
                b"" if root else self._proxy_id,
                Next(id, manifest),
                *times,
                declared.slots if self._counts_slots else 0,
                offered,
            )
        )
        if bounds is not None:
            call.start_timers(bounds)
        return call

    def may_have(self, slots: int) -> bool:
        """Say whether nothing is known here for which the worker would refuse a call."""
        if slots in self.wanted:
            return False
        taken = sum(call.declared.slots for call in self.calls.values()) if self.slots else 0
        return not self.slots or taken + slots <= self.slots

    def want_slots(self, slots: int) -> None:
        """Ask the worker for an offer, unless it was asked already."""
        if slots not in self.wanted and self._counts_slots:
            self.wanted.add(slots)
            self.link.send(Want(0, slots))

    def decline_slots(self, slots: int) -> None:
        """Give slots back that nobody here needs any more."""
        self.link.send(Decline(0, slots))

    def reserve_number(self) -> int:
        """Return a number on this link for a call that is made elsewhere."""
        return self.spare_numbers.pop() if self.spare_numbers else next(self._ids)

    def send_handed(self, task: Task, call: Call) -> None:
        """Send the Task of a call that was made elsewhere, with what only this link knows."""
        self._last = max(self._last, task.call)
        self.calls[task.call] = call
        self.unacknowledged[task.call] = None
        if not self.pulse.is_alert:
            self.pulse.watch()
        number, body = self.number_code(task.callable)
        root, proxy = self.states.root, b""
        manifest = None if task.drive is None else task.drive.manifest
        if root:
            manifest = BARE[root] if manifest is None else manifest._replace(base=root)
        if not self.proxy_sent:
            proxy, manifest = self._introduce_proxy(manifest)
        there = {"function": number, "callable": body, "drive": Next(task.call, manifest)}
        there |= {"proxy": proxy, "proxy_id": b"" if root else self._proxy_id}
        self.link.send(task._replace(**there))

    def check_proxy(self, routine: str) -> None:
        """Raise SerializationError where the proxy cannot be sent (P6)."""
        size = len(self._proxy)
        if size > PROXY_LIMIT:
            cause = f"it takes {size:,} bytes, and the limit is {PROXY_LIMIT:,}"
            raise announced(SerializationError(what="the proxy", routine=routine, cause=cause))

    def _introduce_proxy(
        self, manifest: ChainManifest | None
    ) -> tuple[bytes, ChainManifest | None]:
        """Return the field that brings the proxy to the worker, and the manifest that does so.

        From here on it is named, until the worker says that it does not know it.
        """
        self.proxy_sent = True
        if manifest is None or not self.states.root:
            return self._proxy, manifest
        entry = Entry(PROXY_KEY, EntryKind.VALUE, self._proxy, forward=True)
        return b"", manifest.bringing(self.values.pack((entry,)))

    def _note_attempt(
        self, operation: Dispatch, id: int, manifest: ChainManifest | None, payload: bytes
    ) -> None:
        """Note an attempt in the operation of its call."""
        chain_id = b"" if manifest is None else manifest.chain_id
        operation.attempt = Attempt(id, self.endpoints, chain_id)
        operation.attempts += 1
        if operation.measured:
            operation.sent_bytes = len(payload)

    def receive(self, frame: Frame) -> None:
        """Take a frame that the link brings."""
        call = self.calls.get(frame.call)
        if call is not None:
            call.take_frame(frame)
        elif isinstance(frame, Offer) and self._counts_slots:
            self.wanted.discard(frame.slots)
            if self.line is None:
                self.decline_slots(frame.slots)
            else:
                self.line.take_offer(self, frame.slots)
        elif frame.call > self._last:
            raise ProtocolError(reason=f"no call {frame.call} was opened", frame=frame.symbol)
        elif FrameDropped.listeners:
            announce(FrameDropped(frame.call, frame.symbol))

    def handle_unsent(self, frame: Frame, error: Exception) -> None:
        """Fail the call of a frame that cannot leave; nobody else minds."""
        if isinstance(frame, Cancel) and frame.text:
            self.link.send(Cancel(frame.call))
            return
        what = _CARRIES.get(type(frame))
        if what is None:
            raise error
        call = self.calls.get(frame.call)
        if isinstance(frame, Task):
            # The worker has learnt nothing of what went along.
            self.send_anew()
            if frame.offered:
                self.decline_slots(frame.slots)
        elif call is not None:
            self.link.send(Cancel(frame.call))
        if call is not None:
            call.end_refused(refuse_unsendable(error, what, call.declared.name))

    def receive_goodbye(self, reason: str) -> None:
        """Stop sending calls here; those under way go on."""
        self.usable = False
        self._farewell = reason

    async def close(self) -> None:
        """End the link because the pool closes; open calls fail, and say so."""
        self.usable, self.closed = False, True
        if not self.link.up:
            # Those that still wait for the words of the worker's exit.
            self._fail_calls(ConnectionError("the link was closed"))
        await self.link.close()

    def renew_proxy(self, encoded: bytes) -> None:
        """Let the worker know that the members of the pool are others now."""
        if self._learns_members:
            self._proxy = encoded
            # Also where no call has brought it: the worker may know the pool from another worker.
            self.link.send(Members(0, encoded))
        elif self._renewals < RENEWALS:
            self._renewals += 1
            self._proxy_id, self._proxy = codec.rename_proxy(encoded)
            self.proxy_sent = False
            # What the worker has kept of chains belongs to the id before.
            self.states.clear()

    def link_ended(self, error: Exception | None) -> None:
        """Fail every open call; with how the worker ended, where that is known in a moment."""
        self.usable = False
        why = f": {self._farewell}" if self._farewell else ""
        lost = error or ConnectionError(f"the worker closed the link{why}")
        ends = self._exit
        if ends is None or self.closed or not isinstance(lost, ConnectionError) or not self.calls:
            self._fail_calls(lost)
            return
        late = self.link.loop.call_later(EXIT_SECONDS, self._fail_calls, lost)
        ends.add_done_callback(lambda _: (late.cancel(), self._fail_calls(lost)))

    def _fail_calls(self, error: Exception) -> None:
        """Fail every open call, with the words of the worker's exit where there are any."""
        connections.discard(self)
        ends = self._exit
        if ends is not None and ends.done() and not ends.cancelled() and ends.result():
            error = ConnectionError(ends.result())
        calls = list(self.calls.values())
        self.calls.clear()
        self.unacknowledged.clear()
        self._lost += len(calls)
        for call in calls:
            call.connection_lost(error)
        if self.line is not None:
            self.line.look_again()
