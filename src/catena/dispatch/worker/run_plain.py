"""A plain function at work: a thread of the worker runs it, in the Context of its call.

The loop mounts the chain and hands it over to the thread, and takes it back before it describes
what changed. While the thread has it, nobody else enters that Context: the task that waits for the
thread runs in another one, so that it can be woken up to answer a cancelled call.

A thread cannot be interrupted. When the call is cancelled, or its time is up, the task answers at
once and without a chain; the function goes on, and what it returns is dropped.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from functools import partial
from time import monotonic, perf_counter_ns
from typing import Any, NamedTuple

from catena.context.chain import UNMOUNTED, current
from catena.context.ownership import take_ownership
from catena.dispatch.declaration import Declaration
from catena.dispatch.holding import Holding, holding
from catena.dispatch.payloads import pickle_payload
from catena.dispatch.worker.deadline import TimeLeft
from catena.dispatch.worker.observation import ExecutionObservation
from catena.dispatch.worker.run_coroutine import answer_exception, unpickle_arguments
from catena.dispatch.worker.session import AcceptedCall, Session, end_in_net
from catena.dispatch.worker.threads import KeptThreads
from catena.events import Execution, Lease
from catena.transfer.baseline import Baseline
from catena.transfer.capture import capture_answer
from catena.transfer.mount import unmount
from catena.wire.frames import Drive, ExceptionFrame, Result


class _Outcome(NamedTuple):
    """What a function returned, and that as bytes; or what it raised."""

    value: Any = None
    payload: bytes = b""
    error: BaseException | None = None


class RunningPlain:
    """Runs a plain function on a thread."""

    idle = False

    def __init__(
        self,
        session: Session,
        accepted: AcceptedCall,
        frame: Drive,
        time: TimeLeft | None,
        threads: KeptThreads,
    ) -> None:
        self._session = session
        self._accepted = accepted
        self._time = time
        self._threads = threads
        self._held = session.held or Holding(accepted.declared.name)
        self._context = accepted.base.context.copy()
        self._baseline: Baseline | None = None
        self._observation: ExecutionObservation | None = None
        self._loop = session.sessions.link.loop
        self._started = False
        # Whether the thread is in the Context, and whether nobody waits for it any more.
        self._is_inside = self._abandoned = False
        self._task: asyncio.Task[None] = asyncio.Task(
            self._run(frame), loop=self._loop, context=contextvars.Context()
        )

    def take_drive(self, frame: Drive) -> None:
        """A function is driven once, when it starts: the grammar knows no other drive."""

    def cancel(self, message: str | None = None, *, idle: bool) -> None:
        """Stop waiting for the function, which learns of it when it asks."""
        self._held.cancelled = True
        self._abandoned = self._is_inside
        if self._started:
            self._task.cancel(message)

    async def _run(self, frame: Drive) -> None:
        self._started = True
        ended: BaseException | None = None
        try:
            outcome = await self._run_function(frame)
            ended = outcome.error
            answer = self._capture_result(outcome) if ended is None else self._answer_error(ended)
        except BaseException as error:
            ended = error
            answer = self._answer_error(error)
        try:
            self._send_answer(answer, ended)
        except BaseException as error:
            # The caller waits, and nobody else would see it.
            end_in_net(self._session, error)
        if not self._is_inside:
            self._let_go()
        # Frames of its cause refer to this one.
        ended = None

    async def _run_function(self, frame: Drive) -> _Outcome:
        """Mount the chain, and wait until the thread has run the function."""
        session, (declared, contexts, base) = self._session, self._accepted
        bound = base.bound
        gate = session.sessions.link.gate
        if monotonic() > gate.fresh:
            # The loop was held up: a Cancel may lie in the socket.
            await gate.wait_passed()
        if session.cancelled:
            raise session.make_cancellation()
        enter = self._context.run
        bound.leases[session] = bound.source, perf_counter_ns()
        if Execution.observers or Lease.observers:
            self._observation = enter(ExecutionObservation, session, declared.name, bound, frame)
        if frame.manifest is not None:
            self._baseline = enter(contexts.enter, frame.manifest, base, self._task)
        enter(holding.set, self._held)
        if self._time is None:
            return await self._start_thread()
        enter(self._time.bind_options)
        # Not begun by an argument: a call whose time is up is not begun at all.
        outcome: _Outcome = await self._time.run_body(self._wait_for_thread())
        return outcome

    async def _wait_for_thread(self) -> _Outcome:
        return await self._start_thread()

    def _start_thread(self) -> asyncio.Future[_Outcome]:
        """Hand the chain over to a thread that runs the function; return what it will post."""
        declared, payload = self._accepted.declared, self._session.task.payload
        waiter: asyncio.Future[_Outcome] = self._loop.create_future()
        run = partial(self._context.run, _run_function, declared, payload)
        self._threads.start_work(partial(_do_work, run, self._loop, self._take_back, waiter))
        self._is_inside = True
        return waiter

    def _take_back(self, waiter: asyncio.Future[_Outcome], outcome: _Outcome) -> None:
        """Take the chain back from the thread, which has left the Context."""
        self._is_inside = False
        if self._abandoned:
            self._context.run(unmount)
            self._let_go()
            return
        self._context.run(_hand_over, self._task)
        waiter.set_result(outcome)

    def _let_go(self) -> None:
        """Let go of what the call holds, when the function has ended."""
        self._held.end()
        self._accepted.base.bound.leases.pop(self._session, None)
        if self._time is not None:
            self._time.end_watch()

    def _capture_result(self, outcome: _Outcome) -> Result:
        contexts, session = self._accepted.contexts, self._session
        whole = session.sessions.whole
        manifest, _ = self._context.run(
            partial(capture_answer, contexts.values, self._baseline, whole=whole)
        )
        symbol = "return+" if session.cancelled else "return"
        return Result(session.task.call, outcome.payload, manifest, symbol)

    def _answer_error(self, error: BaseException) -> ExceptionFrame:
        declared, contexts, _ = self._accepted
        answer = partial(answer_exception, error, self._session, declared, contexts.values)
        if self._abandoned:
            # In the task's own Context, where there is no chain: the thread has that one.
            return answer(None)
        return self._context.run(answer, self._baseline)

    def _send_answer(self, answer: Result | ExceptionFrame, ended: BaseException | None) -> None:
        observation, session = self._observation, self._session
        if observation is None:
            if not self._abandoned:
                self._context.run(unmount)
            session.send_answer(answer)
        elif self._abandoned:
            session.send_answer(answer)
            observation.announce_end(ended)
        else:
            self._context.run(observation.send_answer, session, answer, ended)


def _do_work(
    run: Any, loop: asyncio.AbstractEventLoop, take_back: Any, waiter: asyncio.Future[_Outcome]
) -> Any:
    """Run the function on this thread; return what lets the loop know how it ended."""
    try:
        outcome = run()
    except BaseException as error:
        # As a value: a future takes no StopIteration, and SystemExit ends no worker.
        outcome = _Outcome(error=error)
    return partial(loop.call_soon_threadsafe, take_back, waiter, outcome)


def _run_function(declared: Declaration, payload: bytes) -> _Outcome:
    """Call the function in the Context of its call, which this thread has entered."""
    _hand_over(None)
    args, kwargs = unpickle_arguments(payload, declared)
    value = declared.function(*args, **kwargs)
    _refuse_awaitable(declared, value)
    return _Outcome(value, pickle_payload(value, "the result", declared.name))


def _hand_over(task: asyncio.Task[None] | None) -> None:
    """Make the running thread, and the task, the owner of the chain that is current here."""
    chain = current.get()
    if chain is not None and chain is not UNMOUNTED:
        take_ownership(chain, task)


def _refuse_awaitable(declared: Declaration, value: object) -> None:
    """Raise TypeError where a function returned what somebody would have to await."""
    if not inspect.isawaitable(value):
        return
    if inspect.iscoroutine(value):
        value.close()
    raise TypeError(
        f"routine {declared.name} is a plain function under @catena.routine and returned a"
        f" {type(value).__name__}, which nobody awaits on the worker; declare it with `async def`"
    )
