"""The line: calls that wait for slots of a pool's workers, in the order in which they were made.

A call that needs slots goes to a worker at once while this process knows of no reason why it would
be refused. Otherwise it waits here, and each worker that could run it is asked for slots; the first
one whose offer comes gets the first call that needs as many and may run there. Calls that need
another number of slots stand in a line of their own. A call has nothing pickled while it waits.

Whoever takes an offer has to use it or to pass it on: to the next in line, or back to the worker.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Sequence
from functools import partial
from itertools import count
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.caller.long_waits import LongWaits
from catena.dispatch.caller.timeouts import Bounds
from catena.dispatch.declaration import Declaration
from catena.dispatch.dispatcher import Dispatcher
from catena.dispatch.holding import Loan
from catena.errors import Busy, NoPool
from catena.escape import printable
from catena.events import announced

LOOK_AGAIN = 1.0
"""Seconds after which a call that waits looks for workers that have come meanwhile."""

_lines: WeakKeyDictionary[Dispatcher, Line] = WeakKeyDictionary()


class Turn:
    """One call's place in the line; it is kept when a worker refuses the call after all."""

    def __init__(
        self, declared: Declaration, bounds: Bounds | None, loan: Loan | None, serial: int
    ) -> None:
        self.declared = declared
        self.loan = loan
        # Workers that have refused it for another reason than slots, which are not asked again.
        self.busy: dict[str, str] = {}
        self.slots = declared.slots
        # The workers that may run it, by their names.
        self.fit: frozenset[str] = frozenset()
        self.serial = serial
        self.offered = False
        self.waiter: asyncio.Future[WorkerConnection | None] | None = None
        self._began = monotonic()
        self.bounds = bounds

    def __lt__(self, other: Turn) -> bool:
        return self.serial < other.serial

    @property
    def seconds_waited(self) -> float:
        """How long ago the call was made."""
        return monotonic() - self._began

    def seconds_left(self) -> float | None:
        """Return how long it may wait, None where its time is not bounded.

        Raises TimeoutError and DispatchTimeout when its time is up.
        """
        waited, bounds = self.seconds_waited, self.bounds
        if bounds is None:
            return None
        left = bounds.seconds_left()
        hand_over = None if bounds.hand_over is None else bounds.hand_over - waited
        if hand_over is not None and hand_over <= 0:
            raise bounds.not_accepted("")
        return min((one for one in (left, hand_over) if one is not None), default=None)


class Line:
    """The calls of one pool, made in this process, that wait for slots."""

    def __init__(self, way: Dispatcher) -> None:
        self._serials = count()
        self._most: int | None = way.max_waiting
        self._waiting: dict[int, list[Turn]] = {}
        # What workers that refused a call said of their slots, by their names.
        self._said: dict[str, str] = {}
        self._long_waits = LongWaits()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def begin_turn(self, declared: Declaration, bounds: Bounds | None, loan: Loan | None) -> Turn:
        """Return the place of a call that is made now; while it waits, the ``loan`` is lent."""
        return Turn(declared, bounds, loan, next(self._serials))

    def number_turn(self, turn: Turn) -> None:
        """Give a call that was made on another loop its place, when it comes here first."""
        if turn.serial < 0:
            turn.serial = next(self._serials)

    async def await_turn(self, way: Dispatcher, turn: Turn) -> WorkerConnection | None:
        """Return the connection that a call may be sent on; ``turn.offered`` says whether by offer.

        None when no worker is left that might take it.
        Raises NoPool, Busy, TimeoutError, DispatchTimeout, and what reaching workers does.
        """
        may_go_at_once = turn.waiter is None
        while True:
            left = turn.seconds_left()
            reaching = asyncio.timeout(left)
            try:
                async with reaching:
                    found = await way.reach_all(turn.declared.name)
            except TimeoutError:
                if not reaching.expired():
                    raise
                continue
            fit = _choose_fit(turn, found)
            if not fit:
                return None
            for connection in fit:
                connection.line = self
            if may_go_at_once:
                free = [one for one in fit if self._is_free(one, turn.slots)]
                if free:
                    return min(free, key=_rank)
            may_go_at_once = False
            offering = await self._wait(turn, fit, left)
            if offering is not None and offering.usable:
                turn.offered = True
                return offering

    def _is_free(self, connection: WorkerConnection, slots: int) -> bool:
        """Say whether a worker may have slots free for which nobody stands in line."""
        row = self._waiting.get(slots, ())
        return connection.may_have(slots) and _first_fit(row, connection) is None

    async def _wait(
        self, turn: Turn, fit: list[WorkerConnection], left: float | None
    ) -> WorkerConnection | None:
        """Wait in line until an offer comes, and return who made it; None for looking again."""
        if turn.waiter is None and self._most is not None and len(self) >= self._most:
            reason = f"{self._most} calls wait already, as many as max_waiting allows"
            worker = ", ".join(one.worker for one in fit)
            raise announced(Busy(routine=turn.declared.name, worker=worker, reason=reason))
        waiter = turn.waiter = asyncio.get_running_loop().create_future()
        turn.fit = frozenset(one.worker for one in fit)
        row = self._waiting.setdefault(turn.slots, [])
        insort(row, turn)
        for connection in fit:
            connection.want_slots(turn.slots)
        waits = turn.declared.name, turn.seconds_waited, len(self)
        self._long_waits.note(*waits, partial(self._describe_wait, fit))
        if turn.loan is not None:
            turn.loan.lend()
        try:
            seconds = LOOK_AGAIN if left is None else min(left, LOOK_AGAIN)
            await asyncio.wait((waiter,), timeout=seconds)
        except asyncio.CancelledError:
            if waiter.done() and (found := waiter.result()) is not None:
                turn.offered = True
                self.pass_on(found, turn)
            raise
        finally:
            if turn in row:
                row.remove(turn)
        return waiter.result() if waiter.done() else None

    def _describe_wait(self, fit: list[WorkerConnection]) -> str:
        """Return in words which calls have the slots of some workers."""
        said = [
            f"{one.worker}: {self._said[one.worker]}" for one in fit if one.worker in self._said
        ]
        return "; ".join(said) or _describe_own(fit)

    def take_offer(self, connection: WorkerConnection, slots: int) -> None:
        """Give offered slots to the first call in line that may use them, or decline them."""
        row = self._waiting.get(slots, [])
        turn = _first_fit(row, connection)
        if turn is None:
            connection.decline_slots(slots)
            return
        row.remove(turn)
        if turn.waiter is not None:
            turn.waiter.set_result(connection)
        if _first_fit(row, connection) is not None:
            connection.want_slots(slots)

    def note_full(self, turn: Turn, connection: WorkerConnection, text: str) -> None:
        """Note that a worker has refused a call for want of slots; it offers them later."""
        turn.offered = False
        self._said[connection.worker] = printable(text)

    def pass_on(self, connection: WorkerConnection, turn: Turn) -> None:
        """Give away the offer that a call has not used, if it had one."""
        if turn.offered:
            turn.offered = False
            self.take_offer(connection, turn.slots)

    def look_again(self) -> None:
        """Have all calls look for workers again, because a link has ended."""
        rows, self._waiting = self._waiting, {}
        for turn in [turn for row in rows.values() for turn in row]:
            if turn.waiter is not None and not turn.waiter.done():
                turn.waiter.set_result(None)


def line_of(way: Dispatcher) -> Line:
    """Return the line of the calls that go one way."""
    line = _lines.get(way)
    # Where two threads make one, the first counts.
    return _lines.setdefault(way, Line(way)) if line is None else line


def join_line(way: Dispatcher, pool: Dispatcher) -> None:
    """Have the calls that go one way stand in the line of the calls that go another."""
    _lines[way] = line_of(pool)


def _first_fit(row: Sequence[Turn], connection: WorkerConnection) -> Turn | None:
    """Return the first call in a row that a worker may run, None without any."""
    worker = connection.worker
    return next((turn for turn in row if worker in turn.fit), None)


def _choose_fit(turn: Turn, found: list[Any]) -> list[WorkerConnection]:
    """Return the connections to workers that have as many slots and have not refused the call.

    Raises NoPool where no worker has as many.
    """
    fit = [one for one in found if not one.slots or one.slots >= turn.slots]
    if not fit:
        most = max(one.slots for one in found)
        reason = f"it takes {turn.slots} slots, and no worker of the pool has more than {most}"
        remedy = f"`catena.WorkerPool(slots={turn.slots})` gives its workers as many"
        raise announced(NoPool(routine=turn.declared.name, reason=f"{reason}; {remedy}"))
    return [one for one in fit if one.worker not in turn.busy]


def _describe_own(fit: list[WorkerConnection]) -> str:
    """Return which calls of this process have the slots of some workers."""
    calls = [call for connection in fit for call in connection.calls.values()]
    names = sorted({call.declared.name for call in calls if call.declared.slots})
    workers = ", ".join(one.worker for one in fit)
    return f"the slots of {workers} are held by calls of {', '.join(names) or 'others'}"


def _rank(connection: WorkerConnection) -> tuple[bool, int]:
    return connection.pulse.held_up, len(connection.calls)
