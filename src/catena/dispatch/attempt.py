"""One attempt of a call, seen by its caller: where it stands, and how it waits for its answers.

It never waits without a way out: its frame comes, or the link ends and says so, or the caller is
cancelled and waits at most the grace.
"""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING, Any

from catena.context.capture import Baseline, Captured
from catena.dispatch.declaration import Declaration
from catena.dispatch.values import mount_frame, take
from catena.errors import CatenaError, ProtocolError, WorkerLost
from catena.events import Dispatch
from catena.observe import use
from catena.operations import Ends
from catena.wire.frames import Ack, Cancel, ExceptionFrame, Frame, Next, Result, Send, Throw
from catena.wire.grammar import END, TABLE, TO_CALLER, Position
from catena.wording import TEXT_LIMIT

if TYPE_CHECKING:
    from catena.dispatch.caller import Caller

__all__ = ["Call"]

_PROMPT = 0.1
"""Seconds that a caller who is cancelled once more still waits for a last frame on its way."""
_ACKED = {state: row["ack"] for state, row in TABLE.items() if "ack" in row}


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

    def cancel(self, text: str | None = None) -> None:
        """Send Cancel, with what the task was cancelled with, if the call can be cancelled now."""
        if self.lost is None and self.allows("cancel"):
            self.step("cancel")
            self.caller.link.send(Cancel(self.id, text))

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

        Raises the cancellation when there is none in time; an answer that comes in spite of a
        second cancellation is mounted, and that one raised.
        """
        text, again = _text_of(cancelled), None
        try:
            if self.waiter.cancelled():
                self.waiter = self.caller.link.loop.create_future()
                self.cancel(text)
                again = await self._wait_after_cancel(cancelled)
            last = self.waiter.result() if self.waiter.done() else None
            if type(last) is ExceptionFrame:
                sent = () if text is None else (text,)
                if cancelled.args != sent:
                    self._echo(last, sent, cancelled)
                return last
            if type(last) is Result and last.after_cancel and again is None:
                return last
            if self.refusal is not None:
                raise copy(self.refusal) from None
            if type(last) is Result:
                self.mount_last(last)
                # A stream whose answer was here already was not cancelled, and nobody drives it.
                self.cancel(text)
            self.observed = None
            raise again or cancelled
        finally:
            # What is raised here refers to this frame: were it in there, that would be a circle.
            del cancelled, again

    def _echo(
        self, frame: ExceptionFrame, sent: tuple[str, ...], cancelled: asyncio.CancelledError
    ) -> None:
        """Raise what an answer brings; the message comes back as the object that it was here."""
        leave = self.note_last(frame)
        try:
            take(frame, self.declared.name, self.caller.values, self.baseline)
        except asyncio.CancelledError as ended:
            if ended.args == sent:
                ended.args = cancelled.args
            raise
        finally:
            del cancelled
            use(leave)

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
            self.observed = None
            # Another one each time: what was raised refers to frames, and they to this call.
            raise copy(self.refusal)
        if frame is None:
            self.observed = None
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
            closed=self.caller.closed,
        )

    async def _wait_after_cancel(
        self, cancelled: asyncio.CancelledError
    ) -> asyncio.CancelledError | None:
        """Wait for the answer, at most the grace; return a second cancellation if one came.

        One with the same message is the first one repeated, as scopes of anyio do at every turn of
        the loop, and changes nothing. Any other leaves time only for an answer on its way.
        """
        loop, again = self.caller.link.loop, None
        until = loop.time() + self.declared.cancel_grace
        while not self.waiter.done() and (left := until - loop.time()) > 0:
            try:
                await asyncio.wait([self.waiter], timeout=left)
            except asyncio.CancelledError as second:
                if not second.args or second.args != cancelled.args:
                    again = second.with_traceback(None)
                    until = min(until, loop.time() + _PROMPT)
        return again

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
            self.refuse(error.with_traceback(None))
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
        if self.waiter.cancelled():
            # The caller was cancelled in this very turn, and has not been woken up yet.
            self.waiter = self.caller.link.loop.create_future()
        if not self.waiter.done():
            self.waiter.set_result(frame)


def _text_of(cancelled: asyncio.CancelledError) -> str | None:
    """Return the message of a cancellation as text that can be sent, None without one."""
    if not cancelled.args:
        return None
    try:
        text = str(cancelled.args[0])[:TEXT_LIMIT]
    except BaseException:
        # Whatever its str raises, it is the cancellation that has to go on.
        return None
    return text.encode("utf-8", "replace").decode()
