"""Answers at their caller: the chain is mounted first, then the payload is unpickled."""

from __future__ import annotations

from typing import Any

from catena.dispatch.answers import append_context, mount_frame
from catena.dispatch.caller.call import Call
from catena.dispatch.payloads import unpickle_payload
from catena.errors import ChainSerializationError, SerializationError
from catena.events import announce_unhandled_contention
from catena.events.bus import call_hook
from catena.remote_exceptions.pickled import unpickle_exception
from catena.transfer.baseline import Baseline
from catena.wire.frames import ExceptionFrame, Frame, Result


def apply_answer(call: Call, frame: Frame) -> Any:
    """Mount an answer in the caller's Context; return its value.

    Raises what the answer brings. A chain that cannot be read never replaces an exception: it is
    appended to its context; instead of a value it is raised, with the value as ``value``.
    """
    __tracebackhide__ = True
    leave = None if call.operation is None else _note_answer(call, frame)
    try:
        match frame:
            case Result():
                # Were the chain refused, the worker would count on what is not here: all is sent
                # anew then.
                baseline, call.baseline = call.baseline, None
                if frame.manifest is not None:
                    baseline = _mount_before_value(call, frame, baseline)
                value = unpickle_payload(frame.payload, "the result", call.declared.name)
                call.baseline = baseline
                return value
            case ExceptionFrame():
                error = _unpickle_exception(call, frame)
                try:
                    # Where it was raised on the worker is among its notes, as "Remote traceback".
                    # Past the class, which may have a method of this name.
                    raise BaseException.with_traceback(error, None)
                finally:
                    del error
            case _:
                raise TypeError(f"{frame!r} answers nothing")
    finally:
        if leave is not None:
            call_hook(leave)


def mount_late(call: Call, frame: Result) -> None:
    """Mount what an answer brings whose value comes too late."""
    leave = None if call.operation is None else _note_answer(call, frame)
    call.operation = None
    try:
        mount_frame(frame.manifest, call.connection.values, call.baseline, to_worker=False)
    finally:
        call_hook(leave)


def _mount_before_value(call: Call, frame: Result, baseline: Baseline | None) -> Baseline | None:
    try:
        return mount_frame(frame.manifest, call.connection.values, baseline, to_worker=False)
    except ChainSerializationError as error:
        error.value = unpickle_payload(frame.payload, "the result", call.declared.name)
        raise


def _unpickle_exception(call: Call, frame: ExceptionFrame) -> BaseException:
    """Return the exception that an answer brings, when its chain is mounted."""
    error: BaseException
    routine = call.declared.name
    try:
        error = unpickle_payload(frame.payload, "the exception", routine, unpickle_exception)
    except SerializationError as unread:
        error = unread
    try:
        mount_frame(frame.manifest, call.connection.values, call.baseline, to_worker=False)
    except ChainSerializationError as unreadable:
        append_context(error, unreadable)
    announce_unhandled_contention(error, routine, frame.call, at_caller=True)
    return error


def _note_answer(call: Call, frame: Frame) -> Any:
    """Note an answer in the call's operation; return the hook to call when it is mounted, or None.

    The call lets go of the operation with its last answer: they refer to each other.
    """
    operation = call.operation
    if operation is None or not isinstance(frame, Result | ExceptionFrame):
        return None
    operation.answer = frame.symbol
    operation.answers += 1
    if type(frame) is not Result or not frame.more:
        call.operation = None
    if operation.measured:
        operation.received_bytes += len(frame.payload)
    # Without a manifest nothing is mounted, and there is nothing to observe.
    return None if frame.manifest is None else call_hook(operation.enter)
