"""What the ends of a call tell of it; nothing here runs unless somebody listens.

A listener may leave a carrier and a hook in what it was told of: here is where the one is sent, and
the other called in the Context that it is about.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from catena.context.capture import Baseline
from catena.context.manifest import NO_CHAIN, ChainManifest
from catena.context.mount import unmount
from catena.dispatch.attempt import Call
from catena.dispatch.contexts import Contexts
from catena.dispatch.values import take
from catena.events import Dispatch, Execution, Lease
from catena.observe import use
from catena.wire.frames import ExceptionFrame, Frame, Next, Result, Send, Throw

if TYPE_CHECKING:
    from catena.dispatch.session import Session

__all__ = ["Watched", "sent", "taken"]

_ANSWERS = (Result, ExceptionFrame)
_BUILT, _CACHED = ("fields", "built"), ("fields", "cached")


def sent(observed: Dispatch, call: Call, payload: bytes) -> None:
    """Note an attempt: to whom it went, and what."""
    observed.attempt = call
    observed.attempts += 1
    call.observed = observed
    if observed.measured:
        observed.sent_bytes = len(payload)


def taken(
    observed: Dispatch | None, frame: Frame, call: Call, baseline: Baseline | None
) -> tuple[Any, Baseline | None]:
    """Do what ``take`` does with an answer, and note it."""
    __tracebackhide__ = True
    name, values = call.declared.name, call.caller.values
    if observed is None:
        return take(frame, name, values, baseline)
    observed.answer = frame
    observed.answers += 1
    if not isinstance(frame, _ANSWERS):
        return take(frame, name, values, baseline)
    if type(frame) is not Result or not frame.more:
        call.observed = None
    if observed.measured:
        observed.received_bytes += len(frame.payload)
    # Without a manifest nothing is mounted, and nobody can be told of anything.
    if frame.manifest is None or observed.enter is None:
        return take(frame, name, values, baseline)
    leave = use(observed.enter)
    try:
        return take(frame, name, values, baseline)
    finally:
        use(leave)


class Watched:
    """A call on a worker while it runs: its execution and the lease of its proxy.

    It is made in the Context of the call before anything is mounted, and ended when the chain has
    been taken out.
    """

    __slots__ = ("_counter", "_execution", "_lease")

    def __init__(
        self,
        session: Session,
        name: str,
        contexts: Contexts,
        drive: Next | Send | Throw,
    ) -> None:
        task = session.task
        self._lease: Lease | None = None
        self._execution = execution = Execution(
            name, task.stream, session, drive.manifest or NO_CHAIN
        )
        if task.proxy_id:
            execution.leased = _CACHED if contexts.leased else _BUILT
            contexts.leased = True
        execution.drive = drive
        self._counter = counter = None if task.stream else Execution.counter
        if counter is not None:
            counter.begin(execution)
        elif Execution.listeners:
            execution.__enter__()
        if Lease.listeners:
            self._lease = execution.lease
            if self._lease is not None:
                self._lease.__enter__()

    def attach(self) -> None:
        """Make the execution known in a further Context that the routine is about to run in."""
        use(self._execution.enter)

    def driven(self, frame: Next | Send | Throw) -> None:
        """Note the next drive."""
        self._execution.drive = frame
        self._execution.drives += 1

    def answering(self, manifest: ChainManifest | None) -> ChainManifest | None:
        """Return an answer's manifest with the carrier that a listener has for it."""
        carrier = None if manifest is None else use(self._execution.reply)
        return manifest.carrying(carrier) if manifest and carrier else manifest

    def reply(
        self, session: Session, answer: Result | ExceptionFrame, error: BaseException | None
    ) -> None:
        """Send a call's only answer, and tell how it ended when that has left.

        The chain is taken out then as well: nobody runs in this Context any more.
        """
        self._execution.answered = at = perf_counter_ns()
        if answer.manifest is not None:
            answer = answer._replace(manifest=self.answering(answer.manifest))
        if session.over:
            # Nobody waits for it, and nothing leaves.
            session.reply(answer)
            self._replied(error, at)
        else:
            session.reply(answer)
            session.sessions.link.after(partial(self._replied, error, at))

    def _replied(self, error: BaseException | None, at: int) -> None:
        unmount()
        self.end(error, at)

    def end(self, error: BaseException | None, at: int = 0) -> None:
        """Tell how it ended, and ``at`` which nanosecond; later calls do nothing."""
        if self._lease is not None:
            self._lease.finish(at=at)
        error = None if error is None or isinstance(error, GeneratorExit) else error
        counter = self._counter
        if counter is None:
            self._execution.finish(error, at=at)
        else:
            self._counter = None
            counter.end(self._execution, error, at)
