"""What the ends of a call tell of it; nothing here runs unless somebody listens.

A listener may leave a carrier and a hook in what it was told of: here is where the one is sent, and
the other called in the Context that it is about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catena.context.capture import Baseline
from catena.context.manifest import NO_CHAIN, ChainManifest
from catena.dispatch.caller import Call
from catena.dispatch.contexts import Contexts
from catena.dispatch.values import take
from catena.events import Dispatch, Execution, Lease
from catena.ids import new_id
from catena.observe import use
from catena.wire.frames import ExceptionFrame, Frame, Next, Result, Send, Throw

if TYPE_CHECKING:
    from catena.dispatch.session import Session

__all__ = ["Watched", "sent", "taken"]


def sent(observed: Dispatch, call: Call, payload: bytes) -> None:
    """Note an attempt: to whom it went, and what."""
    caller, call.observed = call.caller, observed
    link = caller.link
    observed.worker, observed.call = caller.worker, call.id
    observed.attempts += 1
    observed.sent_bytes = len(payload)
    observed.protocol = link.protocol
    if link.peer is not None:
        observed.peer_version = link.peer.software
    if call.captured is not None:
        observed.chain_id = call.captured.manifest.chain_id


def taken(
    observed: Dispatch | None, frame: Frame, call: Call, baseline: Baseline | None
) -> tuple[Any, Baseline | None]:
    """Do what ``take`` does with an answer, and note it."""
    name, values = call.declared.name, call.caller.values
    if observed is None:
        return take(frame, name, values, baseline)
    observed.frame = (frame.symbol, observed.frame[1] + 1)
    if isinstance(frame, Result | ExceptionFrame):
        observed.received_bytes += len(frame.payload)
    if observed.enter is None:
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

    __slots__ = ("_execution", "_lease")

    def __init__(
        self,
        session: Session,
        name: str,
        contexts: Contexts,
        drive: Next | Send | Throw,
    ) -> None:
        manifest = drive.manifest or NO_CHAIN
        lease = _lease(session, contexts, manifest) if session.task.proxy_id else None
        self._execution: Execution | None = None
        self._lease: Lease | None = None
        if Execution.listeners:
            self._execution = execution = _execution(session, name, manifest)
            execution.lease = lease
            execution.frame = (drive.symbol, 1)
            execution.__enter__()
            if execution.enter is not None:
                use(execution.enter)
        if lease is not None and Lease.listeners:
            self._lease = lease
            lease.__enter__()

    def attach(self) -> None:
        """Make the execution known in a Context that the routine is about to run in."""
        if self._execution is not None:
            use(self._execution.enter)

    def driven(self, frame: Frame) -> None:
        """Note the next drive."""
        if self._execution is not None:
            self._execution.frame = (frame.symbol, self._execution.frame[1] + 1)

    def answering(self, manifest: ChainManifest | None) -> ChainManifest | None:
        """Return an answer's manifest with the carrier that a listener left for it."""
        execution = self._execution
        if manifest is None or execution is None or not execution.reply_carrier:
            return manifest
        return manifest.carrying(execution.reply_carrier)

    def end(self, error: BaseException | None) -> None:
        """Tell how it ended; later calls do nothing."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.finish()
        execution, self._execution = self._execution, None
        if execution is not None:
            execution.finish(None if isinstance(error, GeneratorExit) else error)


def _execution(session: Session, name: str, manifest: ChainManifest) -> Execution:
    task, sessions = session.task, session.sessions
    link = sessions.link
    peer = link.peer
    return Execution(
        name,
        task.stream,
        task.call,
        manifest.chain_id,
        manifest.parent_id,
        sessions.worker,
        peer.peer if peer else "",
        peer.software if peer else "",
        link.protocol,
        manifest.carrier,
    )


def _lease(session: Session, contexts: Contexts, manifest: ChainManifest) -> Lease:
    cached, contexts.leased = contexts.leased, True
    task = session.task
    return Lease(new_id(), task.proxy_id, "fields", cached, task.call, manifest.chain_id)
