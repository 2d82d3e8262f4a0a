"""One call to one worker, seen by its caller: where it stands, and which frames go and come.

How the caller waits for its frames is in ``waiting``.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from itertools import count
from typing import Any

from catena.dispatch.declaration import Declaration
from catena.dispatch.payloads import values_for
from catena.errors import CatenaError, ProtocolError, WorkerLost
from catena.events import CallNacked, Dispatch
from catena.events.bus import announce
from catena.link.link import Link
from catena.transfer.baseline import Captured
from catena.transfer.states.plain import PLAIN
from catena.transfer.states.sent import SentStates
from catena.wire.call_states import END, TABLE, TO_CALLER, Position
from catena.wire.frames import Ack, Cancel, Drive, Frame, Nack, NackCode
from catena.wire.versions import DELTA, NAMES

_ACKED = {state: row["ack"] for state, row in TABLE.items() if "ack" in row}
_BEFORE_ACK = frozenset(_ACKED)
_FUNCTIONS = 1024


class WorkerLink:
    """What all calls of one link share at their caller: who serves them, and what it was sent.

    ``calls`` are those that are open, by their number. ``accepting`` says whether new ones may be
    sent, ``closed`` that the pool let go of the worker. ``deltas`` says that the worker understands
    what only says what changed.
    """

    def __init__(self, link: Link, *, strict: bool) -> None:
        self.link = link
        self.values = values_for(strict=strict)
        self.deltas = DELTA in link.capabilities
        self.states = SentStates() if NAMES in link.capabilities else PLAIN
        self.worker = link.peer.peer if link.peer else "?"
        self.accepting = True
        self.closed = False
        self.calls: dict[int, Call] = {}
        self.proxy_sent = False
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
            self.accepting = False


class Watch:
    """Timers that limit one call; ``verdict`` is what they decided, None until they have."""

    __slots__ = ("timers", "verdict")

    def __init__(self) -> None:
        self.timers: list[asyncio.TimerHandle] = []
        self.verdict: str | None = None

    def stop_timers(self) -> None:
        """Watch no more."""
        timers, self.timers = self.timers, []
        for timer in timers:
            timer.cancel()


class Call(Position):
    """One open call: where it stands, and the frame that its driver waits for.

    ``captured`` is what its first drive brought of the chain, ``operation`` what is to be noted for
    observers, None without any; the two refer to each other, so the last answer parts them.
    ``watch`` limits a bounded call.
    """

    __slots__ = (
        "baseline",
        "captured",
        "connection",
        "declared",
        "id",
        "lost",
        "operation",
        "refusal",
        "waiter",
        "watch",
    )

    def __init__(
        self,
        connection: WorkerLink,
        id: int,
        declared: Declaration,
        captured: Captured | None,
        operation: Dispatch | None = None,
        watch: Watch | None = None,
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
        self.watch = watch

    @property
    def over(self) -> bool:
        """Whether no further step can be driven."""
        return self.state == END or self.lost is not None or self.expired

    @property
    def expired(self) -> bool:
        """Whether its time is up; only a bounded call has an end to its time."""
        return self.watch is not None and self.watch.verdict is not None

    def send_drive(self, frame: Drive) -> None:
        """Send a drive frame of a stream and get ready for its answer."""
        self.waiter = self.connection.link.loop.create_future()
        if self.lost is not None or self.refusal is not None or self.expired:
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
            if self.captured is not None and self.captured.manifest.name:
                self.connection.states.confirm(self.captured.manifest.name)
            return
        try:
            state = self.note_received(frame.symbol, TO_CALLER)
        except ProtocolError as error:
            self.cancel()
            self.end_refused(error.with_traceback(None))
            return
        if state == END:
            self._leave_table()
        elif state == "flow closing":
            return
        self.wake_caller(frame)

    def end_refused(self, error: CatenaError) -> None:
        """End the call here, with an error of ours."""
        self.refusal = error
        self.end()
        self._leave_table()
        self.wake_caller(None)

    def connection_lost(self, error: Exception) -> None:
        """Note that the link is gone."""
        self.lost = error
        if self.watch is not None:
            self.watch.stop_timers()
        self.wake_caller(None)

    def wake_caller(self, frame: Frame | None) -> None:
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
        if self.watch is not None:
            self.watch.stop_timers()
