"""A coroutine routine at work: mount the chain, unpickle the arguments, run the body, answer.

The order is the point: values are mounted in the right Context before anything is unpickled, and
the chain is captured while the result is still alive.

An exception of the routine, or one that is raised while that is pickled, never leaves the task of
the call: ``answer_exception`` answers with a plain frame where the exception cannot be pickled, and
``end_in_net`` ends the call when anything else is raised.
"""

from __future__ import annotations

import asyncio
from time import monotonic, perf_counter_ns
from typing import Any

from catena.dispatch.answers import append_context
from catena.dispatch.declaration import Declaration
from catena.dispatch.holding import holding
from catena.dispatch.payloads import pickle_payload, unpickle_payload
from catena.dispatch.worker.deadline import TimeLeft
from catena.dispatch.worker.observation import ExecutionObservation
from catena.dispatch.worker.session import AcceptedCall, Session, end_in_net, plain_exception
from catena.errors import ChainSerializationError, SerializationError
from catena.events import Execution, Lease, announce_unhandled_contention, announced
from catena.remote_exceptions.pickled import pickle_exception
from catena.transfer.baseline import Baseline
from catena.transfer.capture import capture_answer
from catena.transfer.manifest import Values
from catena.transfer.mount import unmount
from catena.wire.frames import Drive, ExceptionFrame, Result
from catena.wording import reason


class RunningCall:
    """Runs a coroutine routine in one task."""

    __slots__ = ("_started", "_task")

    idle = False

    def __init__(
        self, session: Session, accepted: AcceptedCall, frame: Drive, time: TimeLeft | None
    ) -> None:
        self._started = False
        context, held = accepted.base.context.copy(), session.held
        if held is not None:
            context.run(holding.set, held)
        # Not through the loop's task factory: nothing is forked here, the chain is about to come.
        self._task: asyncio.Task[None] = asyncio.Task(
            self._run(session, accepted, frame, time),
            loop=session.sessions.link.loop,
            context=context,
        )
        if held is not None:
            self._task.add_done_callback(lambda _: held.end())

    def take_drive(self, frame: Drive) -> None:
        """A coroutine is driven once, when it starts: the grammar knows no other drive."""

    def cancel(self, message: str | None = None, *, idle: bool) -> None:
        """Cancel the routine's task."""
        # A task that was cancelled before its first step would never answer: it looks at the
        # session's flag instead.
        if self._started:
            self._task.cancel(message)

    async def _run(
        self, session: Session, accepted: AcceptedCall, frame: Drive, time: TimeLeft | None
    ) -> None:
        self._started = True
        declared, contexts, base = accepted
        task, bound = session.task, base.bound
        baseline: Baseline | None = None
        observation: ExecutionObservation | None = None
        ended: BaseException | None = None
        try:
            gate = session.sessions.link.gate
            if monotonic() > gate.fresh:
                # The loop was held up: a Cancel may lie in the socket.
                await gate.wait_passed()
            if session.cancelled:
                raise session.make_cancellation()  # noqa: TRY301 - answered like the routine's own
            bound.leases[session] = bound.source, perf_counter_ns()
            if Execution.observers or Lease.observers:
                observation = ExecutionObservation(session, declared.name, bound, frame)
            if frame.manifest is not None and frame.manifest is not base.bare:
                baseline = contexts.enter(frame.manifest, base, self._task)
            args, kwargs = unpickle_arguments(task.payload, declared)
            body = declared.function(*args, **kwargs)
            value = await (body if time is None else time.run_body(body))
            payload = pickle_payload(value, "the result", declared.name)
            manifest, _ = capture_answer(contexts.values, baseline, whole=session.sessions.whole)
            symbol = "return+" if session.cancelled else "return"
            answer = Result(task.call, payload, manifest, symbol)
        except BaseException as error:
            answer = answer_exception(error, session, declared, contexts.values, baseline)
            ended = error if observation is not None else None
        try:
            if observation is not None:
                observation.send_answer(session, answer, ended)
            else:
                unmount()
                session.send_answer(answer)
        except BaseException as error:
            # The caller waits, and nobody else would see it.
            end_in_net(session, error)
        bound.leases.pop(session, None)
        # Frames of its cause refer to this one.
        ended = None


def unpickle_arguments(
    payload: bytes, declared: Declaration
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call. Raises SerializationError."""
    found = unpickle_payload(payload, "the arguments", declared.name)
    # Not narrowed: what is in the tuple is known to nobody.
    kind: object = type(found)  # pyright: ignore[reportUnknownVariableType]
    if kind is tuple and len(found) == 2 and type(found[0]) is tuple and type(found[1]) is dict:
        return found
    cause = f"they are a {type(found).__name__}, not (args, kwargs)"
    raise announced(
        SerializationError(what="the arguments", routine=declared.name, cause=cause, doing="read")
    )


def answer_exception(
    error: BaseException,
    session: Session,
    declared: Declaration,
    values: Values,
    baseline: Baseline | None,
) -> ExceptionFrame:
    """Return the frame that carries an exception, with the chain as it was left.

    A chain that cannot be captured never replaces the exception: it is appended to its context.
    Where the exception resists, a plain frame says what it was.
    """
    sessions, manifest = session.sessions, None
    try:
        announce_unhandled_contention(error, declared.name, session.task.call, at_caller=False)
        # First the payload: a token that it holds is on its way, and the manifest has to say so.
        payload = pickle_exception(error, worker=sessions.worker, routine=declared.name)
        try:
            manifest, _ = capture_answer(values, baseline, whole=sessions.whole)
        except Exception as unreadable:
            if not issubclass(type(error), ChainSerializationError):
                append_context(error, unreadable)
                payload = pickle_exception(error, worker=sessions.worker, routine=declared.name)
        answer = ExceptionFrame(session.task.call, payload, manifest)
    except BaseException as raised:
        # Whatever it is, the caller waits for a last frame.
        answer = plain_exception(session, error, f"writing it down raised {reason(raised)}")
    # Frames of the traceback keep what the routine held; it has been written down. Past the class,
    # which may have attributes of these names, and refuse that they are set.
    BaseException.with_traceback(error, None)
    return answer
