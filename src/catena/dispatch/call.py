"""One dispatch, from the caller's arguments to the worker's first answer, and on to the result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from catena.context.current import running_loop
from catena.context.runtime import options
from catena.dispatch.attempt import Call
from catena.dispatch.caller import Caller
from catena.dispatch.deadline import Bounds, bounds_of
from catena.dispatch.declaration import Declaration, dump_arguments
from catena.dispatch.observing import sent, taken
from catena.dispatch.port import Dispatcher, dispatcher
from catena.dispatch.values import take
from catena.errors import Busy, NoPool, SerializationError, WorkerLost
from catena.escape import printable
from catena.events import Dispatch, refused
from catena.observe import NO_CARRIER, SILENCE, Carrier
from catena.wire.frames import Frame, Nack, NackCode
from catena.wording import TEXT_LIMIT

__all__ = ["ELSEWHERE", "Dispatching", "dispatching", "no_pool", "open_call"]

Dispatching = Callable[[tuple[Any, ...], dict[str, Any]], Coroutine[Any, Any, Any]]
"""Runs a routine on a worker, with its positional and its named arguments."""

ELSEWHERE = (
    "the pool that is open here belongs to another event loop, and takes calls on that loop alone"
    " (asyncio.run_coroutine_threadsafe makes one there)"
)
"""Why a call is refused that would cross from one event loop to another, or between threads."""

_ATTEMPTS = 64
_NOBODY: Mapping[str, str] = {}


def dispatching(declared: Declaration) -> Dispatching:
    """Return the coroutine function that runs a routine on a worker and returns its result.

    It raises what the routine raises, and NoPool, Busy, SerializationError, WorkerLost,
    ChainContention, ProtocolError; TimeoutError and DispatchTimeout where the call is bounded.
    """
    apart = _apart(declared)

    async def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # What the routine raises is raised again from here: pytest and IPython leave such frames
        # out, as they do wherever this name is set.
        __tracebackhide__ = True
        if options.get() is not None:
            return await apart(args, kwargs)
        if Dispatch.listeners:
            return await _told(Dispatch(declared.name, stream=False), declared, args, kwargs)
        payload = dump_arguments(declared, args, kwargs)
        caller = _through(declared).pick()
        if caller is None or caller.link.congested:
            opened, frame = await _opened(declared, payload, caller)
        else:
            # As _opened does it, without coroutines in between: this is where all calls pass.
            opened = caller.open(declared, payload)
            try:
                frame = await opened.waiter
            except asyncio.CancelledError as cancelled:
                frame = await opened.last_word(cancelled)
            if frame is None or type(frame) is Nack:
                opened, frame = await _again(declared, payload, opened, frame)
        return take(frame, declared.name, opened.caller.values, opened.baseline)[0]

    return call if declared.timeout is declared.dispatch_timeout is None else apart


def _apart(declared: Declaration) -> Dispatching:
    """Return what ``dispatching`` does for calls that may have bounds."""

    async def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        __tracebackhide__ = True
        observed = Dispatch(declared.name, stream=False) if Dispatch.listeners else None
        with observed or SILENCE:
            payload = dump_arguments(declared, args, kwargs)
            opened, frame = await open_call(declared, payload, observed)
            return taken(observed, frame, opened, opened.baseline)[0]

    return call


async def open_call(
    declared: Declaration, payload: bytes, observed: Dispatch | None = None
) -> tuple[Call, Frame]:
    """Open a call on some worker and return it with its first answer.

    A worker that refuses before the call began is passed over for another one. What is ``observed``
    is told of each attempt. Raises TimeoutError
    and DispatchTimeout when the call's bounds are over.
    """
    bounds = bounds_of(declared)
    carrier = (observed and observed.carrier) or NO_CARRIER
    caller = _through(declared).pick()
    return await _opened(declared, payload, caller, carrier, bounds, observed=observed)


async def _told(
    observed: Dispatch, declared: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run a call that somebody listens to, and that has no bounds; most are only counted."""
    __tracebackhide__ = True
    counter = Dispatch.counter
    if counter is None:
        told, end = observed.__enter__(), observed.finish
    else:
        told = None if counter.begin(observed) else observed
        end = partial(counter.end, observed)
    try:
        payload = dump_arguments(declared, args, kwargs)
        carrier = observed.carrier or NO_CARRIER
        caller = _through(declared).pick()
        if caller is None or caller.link.congested:
            opened, frame = await _opened(declared, payload, caller, carrier, observed=told)
        else:
            opened = caller.open(declared, payload, carrier=carrier)
            if told is not None:
                sent(told, opened, payload)
            try:
                frame = await opened.waiter
            except asyncio.CancelledError as cancelled:
                frame = await opened.last_word(cancelled)
            if frame is None or type(frame) is Nack:
                opened, frame = await _again(declared, payload, opened, frame, carrier, told)
        if told is None:
            value, _ = take(frame, declared.name, opened.caller.values, opened.baseline)
        else:
            value, _ = taken(told, frame, opened, opened.baseline)
    except BaseException as error:
        end(error)
        raise
    end(None)
    return value


async def _again(
    declared: Declaration,
    payload: bytes,
    call: Call,
    frame: Frame | None,
    carrier: Carrier = NO_CARRIER,
    observed: Dispatch | None = None,
) -> tuple[Call, Frame]:
    """Open a call anew that a worker has refused. Raises what tells that there was no answer."""
    busy = _refusal(call, call.checked(frame))
    caller = _through(declared).pick()
    return await _opened(declared, payload, caller, carrier, busy=busy, observed=observed)


async def _opened(  # noqa: PLR0913 - what it may know of a call
    declared: Declaration,
    payload: bytes,
    caller: Caller | None,
    carrier: Carrier = NO_CARRIER,
    bounds: Bounds | None = None,
    *,
    busy: Mapping[str, str] = _NOBODY,
    observed: Dispatch | None = None,
) -> tuple[Call, Frame]:
    """Open a call, first on the worker that was picked; without one, on the next that answers.

    A worker that said that it is ``busy`` is not asked again.
    """
    for _ in range(_ATTEMPTS):
        caller = await _ready(declared, caller, bounds)
        # The link may have ended meanwhile; nothing was handed to it.
        if caller.usable and caller.worker not in busy:
            if bounds:
                call = bounds.open(caller, payload, carrier)
            else:
                call = caller.open(declared, payload, carrier=carrier)
            if observed is not None:
                sent(observed, call, payload)
            frame = await call.answer()
            if type(frame) is not Nack:
                return call, frame
            busy = {**busy, **_refusal(call, frame)}
        caller = _through(declared).pick()
    if busy:
        reason = list(busy.values())[-1]
        raise refused(Busy(routine=declared.name, worker=", ".join(busy), reason=reason))
    through = repr(_through(declared))
    cause = "every attempt was refused"
    raise refused(WorkerLost(worker=through, routine=declared.name, begun=False, cause=cause))


async def _ready(declared: Declaration, caller: Caller | None, bounds: Bounds | None) -> Caller:
    """Return a caller that takes frames: this one, or the next that answers."""
    if caller is not None and not caller.link.congested:
        return caller
    if bounds is not None:
        return await bounds.ready(_through(declared), caller)
    caller = caller or await _through(declared).reach(declared.name)
    if caller.link.congested:
        await caller.link.drained()
    return caller


def _through(declared: Declaration) -> Dispatcher:
    through = dispatcher.get()
    if through is None:
        raise no_pool(declared)
    if through.loop is not running_loop():
        through.check(declared.name)
        raise no_pool(declared, ELSEWHERE)
    return through


def no_pool(declared: Declaration, reason: str = "") -> NoPool:
    """Return the error of a routine that cannot be called here, announced."""
    return refused(NoPool(routine=declared.name, reason=reason))


def _refusal(call: Call, frame: Frame) -> Mapping[str, str]:
    """Take note of a refusal; return when another attempt makes sense.

    Returns the worker and what it told when it is busy.
    """
    if type(frame) is not Nack:
        return _NOBODY
    call.observed = None
    call.caller.nacked(call, frame)
    if frame.code is NackCode.UNLOADABLE:
        raise refused(
            SerializationError(
                what="the code",
                routine=call.declared.name,
                cause=printable(frame.text, TEXT_LIMIT),
                worker=call.caller.worker,
                doing="loaded",
            )
        )
    return {call.caller.worker: printable(frame.text)} if frame.code is NackCode.BUSY else _NOBODY
