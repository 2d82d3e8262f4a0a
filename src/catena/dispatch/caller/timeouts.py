"""The caller's bounds of a call: how long it may run, and how long its hand-over may take.

Timers of the loop watch a bounded call, not a task of its own. When they fire, they do the same as
a cancelled caller: send Cancel and wait, at most the grace, for the last frame. The task that waits
is not cancelled for that. So every cancellation of that task came from outside, and it takes
precedence over the timeout.
"""

from __future__ import annotations

import asyncio
from time import monotonic, monotonic_ns
from typing import Literal, NamedTuple

from catena.context.options import NO_OPTIONS, options
from catena.dispatch.caller.answers import apply_answer, mount_late
from catena.dispatch.caller.call import Call, Watch
from catena.dispatch.declaration import Declaration
from catena.dispatch.dispatcher import Connection, Dispatcher
from catena.errors import DispatchTimeout
from catena.link.link import Link
from catena.wire.call_states import END
from catena.wire.frames import ExceptionFrame, Frame, Nack, Result

_MOST = 2**64 - 1
_HANDING_OVER = ("call sent", "flow sent")

Verdict = Literal["late", "not accepted"]

Times = tuple[int | None, int | None, int | None]
"""What a Task says of time, in nanoseconds: the time left, the bound that calls of the routine
inherit for their hand-over, and when it was sent."""

NO_TIMES: Times = (None, None, None)


class Bounds(NamedTuple):
    """What holds for one call on every worker that it is tried on.

    ``deadline`` is a monotonic time; ``hand_over`` is seconds, ``inherited`` as many of them as
    were set explicitly, which the calls that the routine makes inherit.
    """

    declared: Declaration
    deadline: float | None
    hand_over: float | None
    inherited: float | None

    def seconds_left(self) -> float | None:
        """Return how many seconds are left, None without a deadline. Raises TimeoutError at 0."""
        if self.deadline is None:
            return None
        left = self.deadline - monotonic()
        if left <= 0:
            raise self.declared.out_of_time()
        return left

    def not_accepted(self, worker: str) -> DispatchTimeout:
        """Return the error of a call that no worker accepted in time."""
        seconds = self.hand_over or 0.0
        return DispatchTimeout(routine=self.declared.name, worker=worker, seconds=seconds)

    def times_for(self, link: Link) -> Times:
        """Return what the Task of the call says of time on a link. Raises TimeoutError."""
        left = self.seconds_left()
        # So that the time in the socket counts, where the worker reads the same clock.
        known = left is not None and link.same_boot
        return (
            _to_nanoseconds(left),
            _to_nanoseconds(self.inherited),
            monotonic_ns() if known else None,
        )

    async def reach_worker(self, through: Dispatcher, connection: Connection | None) -> Connection:
        """Return a connection that takes frames: this one, or the next that answers.

        Nothing has been sent, so there is nothing to wait for when the time is up. Raises
        TimeoutError, DispatchTimeout, and what reaching a worker raises.
        """
        left, worker = self.seconds_left(), "" if connection is None else connection.worker
        first = min(one for one in (left, self.hand_over) if one is not None)
        # First what a forked child raises, where there may be no running loop to keep time.
        reaching = (
            through.reach_worker(self.declared.name) if connection is None else _this(connection)
        )
        waiting = asyncio.timeout(first)
        try:
            async with waiting:
                connection = await reaching
                worker = connection.worker
                if connection.link.congested:
                    await connection.link.wait_drained()
                return connection
        except TimeoutError:
            if not waiting.expired():
                raise
        raise self.declared.out_of_time() if first == left else self.not_accepted(worker)


def bounds_of(declared: Declaration) -> Bounds | None:
    """Return the bounds of a call that is made now, None when it has none."""
    here = options.get() or NO_OPTIONS
    timeout = declared.timeout if here.timeout is None else here.timeout
    inherited = here.dispatch_timeout
    hand_over = declared.dispatch_timeout if inherited is None else inherited
    deadline = here.deadline
    if timeout is not None:
        own = monotonic() + timeout
        deadline = own if deadline is None else min(deadline, own)
    if deadline is None and hand_over is None:
        return None
    return Bounds(declared, deadline, hand_over, inherited)


class Timers(Watch):
    """The timers of one call, and what follows when one of them has fired.

    They refer to the call while they run, and it to them, so they are stopped when it ends. The
    error is made where it is raised: it refers to frames, and those to the call.
    """

    __slots__ = ("_bounds",)

    def __init__(self, bounds: Bounds) -> None:
        super().__init__()
        self._bounds = bounds

    def start_timers(self, call: Call) -> None:
        """Watch a call that was sent; one that could not be is over already."""
        if call.state == END:
            return
        loop, bounds = call.connection.link.loop, self._bounds
        if bounds.hand_over is not None:
            self.timers.append(loop.call_later(bounds.hand_over, self._end_hand_over, call))
        if bounds.deadline is not None:
            left = max(bounds.deadline - monotonic(), 0)
            self.timers.append(loop.call_later(left, self._end_time, call))

    def withdraw_verdict(self) -> float | None:
        """Stop, and take the verdict back; return the deadline, None without one."""
        self.stop_timers()
        self.verdict = None
        return self._bounds.deadline

    def raise_verdict(self, call: Call, frame: Frame | None) -> Frame:
        """Raise what was decided, with the last frame mounted; a Nack in time is returned."""
        self.stop_timers()
        if type(frame) is Nack and self.verdict == "not accepted":
            return frame
        if type(frame) is ExceptionFrame:
            self._raise_late(call, frame)
        elif type(frame) is Result:
            # Whether it crossed the Cancel or came in spite of it, it is too late.
            mount_late(call, frame)
            call.cancel()
        call.operation = None
        raise self._verdict_error(call)

    def _verdict_error(self, call: Call) -> TimeoutError:
        """Return the error of the verdict."""
        if self.verdict == "late":
            return self._bounds.declared.out_of_time()
        return self._bounds.not_accepted(call.connection.worker)

    def _raise_late(self, call: Call, frame: ExceptionFrame) -> None:
        """Mount a last frame and raise: what it brings, or the verdict where that only echoes."""
        try:
            apply_answer(call, frame, call.baseline)
        except asyncio.CancelledError as ended:
            raise self._verdict_error(call) from ended
        except BaseException as ended:
            if self.verdict == "late":
                raise
            raise self._verdict_error(call) from ended

    def _end_hand_over(self, call: Call) -> None:
        if call.state in _HANDING_OVER:
            self._give_verdict(call, "not accepted")

    def _end_time(self, call: Call) -> None:
        if call.state != END:
            self._give_verdict(call, "late")

    def _give_verdict(self, call: Call, verdict: Verdict) -> None:
        if self.verdict is None:
            self.verdict = verdict
            call.cancel()
            loop, grace = call.connection.link.loop, call.declared.cancel_grace
            # Without a last frame the waiting task goes on; the worker cleans up all the same.
            self.timers.append(loop.call_later(grace, call.wake_caller, None))


async def _this(connection: Connection) -> Connection:
    return connection


def _to_nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(min(seconds * 1e9, _MOST))
