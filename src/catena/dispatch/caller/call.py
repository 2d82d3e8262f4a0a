"""One call to one worker, seen by its caller: where it stands, and which frames go and come.

How the caller waits for its frames is in ``waiting``. Timers of the loop watch a bounded call, not
a task of its own. When they fire, they do the same as a cancelled caller: send Cancel and wait, at
most the grace, for the last frame. The task that waits is not cancelled for that. So every
cancellation of that task came from outside, and it takes precedence over the timeout.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import Any, Literal

from catena.dispatch.caller.pulse import Pulse
from catena.dispatch.caller.timeouts import Bounds
from catena.dispatch.declaration import Declaration
from catena.dispatch.holding import Loan
from catena.dispatch.payloads import values_for
from catena.errors import CatenaError, ProtocolError, WorkerLost
from catena.events import CallNacked, Dispatch, ProtocolBroken
from catena.events.bus import announce
from catena.link.link import Link
from catena.transfer.baseline import Captured
from catena.transfer.states.plain import PLAIN
from catena.transfer.states.sent import SentStates
from catena.wire.call_states import END, TABLE, TO_CALLER, Position
from catena.wire.frames import Ack, Cancel, Drive, Frame, Nack, NackCode
from catena.wire.versions import DELTA, NAMES, SLOTS, proxy_path

_ACKED = {state: row["ack"] for state, row in TABLE.items() if "ack" in row}
_BEFORE_ACK = frozenset(_ACKED)
_HANDING_OVER = ("call sent", "flow sent")
_FUNCTIONS = 1024

Verdict = Literal["late", "not accepted"]
"""What the timers of a bounded call decide."""


class WorkerLink:
    """What all calls of one link share at their caller: who serves them, and what it was sent.

    ``calls`` are those that are open, by their number; ``unacknowledged`` are the numbers of those
    without an Ack, in their order, and ``pulse`` says whether the worker answers. ``usable`` says
    whether new calls may be sent, ``closed`` that the pool let go of the worker. ``deltas`` says
    that the worker understands what only says what changed. ``wanted`` are the
    numbers of slots that it will offer.
    """

    def __init__(self, link: Link, *, strict: bool) -> None:
        self.link = link
        self.values = values_for(strict=strict)
        self.deltas = DELTA in link.capabilities
        rooted = proxy_path(link.capabilities) == "chain"
        self.states = SentStates(rooted=rooted) if NAMES in link.capabilities else PLAIN
        self.worker = link.peer.peer if link.peer else "?"
        self.usable = True
        self.closed = False
        self.calls: dict[int, Call] = {}
        self.unacknowledged: dict[int, None] = {}
        self.pulse = Pulse(link, self.calls, self.unacknowledged)
        self.proxy_sent = False
        self.wanted: set[int] = set()
        self._numbers: OrderedDict[bytes, int] = OrderedDict()
        self._serial = count(1)

    def number_code(self, body: bytes) -> tuple[int, bytes]:
        """Return the link's number of a callable, and its body if the worker has to learn it."""
        number = self._numbers.get(body)
        if number is not None:
            self._numbers.move_to_end(body)
            return number, b""
        number = self._numbers[body] = next(self._serial)
        if len(self._numbers) > _FUNCTIONS:
            self._numbers.popitem(last=False)
        return number, body

    def send_anew(self) -> None:
        """Forget what was sent before: callables, the proxy, states of chains."""
        self._numbers.clear()
        self.proxy_sent = False
        self.states.clear()

    def note_nack(self, call: Call, nack: Nack) -> None:
        """Note a refusal: what the worker does not know is sent whole the next time."""
        if CallNacked.listeners:
            announce(CallNacked(call.declared.name, self.worker, nack.code.name))
        if call.captured is not None:
            # The worker keeps nothing of a call that it refused; the next one brings the state.
            self.states.drop(call.captured.manifest.name)
        if nack.code is NackCode.UNKNOWN:
            self.send_anew()
        elif nack.code is NackCode.DRAINING:
            self.usable = False


class Call(Position):
    """One open call: where it stands, and the frame that its driver waits for.

    ``captured`` is what its first drive brought of the chain, ``operation`` what is to be noted for
    observers, None without any; the two refer to each other, so the last answer parts them.
    ``bounds`` limit it, None without any, and ``verdict`` is what their timers have decided. The
    timers refer to the call while they run, and it to them, so they are stopped when it ends.
    """

    def __init__(
        self,
        connection: WorkerLink,
        id: int,
        declared: Declaration,
        captured: Captured | None,
        operation: Dispatch | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.connection = connection
        self.id = id
        self.declared = declared
        self.captured = captured
        # What the worker has of the chain once the first drive is mounted.
        self.baseline = None if captured is None else captured.baseline
        self.operation = operation
        # Its Task and its first drive leave together.
        self.state = "flow sent" if declared.stream else "call sent"
        self.last = "next"
        self.waiter: asyncio.Future[Any] = connection.link.loop.create_future()
        self.lost: Exception | None = None
        self.refusal: CatenaError | None = None
        # The slots of the caller, which are lent when the call has begun.
        self.loan: Loan | None = None
        self.bounds = bounds
        self.verdict: Verdict | None = None
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def over(self) -> bool:
        """Whether no further step can be driven."""
        return self.state == END or self.lost is not None or self.verdict is not None

    def send_drive(self, frame: Drive) -> None:
        """Send a drive frame of a stream and get ready for its answer."""
        self.waiter = self.connection.link.loop.create_future()
        if self.lost is not None or self.refusal is not None or self.verdict:
            # Nothing comes any more: the generator has been closed.
            self.waiter.set_result(None)
        else:
            self.note_sent(frame.symbol)
            self.connection.link.send(frame)

    def cancel(self, text: str | None = None) -> None:
        """Send Cancel, with what the task was cancelled with, if the call can be cancelled now."""
        if self.lost is None and self.is_legal("cancel"):
            self.note_sent("cancel")
            self.connection.link.send(Cancel(self.id, text))

    def take_frame(self, frame: Frame) -> None:
        """Take a frame of this call. An illegal one ends it."""
        if type(frame) is Ack and (acked := _ACKED.get(self.state)) is not None:
            # Half of all frames that arrive; the rest goes the long way.
            self.state, self.last = acked, frame.symbol
            self.connection.unacknowledged.pop(self.id, None)
            if self.captured is not None and self.captured.manifest.name:
                self.connection.states.confirm(self.captured.manifest.name)
            if self.loan is not None:
                self.loan.lend()
            return
        try:
            state = self.note_received(frame.symbol, TO_CALLER)
        except ProtocolError as error:
            if ProtocolBroken.listeners:
                announce(ProtocolBroken(error, self.connection.worker, self.id))
            self.cancel()
            self.end_refused(error.with_traceback(None))
            return
        if state == END:
            self._leave_table()
            if type(frame) is Nack and frame.slots:
                frame = self._note_full(frame)
        elif state == "flow closing":
            return
        self.wake_caller(frame)

    def _note_full(self, nack: Nack) -> Nack:
        """Note that a worker will offer slots; one that has none to offer is busy and no more."""
        if SLOTS not in self.connection.link.capabilities:
            return nack._replace(slots=0)
        # Here, and not when the caller wakes: the offer may come with the next frame.
        self.connection.wanted.add(nack.slots)
        return nack

    def end_refused(self, error: CatenaError) -> None:
        """End the call here, with an error of ours."""
        self.refusal = error
        self.end()
        self._leave_table()
        self.wake_caller()

    def connection_lost(self, error: Exception) -> None:
        """Note that the link is gone."""
        self.lost = error
        self.stop_timers()
        self.wake_caller()

    def wake_caller(self, frame: Frame | None = None) -> None:
        """Hand a frame, or the news that none will come, to whoever waits."""
        if self.waiter.cancelled():
            # The caller was cancelled in this very turn, and has not been woken up yet.
            self.waiter = self.connection.link.loop.create_future()
        if not self.waiter.done():
            self.waiter.set_result(frame)

    def worker_lost(self) -> WorkerLost:
        """Return the error that says that the link ended under this call."""
        return WorkerLost(
            worker=self.connection.worker,
            routine=self.declared.name,
            begun=None if self.state in _BEFORE_ACK else True,
            cause=str(self.lost or ""),
            closed=self.connection.closed,
        )

    def _leave_table(self) -> None:
        """Leave the table of open calls."""
        self.connection.calls.pop(self.id, None)
        self.connection.unacknowledged.pop(self.id, None)
        if self._timers:
            self.stop_timers()

    def start_timers(self, bounds: Bounds) -> None:
        """Watch the call after it was sent; one that could not be is over already."""
        if self.state == END:
            return
        if bounds.hand_over is not None:
            self._call_later(bounds.hand_over, self._end_hand_over)
        if bounds.deadline is not None:
            self._call_later(max(bounds.deadline - monotonic(), 0), self._end_time)

    def stop_timers(self) -> None:
        """Watch no more."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _call_later(self, seconds: float, do: Callable[[], None]) -> None:
        self._timers.append(self.connection.link.loop.call_later(seconds, do))

    def _end_hand_over(self) -> None:
        if self.state in _HANDING_OVER:
            self._give_verdict("not accepted")

    def _end_time(self) -> None:
        if self.state != END:
            self._give_verdict("late")

    def _give_verdict(self, verdict: Verdict) -> None:
        if self.verdict is None:
            self.verdict = verdict
            self.cancel()
            # Without a last frame the waiting task goes on; the worker cleans up all the same.
            self._call_later(self.declared.cancel_grace, self.wake_caller)
