"""The caller's bounds of a call: how long it may run, and how long its hand-over may take."""

from __future__ import annotations

from time import monotonic, monotonic_ns
from typing import NamedTuple

from catena.context.options import NO_OPTIONS, options
from catena.dispatch.declaration import Declaration
from catena.errors import DispatchTimeout
from catena.link.link import Link
from catena.wire.versions import KILL_AFTER

_MOST = 2**64 - 1

Times = tuple[int | None, int | None, int | None, int | None]
"""What a Task says of time, in nanoseconds: the time left, the bound that calls of the routine
inherit for their hand-over, when it was sent, and how long after its time the worker is killed."""

NO_TIMES: Times = (None, None, None, None)


class Bounds(NamedTuple):
    """What holds for one call on every worker that it is tried on.

    ``deadline`` is a monotonic time; ``hand_over`` is seconds, ``inherited`` as many of them as
    were set explicitly, which the calls that the routine makes inherit, and so they do
    ``kill_after``, which is None where it was not set explicitly.
    """

    declared: Declaration
    deadline: float | None
    hand_over: float | None
    inherited: float | None
    kill_after: float | None

    def seconds_left(self) -> float | None:
        """Return how many seconds are left, None without a deadline. Raises TimeoutError at 0."""
        if self.deadline is None:
            return None
        left = self.deadline - monotonic()
        if left <= 0:
            raise self.declared.out_of_time()
        return left

    def seconds_to_reach(self) -> tuple[float | None, bool]:
        """Return how long it may take to reach a worker, and whether all time is up after that.

        Raises TimeoutError when it is up already.
        """
        left, hand_over = self.seconds_left(), self.hand_over
        is_last = hand_over is None or (left is not None and left <= hand_over)
        return (left if is_last else hand_over), is_last

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
            _to_nanoseconds(self.kill_after) if KILL_AFTER in link.capabilities else None,
        )


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
    return Bounds(declared, deadline, hand_over, inherited, here.kill_after)


def _to_nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(min(seconds * 1e9, _MOST))
