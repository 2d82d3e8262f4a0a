"""What a worker announces of a call: its execution, and the lease of the proxy that serves it.

An observer may leave a carrier and hooks in the execution: this module sends the carrier, and calls
each hook in the Context that it concerns.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter_ns

from catena.dispatch.worker.session import Session
from catena.events import Execution, Lease, ServedCall
from catena.events.bus import call_hook
from catena.transfer.manifest import NO_CHAIN, ChainManifest
from catena.transfer.mount import unmount
from catena.transfer.states.bound import BoundProxy
from catena.wire.frames import Drive, ExceptionFrame, Result

_BUILT = {source: (source, "built") for source in ("chain", "fields")}
_CACHED = {source: (source, "cached") for source in ("chain", "fields")}


class ExecutionObservation:
    """A call on a worker while it runs.

    It is made in the Context of the call before anything is mounted, and ended when the chain has
    been taken out.
    """

    __slots__ = ("_execution", "_lease")

    def __init__(self, session: Session, routine: str, bound: BoundProxy, drive: Drive) -> None:
        task, manifest = session.task, drive.manifest or NO_CHAIN
        served = ServedCall(
            task.call,
            session.sessions.endpoints,
            bound.id,
            manifest.chain_id,
            manifest.parent_id,
            manifest.carrier,
        )
        self._execution = execution = Execution(routine, task.stream, served)
        if bound.id:
            execution.leased = (_CACHED if bound.is_used else _BUILT)[bound.source]
            bound.is_used = True
        execution.drive = drive.symbol
        execution.begin()
        self._lease = execution.lease if Lease.observers else None
        if self._lease is not None:
            self._lease.begin()

    def enter_context(self) -> None:
        """Make the execution known in a further Context that the routine is about to run in."""
        call_hook(self._execution.enter)

    def note_drive(self, frame: Drive) -> None:
        """Note the next drive."""
        self._execution.drive = frame.symbol
        self._execution.drives += 1

    def add_carrier(self, manifest: ChainManifest | None) -> ChainManifest | None:
        """Return an answer's manifest with the carrier that an observer has for it."""
        carrier = None if manifest is None else call_hook(self._execution.reply)
        return manifest.carrying(carrier) if manifest and carrier else manifest

    def send_answer(
        self, session: Session, answer: Result | ExceptionFrame, error: BaseException | None
    ) -> None:
        """Send a call's only answer, and announce how it ended when that has left.

        The chain is taken out then as well: nobody runs in this Context any more.
        """
        self._execution.answered = at = perf_counter_ns()
        manifest = self.add_carrier(answer.manifest)
        if manifest is not answer.manifest:
            answer = answer._replace(manifest=manifest)
        over = session.over
        session.send_answer(answer)
        if over:
            # Nobody waits for it, and nothing has left.
            self._end_replied(error, at)
        else:
            session.sessions.link.after(partial(self._end_replied, error, at))

    def announce_end(self, error: BaseException | None, at: int = 0) -> None:
        """Announce how it ended, and ``at`` which nanosecond; later calls do nothing."""
        if self._lease is not None:
            self._lease.end(None, at)
        if error is not None and issubclass(type(error), GeneratorExit):
            error = None
        self._execution.end(error, at)

    def _end_replied(self, error: BaseException | None, at: int) -> None:
        unmount()
        self.announce_end(error, at)
