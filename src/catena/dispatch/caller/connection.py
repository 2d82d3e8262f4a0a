"""A connection to a worker: open calls, what goes out for them and what comes back.

Each open call has a number on its link, and its frames find it by that.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from typing import Any
from weakref import WeakSet

from catena.dispatch.caller.call import Call
from catena.dispatch.caller.timeouts import NO_TIMES, Bounds, Timers
from catena.dispatch.declaration import Declaration
from catena.dispatch.payloads import refuse_unsendable, values_for
from catena.errors import ProtocolError
from catena.events import Attempt, CallNacked, Dispatch, Endpoints, FrameDropped
from catena.events.bus import announce
from catena.link.link import Link
from catena.transfer.capture import capture_first
from catena.transfer.manifest import NO_CHAIN, ChainManifest
from catena.transfer.states.plain import PLAIN
from catena.transfer.states.sent import SentStates
from catena.wire.frames import (
    Cancel,
    Frame,
    Nack,
    NackCode,
    Next,
    Send,
    Task,
    Throw,
)
from catena.wire.versions import DELTA, NAMES

__all__ = ["WorkerConnection", "connections"]

_FUNCTIONS = 1024
_CARRIES: dict[type[Any], str] = {
    Task: "the arguments",
    Next: "the chain",
    Send: "the sent value",
    Throw: "the thrown exception",
}

connections: WeakSet[WorkerConnection] = WeakSet()
"""The caller's side of every link of this process that is up."""


class WorkerConnection:
    """Opens calls on one link and hands each frame that comes to its call.

    ``calls`` are those that are open, by their number.
    """

    def __init__(self, link: Link, proxy: tuple[bytes, bytes], *, strict: bool = False) -> None:
        self.link = link
        self.values = values_for(strict=strict)
        self.deltas = DELTA in link.capabilities
        self.states = SentStates() if NAMES in link.capabilities else PLAIN
        self.worker = link.peer.peer if link.peer else "?"
        version = link.peer.software if link.peer else ""
        self.endpoints = Endpoints(self.worker, link.name, version, link.protocol, link.address)
        self.accepting = True
        self._farewell = ""
        # Whether the pool let go of the worker.
        self.closed = False
        self.calls: dict[int, Call] = {}
        self._ids = count(1)
        self._last = 0
        self._proxy_id, self._proxy = proxy
        self._proxy_sent = False
        self._numbers: OrderedDict[bytes, int] = OrderedDict()
        self._serial = count(1)
        connections.add(self)

    @property
    def open_calls(self) -> int:
        """How many calls are open."""
        return len(self.calls)

    @property
    def usable(self) -> bool:
        """Whether new calls may be sent here."""
        return self.accepting and self.link.up

    def open_call(
        self,
        declared: Declaration,
        payload: bytes,
        operation: Dispatch | None = None,
        bounds: Bounds | None = None,
    ) -> Call:
        """Send a call's Task and its first drive frame, together, and return the call.

        The carrier of its ``operation`` goes along, also when there is no chain. Raises what
        capturing the chain raises, SerializationError for the callable, and TimeoutError when the
        time of its ``bounds`` is up; nothing has been sent then.
        """
        # First what may fail, then the chain, then the number: either counts as sent from then on.
        code = declared.dumps()
        times = NO_TIMES if bounds is None else bounds.times_for(self.link)
        captured = capture_first(self.values, self.states)
        number, body = self._number_code(code)
        proxy = b"" if self._proxy_sent else self._proxy
        self._proxy_sent = True
        timers = None if bounds is None else Timers(bounds)
        call = Call(self, next(self._ids), declared, captured, operation, timers)
        self._last = id = call.id
        self.calls[id] = call
        manifest = None if captured is None else captured.manifest
        if operation is not None:
            manifest = self._note_attempt(operation, id, manifest, payload)
        self.link.send(
            Task(
                id,
                number,
                payload,
                declared.name,
                declared.stream,
                body,
                proxy,
                self._proxy_id,
                Next(id, manifest),
                *times,
            )
        )
        if timers is not None:
            timers.start_timers(call)
        return call

    def _note_attempt(
        self, operation: Dispatch, id: int, manifest: ChainManifest | None, payload: bytes
    ) -> ChainManifest | None:
        """Note an attempt in the operation of its call; return the manifest with its carrier."""
        chain_id = b"" if manifest is None else manifest.chain_id
        operation.attempt = Attempt(id, self.endpoints, chain_id)
        operation.attempts += 1
        if operation.measured:
            operation.sent_bytes = len(payload)
        if operation.carrier:
            manifest = (manifest or NO_CHAIN).carrying(operation.carrier)
        return manifest

    def confirm_state(self, number: int) -> None:
        """Note that the worker has a state, because it accepted the call that brought it."""
        self.states.confirm(number)

    def note_nack(self, call: Call, nack: Nack) -> None:
        """Note a refusal: what the worker does not know is sent whole the next time."""
        if CallNacked.listeners:
            announce(CallNacked(call.declared.name, self.worker, nack.code.name))
        if call.captured is not None:
            # The worker keeps nothing of a call that it refused; the next one brings the state.
            self.states.drop(call.captured.manifest.name)
        if nack.code is NackCode.UNKNOWN:
            self._send_anew()
        elif nack.code is NackCode.DRAINING:
            self.accepting = False

    def receive(self, frame: Frame) -> None:
        """Take a frame that the link brings."""
        call = self.calls.get(frame.call)
        if call is not None:
            call.take_frame(frame)
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
            self._send_anew()
        elif call is not None:
            self.link.send(Cancel(frame.call))
        if call is not None:
            call.end_refused(refuse_unsendable(error, what, call.declared.name))

    def receive_goodbye(self, reason: str) -> None:
        """Stop sending calls here; those under way go on."""
        self.accepting = False
        self._farewell = reason

    async def close(self) -> None:
        """End the link because the pool closes; open calls fail, and say so."""
        self.accepting, self.closed = False, True
        await self.link.close()

    def link_ended(self, error: Exception | None) -> None:
        """Fail every open call."""
        self.accepting = False
        connections.discard(self)
        why = f": {self._farewell}" if self._farewell else ""
        closed = f"the worker closed the link{why}"
        calls, self.calls = self.calls, {}
        for call in calls.values():
            call.connection_lost(error or ConnectionError(closed))

    def _send_anew(self) -> None:
        """Forget what was sent before: callables, the proxy, states of chains."""
        self._numbers.clear()
        self._proxy_sent = False
        self.states.clear()

    def _number_code(self, body: bytes) -> tuple[int, bytes]:
        """Return the link's number of a callable, and its body if the worker has to learn it."""
        number = self._numbers.get(body)
        if number is not None:
            self._numbers.move_to_end(body)
            return number, b""
        number = self._numbers[body] = next(self._serial)
        if len(self._numbers) > _FUNCTIONS:
            self._numbers.popitem(last=False)
        return number, body
