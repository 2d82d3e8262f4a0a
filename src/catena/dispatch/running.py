"""A routine at work: mount the chain, open the arguments, run the body, answer.

The order is the point: values are mounted in the right Context before anything is unpickled, and
the chain is captured while the result is still alive.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from catena.context.mount import Prepared, unmount
from catena.dispatch.contexts import Contexts
from catena.dispatch.declaration import Declaration
from catena.dispatch.values import captured, opened
from catena.errors import SerializationError
from catena.events import Execution, refused
from catena.wire import failure, serializer
from catena.wire.frames import ExceptionFrame, Next, Result, Send, Throw

if TYPE_CHECKING:
    from catena.dispatch.session import Session

__all__ = ["Running", "RunningCall", "arguments", "dumps_result", "failed"]


class Running(Protocol):
    """What a session runs: a coroutine to its end, or a generator step by step."""

    idle: bool

    def drive(self, frame: Next | Send | Throw, /) -> None:
        """Start, or go on to the next yield."""
        ...

    def cancel(self, *, idle: bool) -> None:
        """Cancel what runs now, or close what is suspended."""
        ...


class RunningCall:
    """Runs a coroutine routine in one task."""

    __slots__ = ("_contexts", "_declared", "_session", "_started", "_task", "_worker")

    idle = False

    def __init__(
        self, session: Session, declared: Declaration, worker: str, contexts: Contexts
    ) -> None:
        self._session = session
        self._declared = declared
        self._worker = worker
        self._contexts = contexts
        self._started = False
        self._task: asyncio.Task[None] | None = None

    def drive(self, frame: Next | Send | Throw) -> None:
        """Start the routine's task."""
        loop = self._session.sessions.link.loop
        context, known = self._contexts.fresh(frame.manifest)
        # Not through the loop's task factory: nothing is forked here, the chain is about to come.
        self._task = asyncio.Task(self._run(frame, known), loop=loop, context=context)

    def cancel(self, *, idle: bool) -> None:
        """Cancel the routine's task."""
        # A task that has not started is not cancelled but told, because it would never answer.
        if self._started and self._task is not None:
            self._task.cancel()

    async def _run(self, frame: Next | Send | Throw, known: Prepared | None) -> None:
        self._started = True
        session, declared = self._session, self._declared
        task = session.task
        try:
            if session.cancelled:
                raise asyncio.CancelledError  # noqa: TRY301 - answered like the routine's own
            self._contexts.enter(frame.manifest, known)
            args, kwargs = arguments(task.payload, declared)
            if Execution.listeners:
                with Execution(declared.name, stream=False, call=task.call):
                    value = await declared.function(*args, **kwargs)
            else:
                value = await declared.function(*args, **kwargs)
            payload = dumps_result(value, declared)
            manifest = captured(to_worker=False)
            answer = Result(task.call, payload, manifest, False, session.cancelled)
        except BaseException as error:
            answer = failed(error, task.call, declared, self._worker)
        unmount()
        session.reply(answer)


def arguments(payload: bytes, declared: Declaration) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call. Raises SerializationError."""
    return opened(payload, "the arguments", declared.name)


def dumps_result(value: Any, declared: Declaration) -> bytes:
    """Return a result as bytes. Raises SerializationError that names the routine."""
    try:
        return serializer.dumps(value)
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise refused(
            SerializationError(what="the result", routine=declared.name, cause=cause)
        ) from error


def failed(error: BaseException, call: int, declared: Declaration, worker: str) -> ExceptionFrame:
    """Return the frame that carries an exception, with the chain as it was left."""
    try:
        manifest = captured(to_worker=False)
    except Exception as unreadable:
        manifest = None
        error.add_note(f"(its chain could not be captured: {unreadable})")
    payload = failure.dump(error, worker=worker, routine=declared.name)
    # Frames of the traceback keep what the routine held; it has been written down.
    error.__traceback__ = None
    return ExceptionFrame(call, payload, manifest)
