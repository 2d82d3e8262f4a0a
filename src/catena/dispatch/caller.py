"""The caller's side of a link: open calls, what goes out for them and what comes back.

A call never waits here without a way out: its frame comes, or the link ends and says so, or the
caller is cancelled and waits at most the grace.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar
from weakref import WeakSet

from catena.context.capture import Baseline, Captured, capture_first
from catena.context.carried import Carried, Known
from catena.context.manifest import NO_CHAIN
from catena.dispatch.declaration import Declaration
from catena.dispatch.values import mount_frame, unsendable, wire
from catena.errors import CatenaError, ProtocolError, WorkerLost
from catena.events import CallNacked, Dispatch, FrameDropped
from catena.link.link import Link
from catena.observe import NO_CARRIER, Carrier, announce, use
from catena.operations import Ends
from catena.wire.frames import (
    Ack,
    Cancel,
    ExceptionFrame,
    Frame,
    Nack,
    NackCode,
    Next,
    Result,
    Send,
    Task,
    Throw,
)
from catena.wire.grammar import END, TABLE, TO_CALLER, Position
from catena.wire.versions import DELTA, NAMES

__all__ = ["Call", "Caller", "callers"]

_FUNCTIONS = 1024
_CARRIES: dict[type[Any], str] = {
    Task: "the arguments",
    Next: "the chain",
    Send: "the sent value",
    Throw: "the thrown exception",
}
_ACKED = {state: row["ack"] for state, row in TABLE.items() if "ack" in row}

callers: WeakSet[Caller] = WeakSet()
"""The caller's side of every link of this process that is up."""


class Call(Position):
    """One open call: where it stands, and the frame that its driver waits for."""

    __slots__ = ("caller", "captured", "declared", "id", "lost", "observed", "refusal", "waiter")

    # What its Task tells of time; a bounded call has its own.
    timeout_ns: int | None = None
    dispatch_timeout_ns: int | None = None
    sent_at_ns: int | None = None

    def __init__(
        self, caller: Caller, id: int, declared: Declaration, captured: Captured | None
    ) -> None:
        self.caller = caller
        self.id = id
        self.declared = declared
        # What its first drive told.
        self.captured = captured
        # Its Task and its first drive leave together.
        self.state = "flow sent" if declared.stream else "call sent"
        self.last = "next"
        self.waiter: asyncio.Future[Any] = caller.link.loop.create_future()
        self.lost: Exception | None = None
        self.refusal: CatenaError | None = None
        # They refer to each other, so whoever takes the last answer lets go of it.
        self.observed: Dispatch | None = None

    @property
    def baseline(self) -> Baseline | None:
        """What the worker had once the first drive was mounted."""
        return None if self.captured is None else self.captured.baseline

    @property
    def ends(self) -> Ends:
        """Who was asked to take it."""
        return self.caller.ends

    @property
    def chain_id(self) -> bytes:
        """The chain that it took along, empty for an unarmed call."""
        return b"" if self.captured is None else self.captured.manifest.chain_id

    @property
    def over(self) -> bool:
        """Whether no further step can be driven."""
        return self.state == END or self.lost is not None

    @property
    def expired(self) -> bool:
        """Whether its time is up; only a bounded call has an end to its time."""
        return False

    def drive(self, frame: Next | Send | Throw) -> None:
        """Send a drive frame of a stream and get ready for its answer."""
        self.waiter = self.caller.link.loop.create_future()
        if self.lost is not None or self.refusal is not None:
            self.waiter.set_result(None)
        else:
            self.step(frame.symbol)
            self.caller.link.send(frame)

    def cancel(self) -> None:
        """Send Cancel, if the call is where it can be cancelled."""
        if self.lost is None and self.allows("cancel"):
            self.step("cancel")
            self.caller.link.send(Cancel(self.id))

    async def answer(self) -> Frame:
        """Wait for the frame that answers the last drive, and return it.

        When the caller is cancelled meanwhile, the routine is told and its last word awaited, at
        most the grace: its exception, or its answer in spite of the Cancel, is returned as a local
        await would have it; an answer that only crossed the Cancel is mounted, and the cancellation
        goes on.

        Raises WorkerLost when the link ended and ProtocolError when the peer broke the grammar.
        """
        try:
            frame = await self.waiter
        except asyncio.CancelledError as cancelled:
            frame = await self.last_word(cancelled)
        return self.checked(frame)

    async def last_word(self, cancelled: asyncio.CancelledError) -> Frame:
        """Tell the routine that its caller was cancelled, and return its answer to that.

        Raises the cancellation when there is none in time.
        """
        if self.waiter.cancelled():
            await self._wait_after_cancel()
        last = self.waiter.result() if self.waiter.done() else None
        if type(last) is ExceptionFrame or (type(last) is Result and last.after_cancel):
            return last
        if self.refusal is not None:
            raise self.refusal from None
        if type(last) is Result:
            self.mount_last(last)
        raise cancelled

    def mount_last(self, frame: Result) -> None:
        """Mount what an answer tells whose value comes too late."""
        leave = self.note_last(frame)
        try:
            mount_frame(frame.manifest, self.caller.values, self.baseline, to_worker=False)
        finally:
            use(leave)

    def note_last(self, frame: Result | ExceptionFrame) -> Any:
        """Note an answer that comes too late, where somebody listens; the call is told of no more.

        Returns the hook that is called when it has been mounted, or None.
        """
        observed, self.observed = self.observed, None
        if observed is None:
            return None
        observed.answer = frame
        observed.answers += 1
        return use(observed.enter)

    def checked(self, frame: Frame | None) -> Frame:
        """Return the frame, or raise why there is none."""
        if self.refusal is not None:
            raise self.refusal
        if frame is None:
            raise self.worker_lost()
        return frame

    def worker_lost(self) -> WorkerLost:
        """Return the error that says that the link ended under this call."""
        acked = self.state not in ("call sent", "flow sent", "call sent x", "flow sent x")
        return WorkerLost(
            worker=self.caller.worker,
            routine=self.declared.name,
            begun=True if acked else None,
            cause=str(self.lost or ""),
        )

    async def _wait_after_cancel(self) -> None:
        self.waiter = self.caller.link.loop.create_future()
        self.cancel()
        await asyncio.wait([self.waiter], timeout=self.declared.cancel_grace)

    def receive(self, frame: Frame) -> None:
        """Take a frame of this call. An illegal one ends it."""
        if type(frame) is Ack and (acked := _ACKED.get(self.state)) is not None:
            # Half of all frames that arrive; the rest goes the long way.
            self.state, self.last = acked, frame.symbol
            if self.captured is not None and self.captured.told is not None:
                self.caller.arrived(self.captured.told)
            return
        try:
            state = self.hear(frame.symbol, TO_CALLER)
        except ProtocolError as error:
            self.cancel()
            self.refuse(error)
            return
        if state == END:
            self.caller.forget(self)
        elif state == "flow closing":
            return
        self._answer(frame)

    def refuse(self, error: CatenaError) -> None:
        """End the call here, with an error of ours."""
        self.refusal = error
        self.end()
        self.caller.forget(self)
        self._answer(None)

    def lose(self, error: Exception) -> None:
        """Learn that the link is gone."""
        self.lost = error
        self._answer(None)

    def _answer(self, frame: Frame | None) -> None:
        if not self.waiter.done():
            self.waiter.set_result(frame)


AnyCall = TypeVar("AnyCall", bound=Call)


class Caller:
    """Opens calls on one link and hands each frame that comes to its call.

    ``calls`` are those that are open, by their number.
    """

    def __init__(self, link: Link, proxy: tuple[bytes, bytes], *, strict: bool = False) -> None:
        self.link = link
        self.values = wire(strict=strict)
        self.deltas = DELTA in link.capabilities
        self._carried = Carried() if NAMES in link.capabilities else None
        self.worker = link.peer.peer if link.peer else "?"
        version = link.peer.software if link.peer else ""
        self.ends = Ends(self.worker, link.name, version, link.protocol, link.address)
        self.accepting = True
        self._farewell = ""
        self.calls: dict[int, Call] = {}
        self._ids = count(1)
        self._last = 0
        self._proxy_id, self._proxy = proxy
        self._proxy_sent = False
        self._numbers: OrderedDict[bytes, int] = OrderedDict()
        self._serial = count(1)
        callers.add(self)

    @property
    def open_calls(self) -> int:
        """How many calls are open."""
        return len(self.calls)

    @property
    def usable(self) -> bool:
        """Whether new calls may be sent here."""
        return self.accepting and self.link.up

    def open(
        self,
        declared: Declaration,
        payload: bytes,
        make: Callable[..., AnyCall] = Call,
        carrier: Carrier = NO_CARRIER,
    ) -> AnyCall:
        """Send a call's Task and its first drive frame, together, and return the call.

        ``make`` makes the call of what ``Call`` is made of; a ``carrier`` goes along, also when
        there is no chain. Raises what capturing the chain raises,
        and SerializationError for the callable; nothing has been sent then.
        """
        # First what may fail, then the chain, then the number: either counts as told from then on.
        code = declared.dumps()
        captured = capture_first(self.values, self._carried)
        number, body = self._number(code)
        proxy = b"" if self._proxy_sent else self._proxy
        self._proxy_sent = True
        call = make(self, next(self._ids), declared, captured)
        self._last = call.id
        self.calls[call.id] = call
        manifest = None if captured is None else captured.manifest
        if carrier:
            manifest = (manifest or NO_CHAIN).carrying(carrier)
        self.link.send(
            Task(
                call.id,
                number,
                payload,
                declared.name,
                declared.stream,
                body,
                proxy,
                self._proxy_id,
                Next(call.id, manifest),
                call.timeout_ns,
                call.dispatch_timeout_ns,
                call.sent_at_ns,
            )
        )
        return call

    def arrived(self, told: Known) -> None:
        """Note that the worker has a state, because it accepted the call that told it."""
        if self._carried is not None:
            self._carried.arrived(told)

    def forget(self, call: Call) -> None:
        """Take a call that has ended out of the table."""
        self.calls.pop(call.id, None)

    def nacked(self, call: Call, nack: Nack) -> None:
        """Note a refusal: what the worker does not know is sent whole the next time."""
        if CallNacked.listeners:
            announce(CallNacked(call.declared.name, self.worker, nack.code.name))
        told = call.captured and call.captured.told
        if told is not None and self._carried is not None:
            # The worker keeps nothing of a call that it refused; the next one tells it.
            self._carried.drop(told)
        if nack.code is NackCode.UNKNOWN:
            self._tell_anew()
        elif nack.code is NackCode.DRAINING:
            self.accepting = False

    def receive(self, frame: Frame) -> None:
        """Take a frame that the link brings."""
        call = self.calls.get(frame.call)
        if call is not None:
            call.receive(frame)
        elif frame.call > self._last:
            raise ProtocolError(reason=f"no call {frame.call} was opened", frame=frame.symbol)
        elif FrameDropped.listeners:
            announce(FrameDropped(frame.call, frame.symbol))

    def unsent(self, frame: Frame, error: Exception) -> None:
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
            self._tell_anew()
        elif call is not None:
            self.link.send(Cancel(frame.call))
        if call is not None:
            call.refuse(unsendable(error, what, call.declared.name))

    def goodbye(self, reason: str) -> None:
        """Stop sending calls here; those under way go on."""
        self.accepting = False
        self._farewell = reason

    def ended(self, error: Exception | None) -> None:
        """Fail every open call."""
        self.accepting = False
        callers.discard(self)
        why = f": {self._farewell}" if self._farewell else ""
        closed = f"the worker closed the link{why}"
        calls, self.calls = self.calls, {}
        for call in calls.values():
            call.lose(error or ConnectionError(closed))

    def _tell_anew(self) -> None:
        """Forget what the worker was told: callables, the proxy, states of chains."""
        self._numbers.clear()
        self._proxy_sent = False
        if self._carried is not None:
            self._carried.clear()

    def _number(self, body: bytes) -> tuple[int, bytes]:
        """Return the link's number of a callable, and its body if the worker has to learn it."""
        number = self._numbers.get(body)
        if number is not None:
            self._numbers.move_to_end(body)
            return number, b""
        number = self._numbers[body] = next(self._serial)
        if len(self._numbers) > _FUNCTIONS:
            self._numbers.popitem(last=False)
        return number, body
