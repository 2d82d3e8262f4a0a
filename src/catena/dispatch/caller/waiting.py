"""How a caller waits for an answer, and what it does when it is cancelled meanwhile.

Every wait ends: a frame comes, or the link ends and reports it, or the timers of a bounded call
fire, or the caller is cancelled. In the last case the routine is cancelled, too, and the caller
waits for its answer, at most the grace. The routine's exception, or an answer that it gave in spite
of the Cancel, is returned as from a local await. An answer that was sent before the Cancel arrived
is mounted, and the cancellation goes on.
"""

from __future__ import annotations

import asyncio
from copy import copy
from time import monotonic

from catena.dispatch.caller.answers import apply_answer, mount_late
from catena.dispatch.caller.call import Call
from catena.dispatch.caller.thread_loop import pause
from catena.wire.frames import ExceptionFrame, Frame, Nack, Result
from catena.wording import TEXT_LIMIT

_PROMPT = 0.1
"""Seconds that a caller who is cancelled once more still waits for a last frame on its way."""


async def await_answer(call: Call) -> Frame:
    """Wait for the frame that answers the last drive, and return it.

    When the caller is cancelled meanwhile, the routine is cancelled and its last answer awaited.
    Raises what ``frame_or_raise`` raises.
    """
    try:
        frame = await call.waiter
    except asyncio.CancelledError as cancelled:
        frame = await await_after_cancel(call, cancelled)
    return frame_or_raise(call, frame)


def frame_or_raise(call: Call, frame: Frame | None) -> Frame:
    """Return the frame, or raise why there is none that counts.

    WorkerLost when the link ended, ProtocolError when the peer broke the grammar, and what a
    bounded call raises when its time is up.
    """
    if call.refusal is not None:
        call.operation = None
        # Another one each time: what was raised refers to frames, and they to this call.
        raise copy(call.refusal)
    if call.verdict is not None:
        return _raise_verdict(call, frame)
    if frame is None:
        call.operation = None
        raise call.worker_lost()
    return frame


async def await_after_cancel(call: Call, cancelled: asyncio.CancelledError) -> Frame | None:
    """Cancel the routine because its caller was cancelled, and return its answer to that.

    Raises the cancellation when there is none in time; an answer that comes in spite of a second
    cancellation is mounted, and that one raised.
    """
    deadline = None if call.bounds is None else call.bounds.deadline
    call.stop_timers()
    call.verdict = None
    text, again = _text_of(cancelled), None
    try:
        if call.waiter.cancelled():
            call.waiter = call.connection.link.loop.create_future()
            call.cancel(text)
            again = await _await_grace(call, cancelled)
        last = call.waiter.result() if call.waiter.done() else None
        if type(last) is ExceptionFrame:
            _raise_own(call, last, text, cancelled, deadline)
            return last
        if type(last) is Result and last.after_cancel and again is None:
            return last
        if call.refusal is not None:
            raise copy(call.refusal) from None
        if type(last) is Result:
            mount_late(call, last)
            # A stream whose answer was here already was not cancelled, and nobody drives it.
            call.cancel(text)
        call.operation = None
        raise again or cancelled
    finally:
        # What is raised here refers to this frame: were it in there, that would be a circle.
        del cancelled, again


def _raise_verdict(call: Call, frame: Frame | None) -> Nack:
    """Raise what the timers decided, with the last frame mounted; a Nack in time is returned."""
    call.stop_timers()
    if type(frame) is Nack and call.verdict == "not accepted":
        return frame
    if type(frame) is ExceptionFrame:
        _raise_late(call, frame)
    elif type(frame) is Result:
        # Whether it crossed the Cancel or came in spite of it, it is too late.
        mount_late(call, frame)
        call.cancel()
    call.operation = None
    raise _verdict_error(call)


def _raise_late(call: Call, frame: ExceptionFrame) -> None:
    """Mount a last frame and raise: what it brings, or the verdict where that only echoes."""
    try:
        apply_answer(call, frame)
    except asyncio.CancelledError as ended:
        raise _verdict_error(call) from ended
    except BaseException as ended:
        if call.verdict == "late":
            raise
        raise _verdict_error(call) from ended


def _verdict_error(call: Call) -> TimeoutError:
    """Return the error of the verdict, made where it is raised: it refers to frames of the call."""
    if call.bounds is None or call.verdict == "late":
        return call.declared.out_of_time()
    return call.bounds.not_accepted(call.connection.worker)


async def _await_grace(
    call: Call, cancelled: asyncio.CancelledError
) -> asyncio.CancelledError | None:
    """Wait for the answer, at most the grace; return a second cancellation if one came.

    One with the same message is the first one repeated, as scopes of anyio do at every turn of the
    loop, and changes nothing. Any other leaves time only for an answer on its way.
    """
    loop, again = call.connection.link.loop, None
    until = loop.time() + call.declared.cancel_grace
    while not call.waiter.done() and (left := until - loop.time()) > 0:
        try:
            await pause(left, call.waiter)
        except asyncio.CancelledError as second:
            if not second.args or second.args != cancelled.args:
                again = second.with_traceback(None)
                until = min(until, loop.time() + _PROMPT)
    return again


def _raise_own(
    call: Call,
    frame: ExceptionFrame,
    text: str | None,
    cancelled: asyncio.CancelledError,
    deadline: float | None,
) -> None:
    """Apply an answer here where it means the cancellation that the caller knows already.

    That is where the message had to become text on its way, so the object that it was here comes
    back; and where the worker's own timer may have been first, so that its answer crossed the
    Cancel: the cancellation came from outside, and outdoes every timer.
    """
    sent = () if text is None else (text,)
    late = deadline is not None and monotonic() >= deadline
    if cancelled.args == sent and not late:
        return
    try:
        apply_answer(call, frame)
    except asyncio.CancelledError as ended:
        if ended.args == sent:
            ended.args = cancelled.args
        raise
    except TimeoutError as ended:
        if late:
            raise cancelled from ended
        raise
    finally:
        del cancelled


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
