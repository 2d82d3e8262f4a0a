"""Calls that are made where the pool is not: on another event loop, or in a thread without one.

The problem: a link lives on one event loop, the pool's, and nothing of it may be touched from
elsewhere. But what a call does with its arguments and its chain has to happen in its caller's
Context, and on its caller's thread.

The idea: the call is made here as any call is, on a link whose other end is the pool's loop instead
of a worker. The frames of that link are handed over, and go on from there under the same number;
the answers come back the same way. So there are two ``Call`` objects, one at each end, each moved
by the frames that it sees, and neither end waits for the other:

    here:    Call, in a HandedConnection      timers, chain, payloads, observers
    there:   HandedCall, in the connection    its place among the calls of the worker's link

Which worker it is, is decided there as well, before the call takes its chain along: ``HandOver``
asks for a connection and for a number on its link. A number that was not used is given back.

What is posted to the other loop runs in an empty Context. A loop that has ended takes no posts: on
the pool's side the call is cancelled then, on this side it has lost its worker.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import AbstractEventLoop, Future
from functools import partial
from typing import Any

from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.caller.handed_call import LOOK_SECONDS, HandedConnection, Place
from catena.dispatch.caller.line import Line, Turn, line_of
from catena.dispatch.caller.thread_loop import waiting_loop
from catena.dispatch.caller.timeouts import Bounds
from catena.dispatch.declaration import Declaration
from catena.dispatch.dispatcher import Dispatcher
from catena.dispatch.holding import Loan
from catena.dispatch.open_pools import NOT_RUNNING, Finder, describe_unreachable
from catena.dispatch.posting import post
from catena.errors import NoPool
from catena.events import announced
from catena.security.credentials import scope

TAKEN_SECONDS = 30.0
"""How long the pool's loop may take to begin with a call: something blocks it after that."""

_NOT_TAKEN = (
    "the event loop that the pool was opened on has not taken the call within"
    f" {TAKEN_SECONDS:g} s; something blocks it, perhaps by waiting for this very thread"
)


class HandOver:
    """The way to a pool from where its loop is not.

    ``through`` is the pool's own way, ``loop`` what is waited with here. The way under other
    credentials is found on the pool's loop.
    """

    def __init__(self, through: Dispatcher, loop: AbstractEventLoop) -> None:
        self.through = through
        self.loop = loop
        self.credentials = scope.get()

    async def reach_worker(
        self, routine: str, seconds: float | None = None, turn: Turn | None = None
    ) -> HandedConnection | None:
        """Return a connection for one call; None when that took so many seconds.

        A call that needs slots waits for its ``turn``; where no worker is left that might take
        it, LookupError is raised.

        Raises what reaching a worker raises there, and NoPool where the pool's loop does not run,
        or does not begin with it.
        """
        waiter = self.loop.create_future()
        asking = _Asking(self, routine, waiter, turn)
        if not (self.through.loop.is_running() and post(self.through.loop, asking.begin)):
            raise announced(NoPool(routine=routine, reason=NOT_RUNNING))
        timers = [
            self.loop.call_later(TAKEN_SECONDS, asking.check_taken),
            self.loop.call_later(LOOK_SECONDS, lambda: asking.look(timers)),
        ]
        if seconds is not None:
            timers.append(self.loop.call_later(seconds, _resolve, waiter, None))
        found: Any = None
        try:
            found = await waiter
        finally:
            for timer in timers:
                timer.cancel()
            if type(found) is not Place:
                post(self.through.loop, asking.give_up)
        if isinstance(found, str):
            raise announced(NoPool(routine=routine, reason=found))
        if isinstance(found, BaseException):
            raise found
        return None if found is None else HandedConnection(found, self.loop)


class _Asking:
    """Asks the pool's loop for a place, and answers the future that waits for it elsewhere."""

    def __init__(self, way: HandOver, routine: str, waiter: Future[Any], turn: Turn | None) -> None:
        self._through = way.through
        self._back = way.loop
        self._routine = routine
        self._waiter = waiter
        self._turn = turn
        self._credentials = way.credentials
        self._taken = False
        self._place: Place | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Find a place, on the pool's loop: at once, or in a task where one has to wait."""
        self._taken = True
        if self._waiter.done():
            return
        if self._credentials is not None:
            self._through = self._through.under(self._credentials)
        connection: WorkerConnection | None = None
        if self._turn is None:
            connection = self._through.pick_connection()
            if connection is not None and not connection.link.congested:
                self._answer(connection)
                return
        loop, nobodys = self._through.loop, contextvars.Context()
        self._task = loop.create_task(self._reach(connection), context=nobodys)

    async def _reach(self, connection: WorkerConnection | None) -> None:
        try:
            if self._turn is not None:
                reached = await _await_turn(self._through, self._turn)
            else:
                reached = connection or await self._through.reach_worker(self._routine)
            await reached.link.wait_drained()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            post(self._back, _resolve, self._waiter, error.with_traceback(None))
        else:
            self._answer(reached)

    def _answer(self, connection: WorkerConnection) -> None:
        self._place = Place(connection, self._turn and partial(self._pass_on, connection))
        if not post(self._back, _resolve, self._waiter, self._place):
            self._place.give_back()

    def _pass_on(self, connection: WorkerConnection) -> None:
        if self._turn is not None:
            line_of(self._through).pass_on(connection, self._turn)

    def give_up(self) -> None:
        """Look no further, on the pool's loop: nobody waits any more."""
        if self._task is not None:
            self._task.cancel()
        if self._place is not None:
            self._place.give_back()

    def check_taken(self) -> None:
        """Have the wait fail when the pool's loop has not even begun."""
        if not self._taken:
            _resolve(self._waiter, _NOT_TAKEN)

    def look(self, timers: list[asyncio.TimerHandle]) -> None:
        """Have the wait fail when the pool's loop has ended; look again later otherwise."""
        if not self._through.loop.is_running():
            _resolve(self._waiter, NOT_RUNNING)
        else:
            timers.append(self._back.call_later(LOOK_SECONDS, lambda: self.look(timers)))


def _resolve(waiter: Future[Any], value: object) -> None:
    if not waiter.done():
        waiter.set_result(value)


async def _await_turn(through: Dispatcher, turn: Turn) -> WorkerConnection:
    """Wait for a call's turn, on the pool's loop. Raises LookupError where no worker is left."""
    line = line_of(through)
    line.number_turn(turn)
    found = await line.await_turn(through, turn)
    if found is None:
        raise LookupError(turn.declared.name)
    return found


class HandedLine:
    """The line of a pool, for calls that are made where its loop is not; it does as a `Line`."""

    def __init__(self, through: Dispatcher) -> None:
        self._through = through
        self._credentials = scope.get()

    def begin_turn(self, declared: Declaration, bounds: Bounds | None, loan: Loan | None) -> Turn:
        """Return the place of a call that is made now; it gets its number on the pool's loop."""
        return Turn(declared, bounds, loan, -1)

    async def await_turn(self, through: Dispatcher, turn: Turn) -> WorkerConnection | None:
        """Return the connection that a call may be sent on, None when no worker is left."""
        try:
            return await reach_elsewhere(turn.declared, through, turn.bounds, turn)
        except LookupError:
            return None

    def pass_on(self, connection: WorkerConnection, turn: Turn) -> None:
        """Give away the offer that a call has not used, if it had one."""
        self._post("pass_on", connection, turn)

    def note_full(self, turn: Turn, connection: WorkerConnection, text: str) -> None:
        """Note that a worker has refused a call for want of slots; it offers them later."""
        self._post("note_full", turn, connection, text)

    def _post(self, name: str, *args: Any) -> None:
        there = [one.real if isinstance(one, HandedConnection) else one for one in args]
        post(self._through.loop, lambda: getattr(self._find_line(), name)(*there))

    def _find_line(self) -> Line:
        """Return the line that the calls are in, on the pool's loop."""
        way, credentials = self._through, self._credentials
        return line_of(way if credentials is None else way.under(credentials))


async def reach_elsewhere(
    declared: Declaration,
    through: Dispatcher | None,
    bounds: Bounds | None,
    turn: Turn | None = None,
) -> WorkerConnection:
    """Return a connection for one call from here to a pool whose loop is another one.

    Raises NoPool, also where there is nothing to go through; TimeoutError, DispatchTimeout, and
    what reaching a worker raises.
    """
    if through is None:
        raise no_pool(declared, describe_unreachable())
    seconds, is_last = (None, True) if bounds is None else bounds.seconds_to_reach()
    through.check_process(declared.name)
    here = waiting_loop()
    if here is None:
        reason = "no event loop runs here that could wait for it; write `.blocking(...)`"
        raise no_pool(declared, reason)
    reached = await HandOver(through, here).reach_worker(declared.name, seconds, turn)
    if reached is not None:
        return reached
    if bounds is None or is_last:
        raise declared.out_of_time()
    raise bounds.not_accepted("")


def find_way(declared: Declaration, find: Finder) -> Dispatcher:
    """Return the way that a call goes. Raises NoPool where none is found."""
    through = find()
    if through is None:
        raise no_pool(declared, describe_unreachable())
    return through


def no_pool(declared: Declaration, reason: str = "") -> NoPool:
    """Return the error of a routine that cannot be called here, announced."""
    return announced(NoPool(routine=declared.name, reason=reason))
