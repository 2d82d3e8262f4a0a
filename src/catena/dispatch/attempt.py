"""One attempt of a call, seen by its caller: where it stands, and how it waits for its answers.

It never waits without a way out: its frame comes, or the link ends and says so, or its timers fire,
or the caller is cancelled and waits at most the grace.
"""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING, Any

from catena.context.capture import Baseline, Captured
from catena.dispatch.cancelling import await_after_cancel
from catena.dispatch.deadline import Bounds, Timers
from catena.dispatch.declaration import Declaration
from catena.errors import CatenaError, ProtocolError, WorkerLost
from catena.events import Dispatch
from catena.wire.frames import Ack, Cancel, Frame, Next, Send, Throw
from catena.wire.grammar import END, TABLE, TO_CALLER, Position

if TYPE_CHECKING:
    from catena.dispatch.caller import WorkerConnection

__all__ = ["Call"]

_ACKED = {state: row["ack"] for state, row in TABLE.items() if "ack" in row}
_BEFORE_ACK = frozenset(_ACKED)


class Call(Position):
    """One open call: where it stands, and the frame that its driver waits for.

    ``captured`` is what its first drive brought of the chain, ``operation`` what is to be noted for
    observers, None without any; the two refer to each other, so the last answer parts them.
    ``timers`` watch a bounded call.
    """

    __slots__ = (
        "captured",
        "connection",
        "declared",
        "id",
        "lost",
        "operation",
        "refusal",
        "timers",
        "waiter",
    )

    def __init__(
        self,
        connection: WorkerConnection,
        id: int,
        declared: Declaration,
        captured: Captured | None,
        operation: Dispatch | None,
        bounds: Bounds | None,
    ) -> None:
        self.connection = connection
        self.id = id
        self.declared = declared
        self.captured = captured
        self.operation = operation
        # Its Task and its first drive leave together.
        self.state = "flow sent" if declared.stream else "call sent"
        self.last = "next"
        self.waiter: asyncio.Future[Any] = connection.link.loop.create_future()
        self.lost: Exception | None = None
        self.refusal: CatenaError | None = None
        self.timers = None if bounds is None else Timers(bounds)

    @property
    def baseline(self) -> Baseline | None:
        """What the worker had once the first drive was mounted."""
        return None if self.captured is None else self.captured.baseline

    @property
    def over(self) -> bool:
        """Whether no further step can be driven."""
        return self.state == END or self.lost is not None or self.expired

    @property
    def expired(self) -> bool:
        """Whether its time is up; only a bounded call has an end to its time."""
        return self.timers is not None and self.timers.verdict is not None

    def drive(self, frame: Next | Send | Throw) -> None:
        """Send a drive frame of a stream and get ready for its answer."""
        self.waiter = self.connection.link.loop.create_future()
        if self.lost is not None or self.refusal is not None or self.expired:
            # Nothing comes any more: the generator has been closed.
            self.waiter.set_result(None)
        else:
            self.step(frame.symbol)
            self.connection.link.send(frame)

    def cancel(self, text: str | None = None) -> None:
        """Send Cancel, with what the task was cancelled with, if the call can be cancelled now."""
        if self.lost is None and self.allows("cancel"):
            self.step("cancel")
            self.connection.link.send(Cancel(self.id, text))

    async def answer(self) -> Frame:
        """Wait for the frame that answers the last drive, and return it.

        When the caller is cancelled meanwhile, the routine is cancelled and its last answer
        awaited. Raises WorkerLost when the link ended, ProtocolError when the peer broke the
        grammar, and what a bounded call raises when its time is up.
        """
        try:
            frame = await self.waiter
        except asyncio.CancelledError as cancelled:
            frame = await await_after_cancel(self, cancelled)
        return self.frame_or_raise(frame)

    def frame_or_raise(self, frame: Frame | None) -> Frame:
        """Return the frame, or raise why there is none that counts."""
        if self.refusal is not None:
            self.operation = None
            # Another one each time: what was raised refers to frames, and they to this call.
            raise copy(self.refusal)
        if self.timers is not None and self.timers.verdict is not None:
            return self.timers.judge(self, frame)
        if frame is None:
            self.operation = None
            raise self._worker_lost()
        return frame

    def receive(self, frame: Frame) -> None:
        """Take a frame of this call. An illegal one ends it."""
        if type(frame) is Ack and (acked := _ACKED.get(self.state)) is not None:
            # Half of all frames that arrive; the rest goes the long way.
            self.state, self.last = acked, frame.symbol
            if self.captured is not None and self.captured.told is not None:
                self.connection.arrived(self.captured.told)
            return
        try:
            state = self.hear(frame.symbol, TO_CALLER)
        except ProtocolError as error:
            self.cancel()
            self.refuse(error.with_traceback(None))
            return
        if state == END:
            self._leave()
        elif state == "flow closing":
            return
        self.wake(frame)

    def refuse(self, error: CatenaError) -> None:
        """End the call here, with an error of ours."""
        self.refusal = error
        self.end()
        self._leave()
        self.wake(None)

    def lose(self, error: Exception) -> None:
        """Note that the link is gone."""
        self.lost = error
        if self.timers is not None:
            self.timers.stop()
        self.wake(None)

    def wake(self, frame: Frame | None) -> None:
        """Hand a frame, or the news that none will come, to whoever waits."""
        if self.waiter.cancelled():
            # The caller was cancelled in this very turn, and has not been woken up yet.
            self.waiter = self.connection.link.loop.create_future()
        if not self.waiter.done():
            self.waiter.set_result(frame)

    def _leave(self) -> None:
        self.connection.calls.pop(self.id, None)
        if self.timers is not None:
            self.timers.stop()

    def _worker_lost(self) -> WorkerLost:
        """Return the error that says that the link ended under this call."""
        return WorkerLost(
            worker=self.connection.worker,
            routine=self.declared.name,
            begun=None if self.state in _BEFORE_ACK else True,
            cause=str(self.lost or ""),
            closed=self.connection.closed,
        )
