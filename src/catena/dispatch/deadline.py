"""The caller's bounds of a call: how long it may run, and how long its hand-over may take.

Timers of the loop watch a bounded call, no task of its own. What they do when they fire is what
a cancelled caller does: send Cancel and wait, at most the grace, for the last frame. The task that
waits is not cancelled for it, so a cancellation is always one that came from outside, and wins.
"""

from __future__ import annotations

import asyncio
from time import monotonic, monotonic_ns
from typing import Literal, NamedTuple

from catena.context.capture import Captured
from catena.context.runtime import NO_OPTIONS, options
from catena.dispatch.attempt import Call
from catena.dispatch.caller import Caller
from catena.dispatch.declaration import Declaration
from catena.dispatch.port import Dispatcher
from catena.dispatch.values import take
from catena.errors import CatenaError, DispatchTimeout
from catena.observe import NO_CARRIER, Carrier, use
from catena.wire.frames import ExceptionFrame, Frame, Nack, Next, Result, Send, Throw
from catena.wire.grammar import END

__all__ = ["BoundCall", "Bounds", "bounds_of"]

_MOST = 2**64 - 1
_HANDING_OVER = ("call sent", "flow sent")

Verdict = Literal["late", "not accepted"]


class Bounds(NamedTuple):
    """What holds for one call on every worker that it is tried on.

    ``deadline`` is a monotonic time; ``hand_over`` is seconds, ``told`` as many of them as were
    set explicitly, which the calls that the routine makes inherit.
    """

    declared: Declaration
    deadline: float | None
    hand_over: float | None
    told: float | None

    def left(self) -> float | None:
        """Return how many seconds are left, None without a deadline. Raises TimeoutError at 0."""
        if self.deadline is None:
            return None
        left = self.deadline - monotonic()
        if left <= 0:
            raise self.late()
        return left

    def late(self) -> TimeoutError:
        """Return the error of a call whose time is up."""
        return TimeoutError(f"routine {self.declared.name} ran out of time")

    async def ready(self, through: Dispatcher, caller: Caller | None) -> Caller:
        """Return a caller that takes frames: this one, or the next that answers.

        Nothing has been sent, so there is nothing to wait for when the time is up. Raises
        TimeoutError, DispatchTimeout, and what reaching a worker raises.
        """
        left, worker = self.left(), "" if caller is None else caller.worker
        first = min(one for one in (left, self.hand_over) if one is not None)
        # First what a forked child raises, where there may be no running loop to keep time.
        reaching = _here(caller) if caller is not None else through.reach(self.declared.name)
        waiting = asyncio.timeout(first)
        try:
            async with waiting:
                caller = await reaching
                worker = caller.worker
                if caller.link.congested:
                    await caller.link.drained()
                return caller
        except TimeoutError:
            if not waiting.expired():
                raise
        raise self.late() if first == left else self.not_accepted(worker)

    def not_accepted(self, worker: str) -> DispatchTimeout:
        """Return the error of a call that no worker accepted in time."""
        seconds = self.hand_over or 0.0
        return DispatchTimeout(routine=self.declared.name, worker=worker, seconds=seconds)

    def open(self, caller: Caller, payload: bytes, carrier: Carrier = NO_CARRIER) -> BoundCall:
        """Send a call as ``Caller.open`` does, and watch it. Raises TimeoutError too."""
        self.left()
        call = caller.open(self.declared, payload, self.call, carrier)
        call.watch()
        return call

    def call(
        self, caller: Caller, id: int, declared: Declaration, captured: Captured | None
    ) -> BoundCall:
        """Make the call that is about to be sent."""
        return BoundCall(caller, id, declared, captured, self)


def bounds_of(declared: Declaration) -> Bounds | None:
    """Return the bounds of a call that is made now, None when it has none."""
    here = options.get() or NO_OPTIONS
    timeout = declared.timeout if here.timeout is None else here.timeout
    told = here.dispatch_timeout
    hand_over = declared.dispatch_timeout if told is None else told
    deadline = here.deadline
    if timeout is not None:
        own = monotonic() + timeout
        deadline = own if deadline is None else min(deadline, own)
    if deadline is None and hand_over is None:
        return None
    return Bounds(declared, deadline, hand_over, told)


class BoundCall(Call):
    """An open call that timers watch; ``verdict`` is what they decided on.

    The error is made where it is raised: it refers to frames, and they refer to this call.
    """

    __slots__ = (
        "_bounds",
        "_timers",
        "dispatch_timeout_ns",
        "sent_at_ns",
        "timeout_ns",
        "verdict",
    )

    def __init__(
        self,
        caller: Caller,
        id: int,
        declared: Declaration,
        captured: Captured | None,
        bounds: Bounds,
    ) -> None:
        super().__init__(caller, id, declared, captured)
        self._bounds = bounds
        self._timers: list[asyncio.TimerHandle] = []
        self.verdict: Verdict | None = None
        left = None if bounds.deadline is None else max(bounds.deadline - monotonic(), 0)
        self.timeout_ns = _nanoseconds(left)
        # So that the time in the socket counts, where the worker reads the same clock.
        known = left is not None and caller.link.same_boot
        self.sent_at_ns = monotonic_ns() if known else None
        self.dispatch_timeout_ns = _nanoseconds(bounds.told)

    @property
    def over(self) -> bool:
        """Whether no further step can be driven."""
        return self.verdict is not None or super().over

    @property
    def expired(self) -> bool:
        """Whether its time is up."""
        return self.verdict is not None

    def watch(self) -> None:
        """Start the timers, now that it was sent; if it could not be, it is over already."""
        if self.state == END:
            return
        loop, bounds = self.caller.link.loop, self._bounds
        if bounds.hand_over is not None:
            self._timers.append(loop.call_later(bounds.hand_over, self._not_accepted))
        if bounds.deadline is not None:
            left = max(bounds.deadline - monotonic(), 0)
            self._timers.append(loop.call_later(left, self._expire))

    def receive(self, frame: Frame) -> None:
        """Take a frame of this call; the last one stops the timers."""
        super().receive(frame)
        if self.state == END:
            self._stop()

    def refuse(self, error: CatenaError) -> None:
        """End the call here, and the timers with it."""
        super().refuse(error)
        self._stop()

    def lose(self, error: Exception) -> None:
        """Learn that the link is gone."""
        super().lose(error)
        self._stop()

    def drive(self, frame: Next | Send | Throw) -> None:
        """Send a drive frame of a stream, unless its time is up."""
        if self.verdict is None:
            super().drive(frame)
        else:
            # Its time was up between two steps: the generator has been closed.
            self.waiter = self.caller.link.loop.create_future()
            self.waiter.set_result(None)

    async def last_word(self, cancelled: asyncio.CancelledError) -> Frame:
        """As for any call: the cancellation came from outside, and outdoes every timer."""
        self._stop()
        self.verdict = None
        try:
            frame = await super().last_word(cancelled)
            deadline = self._bounds.deadline
            if type(frame) is ExceptionFrame and deadline is not None and monotonic() >= deadline:
                # The worker's own timer may have been first, when its answer crossed our Cancel.
                self._take_instead(frame, cancelled)
            return frame
        finally:
            # What is raised here refers to this frame: were it in there, that would be a circle.
            del cancelled

    def checked(self, frame: Frame | None) -> Frame:
        """Return the frame, or raise why there is none that counts, with the last one mounted."""
        if self.verdict is None or self.refusal is not None:
            return super().checked(frame)
        self._stop()
        if type(frame) is Nack and self.verdict == "not accepted":
            return frame
        if type(frame) is ExceptionFrame:
            self._take_late(frame)
        elif type(frame) is Result:
            # Whether it crossed the Cancel or came in spite of it, it is too late.
            self.mount_last(frame)
            self.cancel()
        self.observed = None
        raise self._error()

    def _error(self) -> TimeoutError:
        """Return the error of the verdict."""
        if self.verdict == "late":
            return self._bounds.late()
        return self._bounds.not_accepted(self.caller.worker)

    def _take_late(self, frame: ExceptionFrame) -> None:
        """Mount a last frame and raise: what it brings, or the verdict where that only echoes."""
        leave = self.note_last(frame)
        try:
            take(frame, self.declared.name, self.caller.values, self.baseline)
        except asyncio.CancelledError as ended:
            raise self._error() from ended
        except BaseException as ended:
            if self.verdict == "late":
                raise
            raise self._error() from ended
        finally:
            use(leave)

    def _take_instead(self, frame: ExceptionFrame, cancelled: asyncio.CancelledError) -> None:
        """Mount a last frame and raise what it brings; the cancellation where its time was up."""
        leave = self.note_last(frame)
        try:
            take(frame, self.declared.name, self.caller.values, self.baseline)
        except TimeoutError as ended:
            raise cancelled from ended
        finally:
            del cancelled
            use(leave)

    def _not_accepted(self) -> None:
        if self.state in _HANDING_OVER:
            self._decide("not accepted")

    def _expire(self) -> None:
        if self.state != END:
            self._decide("late")

    def _decide(self, verdict: Verdict) -> None:
        if self.verdict is None:
            self.verdict = verdict
            self.cancel()
            loop, grace = self.caller.link.loop, self.declared.cancel_grace
            self._timers.append(loop.call_later(grace, self._give_up))

    def _give_up(self) -> None:
        """Let the waiting task go without a last frame; the worker cleans up all the same."""
        if not self.waiter.done():
            self.waiter.set_result(None)

    def _stop(self) -> None:
        timers, self._timers = self._timers, []
        for timer in timers:
            timer.cancel()


async def _here(caller: Caller) -> Caller:
    return caller


def _nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(min(seconds * 1e9, _MOST))
