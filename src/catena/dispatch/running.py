"""A routine at work: mount the chain, open the arguments, run the body, answer.

The order is the point: values are mounted in the right Context before anything is unpickled, and
the chain is captured while the result is still alive.

What a routine raises, and what telling of it raises, never leaves the task of its call: ``failed``
answers with a plain frame where the exception resists, and ``fall`` ends the call for whatever else
is raised around it.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from catena.context.capture import Baseline, capture_answer, untouched
from catena.context.chain import Chain
from catena.context.mount import mount_named, unmount
from catena.context.prepared import Prepared
from catena.dispatch.contexts import Contexts
from catena.dispatch.declaration import Declaration
from catena.dispatch.observing import Watched
from catena.dispatch.values import Wire, append_context, opened, written
from catena.errors import ChainSerializationError, RemoteError, SerializationError
from catena.escape import printable
from catena.events import Execution, KeysUndeclared, Lease, Unmounted, refused, unhandled
from catena.wire import failure
from catena.wire.frames import ExceptionFrame, Nack, NackCode, Next, Result, Send, Throw
from catena.wording import TEXT_LIMIT, full_name, reason, text_of

if TYPE_CHECKING:
    from catena.dispatch.session import Session

__all__ = ["Admitted", "Running", "RunningCall", "arguments", "failed", "fall", "plain"]

_log = logging.getLogger("catena")


class Admitted(NamedTuple):
    """What an accepted call runs, and where: the Contexts of its pool and what it builds on."""

    declared: Declaration
    contexts: Contexts
    base: Prepared


class Running(Protocol):
    """What a session runs: a coroutine to its end, or a generator step by step."""

    idle: bool

    def drive(self, frame: Next | Send | Throw, /) -> None:
        """Go on to the next yield."""
        ...

    def cancel(self, message: str | None = None, *, idle: bool) -> None:
        """Cancel what runs now, or close what is suspended."""
        ...


class RunningCall:
    """Runs a coroutine routine in one task."""

    __slots__ = ("_started", "_task")

    idle = False

    def __init__(self, session: Session, admitted: Admitted, frame: Next | Send | Throw) -> None:
        self._started = False
        # Not through the loop's task factory: nothing is forked here, the chain is about to come.
        self._task: asyncio.Task[None] = asyncio.Task(
            self._run(session, admitted, frame),
            loop=session.sessions.link.loop,
            context=admitted.base.context.copy(),
        )

    def drive(self, frame: Next | Send | Throw) -> None:
        """A coroutine is driven once, when it starts: the grammar knows no other drive."""

    def cancel(self, message: str | None = None, *, idle: bool) -> None:
        """Cancel the routine's task."""
        # A task that has not started is not cancelled but told, because it would never answer.
        if self._started:
            self._task.cancel(message)

    async def _run(self, session: Session, admitted: Admitted, frame: Next | Send | Throw) -> None:
        self._started = True
        declared, contexts, base = admitted
        task = session.task
        baseline: Baseline | None = None
        mounted: Chain | None = None
        same = False
        watched: Watched | None = None
        ended: BaseException | None = None
        try:
            gate = session.sessions.link.gate
            if monotonic() > gate.fresh:
                # The loop was held up: a Cancel may lie in the socket.
                await gate.passed()
            if session.cancelled:
                raise session.cancellation()  # noqa: TRY301 - answered like the routine's own
            if Execution.listeners or Lease.listeners:
                watched = Watched(session, declared.name, contexts, frame)
            if frame.manifest is not None:
                mounted = mount_named(frame.manifest, contexts.values, base, self._task)
                baseline = (
                    contexts.enter_told(frame.manifest, base, self._task)
                    if mounted is None
                    else base.baseline_of(mounted)
                )
            args, kwargs = arguments(task.payload, declared)
            value = await declared.function(*args, **kwargs)
            payload = written(value, "the result", declared.name)
            manifest, whole = None, session.sessions.whole
            same = untouched(mounted, contexts.values, whole=whole)
            if not same:
                manifest, _ = capture_answer(contexts.values, baseline, whole=whole)
            answer = Result(task.call, payload, manifest, False, session.cancelled)
        except BaseException as error:
            answer = failed(error, session, declared, contexts.values, baseline)
            ended = error if watched is not None else None
        try:
            if watched is not None:
                watched.reply(session, answer, ended)
            else:
                _let_go(mounted, same=same)
                session.reply(answer)
        except BaseException as error:
            # The caller waits, and nobody else would see it.
            fall(session, error)
        # Frames of its cause refer to this one.
        ended = None


def _let_go(mounted: Chain | None, *, same: bool) -> None:
    """Take out the chain of a call that nobody watches; ``same`` says that it is ``mounted``."""
    if not same or KeysUndeclared.listeners or Unmounted.listeners:
        unmount()
    elif mounted is not None:
        # As unmount does it when nobody listens.
        mounted.home.proof = None


def arguments(payload: bytes, declared: Declaration) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call. Raises SerializationError."""
    found = opened(payload, "the arguments", declared.name)
    # Not narrowed: what is in the tuple is known to nobody.
    kind: object = type(found)  # pyright: ignore[reportUnknownVariableType]
    if kind is tuple and len(found) == 2 and type(found[0]) is tuple and type(found[1]) is dict:
        return found
    cause = f"they are a {type(found).__name__}, not (args, kwargs)"
    raise refused(
        SerializationError(what="the arguments", routine=declared.name, cause=cause, doing="read")
    )


def failed(
    error: BaseException,
    session: Session,
    declared: Declaration,
    values: Wire,
    baseline: Baseline | None,
) -> ExceptionFrame:
    """Return the frame that carries an exception, with the chain as it was left.

    A chain that cannot be captured never replaces the exception: it is appended to its context.
    Where the exception resists, a plain frame says what it was.
    """
    sessions, manifest = session.sessions, None
    try:
        unhandled(error, declared.name, session.task.call, at_caller=False)
        # First the payload: a token that it holds is on its way, and the manifest has to say so.
        payload = failure.dump(error, worker=sessions.worker, routine=declared.name)
        try:
            manifest, _ = capture_answer(values, baseline, whole=sessions.whole)
        except Exception as unreadable:
            if not issubclass(type(error), ChainSerializationError):
                append_context(error, unreadable)
                payload = failure.dump(error, worker=sessions.worker, routine=declared.name)
        answer = ExceptionFrame(session.task.call, payload, manifest)
    except BaseException as raised:
        # Whatever it is, the caller waits for a last frame.
        answer = plain(session, error, f"telling of its end raised {reason(raised)}")
    # Frames of the traceback keep what the routine held; it has been written down. Past the class,
    # which may have attributes of these names, and refuse that they are set.
    BaseException.with_traceback(error, None)
    return answer


def fall(session: Session, error: BaseException) -> None:
    """End a call for what was raised where nobody reckoned with it: the worker's outer net.

    Whatever it is, SystemExit as well, it goes no further than here, and a last frame leaves.
    """
    why, name = reason(error), session.sessions.name_of(session.task)
    _log.error("call %d of routine %s could not go on: %s", session.call, name, printable(why))
    if session.allows("exception"):
        session.reply(plain(session, error, "it was raised outside of the routine"))
    elif session.allows("nack"):
        text = printable(why, TEXT_LIMIT)
        session.decline(Nack(session.call, NackCode.UNLOADABLE, text))


def plain(session: Session, error: BaseException, step: str) -> ExceptionFrame:
    """Return a frame that says what an exception was, made without any code of its own.

    ``step`` tells why it did not go itself. The chain stays behind.
    """
    told = RemoteError(type_name=full_name(error), message=text_of(error), step=step)
    sessions, task = session.sessions, session.task
    data = failure.dump(told, worker=sessions.worker, routine=sessions.name_of(task))
    return ExceptionFrame(task.call, data)
