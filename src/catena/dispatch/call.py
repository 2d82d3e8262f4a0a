"""One dispatch, from the caller's arguments to the worker's first answer, and on to the result."""

from __future__ import annotations

from typing import Any

from catena.dispatch.caller import Call, Caller
from catena.dispatch.declaration import Declaration, dump_arguments
from catena.dispatch.port import Dispatcher, dispatcher
from catena.dispatch.values import captured, take
from catena.errors import NoPool, SerializationError, WorkerLost
from catena.events import Dispatch, refused
from catena.wire.frames import Frame, Nack, NackCode

__all__ = ["dispatch", "open_call"]

_ATTEMPTS = 64


async def dispatch(declared: Declaration, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a routine on a worker and return its result, or raise what it raised.

    Raises NoPool, SerializationError, WorkerLost, ChainContention, ProtocolError.
    """
    if not Dispatch.listeners:
        _, frame = await open_call(declared, dump_arguments(declared, args, kwargs))
        return take(frame, declared.name)
    observed = Dispatch(declared.name, stream=False)
    with observed:
        payload = dump_arguments(declared, args, kwargs)
        call, frame = await open_call(declared, payload)
        observed.worker, observed.call = call.caller.worker, call.id
        return take(frame, declared.name)


async def open_call(declared: Declaration, payload: bytes) -> tuple[Call, Frame]:
    """Open a call on some worker and return it with its first answer.

    A worker that refuses before the call began is passed over for another one.
    """
    through = dispatcher.get()
    if through is None:
        raise refused(NoPool(routine=declared.name))
    for _ in range(_ATTEMPTS):
        caller = through.pick()
        if caller is None:
            caller = await through.reach(declared.name)
        if caller.link.congested:
            await caller.link.drained()
            if not caller.usable:
                # The link ended meanwhile; nothing was handed to it.
                continue
        call = caller.open(declared, payload, captured(to_worker=True))
        frame = await call.answer()
        if type(frame) is not Nack:
            return call, frame
        _refusal(caller, call, frame)
    raise refused(_nowhere(through, declared))


def _refusal(caller: Caller, call: Call, nack: Nack) -> None:
    """Take note of a refusal; return when another attempt makes sense."""
    caller.nacked(call, nack)
    if nack.code is NackCode.UNLOADABLE:
        raise refused(
            SerializationError(
                what="the code",
                routine=call.declared.name,
                cause=nack.text,
                worker=caller.worker,
                doing="loaded",
            )
        )


def _nowhere(through: Dispatcher, declared: Declaration) -> WorkerLost:
    return WorkerLost(
        worker=repr(through), routine=declared.name, begun=False, cause="every attempt was refused"
    )
