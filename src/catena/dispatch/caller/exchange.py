"""One call, from the caller's arguments to a worker's answer, with its limits and observers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from catena.context.ownership import running_loop
from catena.dispatch.caller.answers import apply_answer
from catena.dispatch.caller.call import Call
from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.caller.hand_over import HandedLine, find_way, reach_elsewhere
from catena.dispatch.caller.line import Turn, line_of
from catena.dispatch.caller.retries import Losses, furthest, wait_to_retry
from catena.dispatch.caller.timeouts import Bounds, bounds_of
from catena.dispatch.caller.waiting import await_after_cancel, await_answer, frame_or_raise
from catena.dispatch.declaration import Declaration, dump_arguments
from catena.dispatch.dispatcher import Dispatcher
from catena.dispatch.holding import Loan, holding, open_loan
from catena.dispatch.open_pools import Finder, find_dispatcher
from catena.errors import Busy, CatenaError, SerializationError, WorkerLost
from catena.escape import printable
from catena.events import Dispatch, announced
from catena.events.carrier import relayed
from catena.link_errors import refusal_from
from catena.wire.frames import Frame, Nack, NackCode
from catena.wording import TEXT_LIMIT

Dispatching = Callable[[tuple[Any, ...], dict[str, Any]], Coroutine[Any, Any, Any]]
"""Runs a routine on a worker, with its positional and its named arguments."""

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""The positional and the named arguments of a call."""

_ATTEMPTS = 64


def make_dispatch(declared: Declaration, find: Finder = find_dispatcher) -> Dispatching:
    """Return the coroutine function that runs a routine on a worker and returns its result.

    It goes the way that is found where it is called, by default that which is bound. It raises what
    the routine raises, and NoPool, NoFittingWorker, Busy, PeerRefused, SerializationError,
    WorkerLost, ChainContention, ProtocolError; TimeoutError and DispatchTimeout where the call is
    bounded.
    """

    async def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # What the routine raises is raised again from here: pytest and IPython leave such frames
        # out, as they do wherever this name is set.
        __tracebackhide__ = True
        operation = begin_dispatch(declared) if Dispatch.observers else None
        try:
            if declared.slots or holding.get() is not None:
                answered, frame = await send_with_slots(declared, (args, kwargs), operation, find)
            else:
                answered, frame = await send_call(declared, (args, kwargs), operation, find)
            value = apply_answer(answered, frame)
        except BaseException as error:
            if operation is not None:
                operation.end(error)
            raise
        if operation is not None:
            operation.end()
        return value

    return call


def begin_dispatch(declared: Declaration) -> Dispatch:
    """Return the operation of a call that begins now."""
    operation = Dispatch(declared.name, declared.stream)
    operation.carrier = relayed.get()
    operation.begin()
    return operation


async def send_with_slots(
    declared: Declaration,
    arguments: Arguments,
    operation: Dispatch | None,
    find: Finder = find_dispatcher,
) -> tuple[Call, Frame]:
    """Send a call that needs slots, or is made by one that has some, which are lent meanwhile.

    Raises what ``send_call`` does, and CancelledError in a routine that was cancelled.
    """
    loan = open_loan()
    try:
        if declared.slots:
            return await _send_in_turn(declared, arguments, operation, find, loan)
        return await send_call(declared, arguments, operation, find, loan)
    finally:
        if loan is not None:
            loan.take_back()


async def _send_in_turn(
    declared: Declaration,
    arguments: Arguments,
    operation: Dispatch | None,
    find: Finder,
    loan: Loan | None,
) -> tuple[Call, Frame]:
    """Send a call that needs slots when its turn has come; return it with its first answer."""
    bounds = bounds_of(declared)
    turn: Turn | None = None
    losses: Losses = []
    for _ in range(_ATTEMPTS):
        through = find_way(declared, find)
        line = line_of(through) if through.loop is running_loop() else HandedLine(through)
        turn = turn or line.begin_turn(declared, bounds, loan)
        connection = await line.await_turn(through, turn)
        if connection is None:
            break
        try:
            payload = dump_arguments(declared, *arguments)
            call = connection.open_call(declared, payload, operation, bounds, offered=turn.offered)
        except BaseException:
            line.pass_on(connection, turn)
            raise
        call.loan = loan
        try:
            frame = await await_answer(call)
        except WorkerLost as lost:
            turn.offered = False
            if await wait_to_retry(declared, bounds, losses, lost):
                continue
            raise
        if type(frame) is not Nack:
            return call, frame
        if frame.slots:
            line.note_full(turn, connection, frame.text)
        else:
            line.pass_on(connection, turn)
        _note_refusal(call, frame, turn.busy)
    raise _all_refused(declared, {} if turn is None else turn.busy, find, losses)


async def send_call(
    declared: Declaration,
    arguments: Arguments,
    operation: Dispatch | None,
    find: Finder = find_dispatcher,
    loan: Loan | None = None,
) -> tuple[Call, Frame]:
    """Send a call to a worker and return it with its first answer.

    Its arguments are pickled when there is a worker that takes frames: at once, in most cases, and
    never while the call waits, so that calls that wait take no memory for bytes.
    A worker that refuses before the call began is passed over for another one, and one that said
    that it is busy is not asked again. Where the routine has a Retry, a call whose worker is lost
    is made again, from the chain as it is then. The ``loan`` is lent as soon as the call has begun.
    Raises the error of a call that has no answer, among them TimeoutError and DispatchTimeout when
    the call's bounds are over.
    """
    bounds = bounds_of(declared)
    busy: dict[str, str] = {}
    losses: Losses = []
    payload = b""
    for _ in range(_ATTEMPTS):
        through = find()
        connection: WorkerConnection | None
        try:
            if through is None or through.loop is not running_loop():
                connection = await reach_elsewhere(declared, through, bounds)
            elif (connection := through.pick_connection()) is None or connection.link.congested:
                connection = await _reach_worker(through, connection, declared, bounds)
            if connection.worker in busy or not connection.link.up:
                # Nothing is handed to a link that has ended meanwhile.
                continue
            payload = payload or dump_arguments(declared, *arguments)
            call = connection.open_call(declared, payload, operation, bounds)
            call.loan = loan
            try:
                frame = await call.waiter
            except asyncio.CancelledError as cancelled:
                frame = await await_after_cancel(call, cancelled)
            if frame is None or call.verdict is not None:
                frame = frame_or_raise(call, frame)
        except WorkerLost as lost:
            if await wait_to_retry(declared, bounds, losses, lost):
                continue
            raise
        if type(frame) is not Nack:
            return call, frame
        _note_refusal(call, frame, busy)
    raise _all_refused(declared, busy, find, losses)


async def _reach_worker(
    through: Dispatcher,
    connection: WorkerConnection | None,
    declared: Declaration,
    bounds: Bounds | None,
) -> WorkerConnection:
    """Return a connection that takes frames: this one, or the next that answers.

    Nothing has been sent, so there is nothing to wait for when the time is up. Raises TimeoutError,
    DispatchTimeout, and what reaching a worker raises.
    """
    seconds, is_last = (None, True) if bounds is None else bounds.seconds_to_reach()
    # First what a forked child raises, where there may be no running loop to keep time.
    found = connection or through.reach_worker(declared.name)
    worker = "" if connection is None else connection.worker
    waiting = asyncio.timeout(seconds)
    try:
        async with waiting:
            reached = found if isinstance(found, WorkerConnection) else await found
            worker = reached.worker
            await reached.link.wait_drained()
            return reached
    except TimeoutError:
        if bounds is None or not waiting.expired():
            raise
    if is_last:
        raise declared.out_of_time()
    raise bounds.not_accepted(worker)


def _note_refusal(call: Call, frame: Nack, busy: dict[str, str]) -> None:
    """Note a worker's refusal; raise it where another worker would refuse as well."""
    call.operation = None
    call.connection.note_nack(call, frame)
    if frame.code is NackCode.UNLOADABLE:
        raise announced(
            SerializationError(
                what="the code",
                routine=call.declared.name,
                cause=printable(frame.text, TEXT_LIMIT),
                worker=call.connection.worker,
                doing="loaded",
            )
        )
    if frame.code is NackCode.FORBIDDEN:
        raise announced(
            refusal_from(frame.text, call.connection.link.name), by=call.connection.worker
        )
    if frame.code is NackCode.BUSY and not frame.slots:
        busy[call.connection.worker] = printable(frame.text)


def _all_refused(
    declared: Declaration, busy: dict[str, str], find: Finder, losses: Losses
) -> CatenaError:
    """Return the error of a call that no worker took, at least not in its last attempt."""
    reason = list(busy.values())[-1] if busy else "every attempt was refused"
    if busy and not losses:
        return announced(Busy(routine=declared.name, worker=", ".join(busy), reason=reason))
    worker = ", ".join(busy) or repr(find())
    lost = WorkerLost(worker=worker, routine=declared.name, begun=furthest(losses), cause=reason)
    lost.attempts = len(losses) + 1
    return announced(lost)
