"""The worker's side of a link: sessions, one for each call, and what they run.

A session accepts its call when the first drive comes: it loads the callable, answers with Ack or
Nack, and starts the routine in a Context prepared for it. Whatever happens to the routine, its
session sends one last frame, unless the link is gone: ``end_in_net`` catches what nobody else did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from weakref import WeakSet

from catena.context.manifest import ChainManifest
from catena.dispatch.contexts import Contexts
from catena.dispatch.declaration import Declaration, declaration_of
from catena.dispatch.learnt import Learnt
from catena.dispatch.numbers import AHEAD, Overtaken
from catena.dispatch.payloads import refuse_unsendable, values_for
from catena.dispatch.port import Dispatcher
from catena.dispatch.running import AcceptedCall, Running, RunningCall, end_in_net
from catena.dispatch.stepper import RunningStream
from catena.dispatch.timeleft import bounded
from catena.errors import CatenaError, ProtocolError
from catena.escape import printable
from catena.events import Endpoints, FrameDropped
from catena.events.bus import announce
from catena.link.link import Link
from catena.link.outbox import FrameTooLong
from catena.standing import counted, members
from catena.wire import failure, serializer
from catena.wire.frames import (
    Ack,
    Cancel,
    ExceptionFrame,
    Frame,
    Nack,
    NackCode,
    Next,
    Result,
    Send,
    Task,
    Throw,
)
from catena.wire.grammar import END, TO_WORKER, Position
from catena.wire.versions import DELTA
from catena.wording import TEXT_LIMIT, reason

__all__ = ["Session", "Sessions", "all_sessions"]

FUNCTIONS = (2048, 64 << 20)
"""How many callables a worker keeps for each link, and of how many bytes: 64 MiB."""

PROXIES = (64, 16 << 20)
"""How many ways to a pool, and of how many bytes: 16 MiB."""

PROXY_LIMIT = 1 << 20
"""The most bytes of one proxy: 1 MiB."""

CALL_LIMIT = 1 << 20
"""The most calls that may be open on one link."""

UNDRIVEN = (1024, 64 << 20)
"""How many of them may wait for their first drive, and with how many bytes."""

_ID_LIMIT = 64
_LEAST = 4096

Proxies = Callable[[bytes, bytes], Dispatcher | None]
"""Returns the dispatcher for a proxy (encoded, id); None for an id that is not known."""

all_sessions: WeakSet[Sessions] = WeakSet()
"""The worker's side of every link of this process that is up."""


@counted("calls")
def _calls() -> Iterator[tuple[str]]:
    for sessions in members(all_sessions):
        yield from [("running",)] * len(sessions.running())


@counted("leases")
def _leases() -> Iterator[tuple[str]]:
    for sessions in members(all_sessions):
        yield from [("fields",) for session in sessions.running() if session.task.proxy_id]


class Session(Position):
    """One call on the worker: where it stands and what runs for it."""

    __slots__ = ("cancelled", "expired", "message", "running", "sessions", "task")

    def __init__(self, sessions: Sessions, task: Task) -> None:
        self.sessions = sessions
        self.task = task
        super().__init__()
        self.running: Running | None = None
        self.cancelled = False
        # What the caller's task was cancelled with.
        self.message: str | None = None
        # Whether what runs has been cancelled already, because its time was up.
        self.expired = False

    def start(self, drive: Next) -> None:
        """Take the Task and the drive that it brought along: two steps in one."""
        self.state = "flow sent" if self.task.stream else "call sent"
        self.last = drive.symbol
        self._begin(drive)

    def receive(self, frame: Frame) -> None:
        """Take a frame of this call. An illegal one ends it, and says so to the caller."""
        try:
            state = self.hear(frame.symbol, TO_WORKER)
        except ProtocolError as error:
            self._break(error)
            return
        match frame:
            case Next() | Send() | Throw():
                if self.running is None:
                    self._begin(frame)
                else:
                    self.running.drive(frame)
            case Cancel():
                self.cancelled, self.message = True, frame.text
                idle = state == "flow closing"
                if self.running is not None and (idle or not self.expired):
                    self.running.cancel(frame.text, idle=idle)
            case _:
                pass

    def reply(self, frame: Result | ExceptionFrame) -> None:
        """Send an answer; the last one ends the session."""
        if self.state == END:
            self.running = None
            return
        ended = self.step(frame.symbol) == END
        if not ended and "yield+" in frame.symbol:
            self.cancelled, self.message = False, None
        self.sessions.link.send(frame)
        if ended:
            self.sessions.forget(self)
            # They refer to each other: whoever is done lets go, and the collector has no work.
            self.running = None

    def decline(self, answer: Nack) -> None:
        """Refuse the call before it begins."""
        self.step("nack")
        self.sessions.forget(self)
        self.sessions.link.send(answer)

    @property
    def over(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return self.state == END

    def cancellation(self) -> asyncio.CancelledError:
        """Return what a routine is cancelled with that nobody has begun, or that is suspended."""
        told = () if self.message is None else (self.message,)
        return asyncio.CancelledError(*told)

    def abandon(self) -> None:
        """Stop what runs, and keep from starting what has not begun; nobody listens any more."""
        self.end()
        self.cancelled = True
        if self.running is not None:
            self.running.cancel(idle=self.running.idle)

    def _begin(self, drive: Next | Send | Throw) -> None:
        sessions = self.sessions
        answer = sessions.admit(self.task, drive.manifest)
        if isinstance(answer, Nack):
            self.decline(answer)
            return
        self.step("ack")
        sessions.link.send(Ack(self.task.call))
        if self.task.timeout_ns is not None or self.task.dispatch_timeout_ns is not None:
            answer = bounded(self, answer)
        kind = RunningStream if self.task.stream else RunningCall
        self.running = kind(self, answer, drive)

    def _break(self, error: ProtocolError) -> None:
        if self.state != END:
            self.sessions.refuse(self, error)
        self.abandon()


class Sessions:
    """All calls that come over one link."""

    def __init__(self, link: Link, worker: str, proxies: Proxies, *, strict: bool = False) -> None:
        self.link = link
        self.worker = worker
        caller, version = (link.peer.peer, link.peer.software) if link.peer else ("", "")
        self.endpoints = Endpoints(worker, caller, version, link.protocol, link.address)
        self.whole = DELTA not in link.capabilities
        self.draining = False
        self._values = values_for(strict=strict)
        self._proxies = proxies
        self._sessions: dict[int, Session] = {}
        self._last = 0
        self._overtaken = Overtaken()
        self._undriven: dict[int, int] = {}
        self._functions: Learnt[int, Declaration] = Learnt(*FUNCTIONS)
        self._contexts: Learnt[bytes, Contexts] = Learnt(*PROXIES)
        all_sessions.add(self)

    @property
    def open_calls(self) -> int:
        """How many calls are open."""
        return len(self._sessions)

    def running(self) -> list[Session]:
        """Return the calls that have been accepted and have no last answer; from any thread."""
        # The dictionary's values at once: the loop's thread may open calls meanwhile.
        sessions = [*self._sessions.values()] if self.link.up else []
        return [one for one in sessions if one.running is not None]

    def receive(self, frame: Frame) -> None:
        """Take a frame that the link brings."""
        session = self._sessions.get(frame.call)
        try:
            if session is not None:
                session.receive(frame)
            elif type(frame) is Task:
                self._open(frame)
            else:
                self._drop(frame)
        except ProtocolError:
            raise
        except BaseException as error:
            # What one call brings may not end the link, which is that of all calls.
            session = self._sessions.get(frame.call)
            if session is None:
                raise
            end_in_net(session, error)

    def _drop(self, frame: Frame) -> None:
        """Pass over a frame of a call that has ended here."""
        if frame.call > self._last or frame.call in self._overtaken:
            raise ProtocolError(reason=f"no call {frame.call} was opened", frame=frame.symbol)
        if FrameDropped.listeners:
            announce(FrameDropped(frame.call, frame.symbol))

    def _open(self, task: Task) -> None:
        """Begin a session; the number of its call must be one that was never used."""
        call, last = task.call, self._last
        if call == last + 1:
            self._last = call
        elif last < call <= last + AHEAD and self._overtaken.add(last + 1, call):
            # Smaller calls overtook those in between, whose arguments are on their way in pieces.
            self._last = call
        elif not self._overtaken.remove(call):
            raise ProtocolError(
                reason=f"call {call} is or was open, or is far ahead", frame=task.symbol
            )
        session = self._sessions[call] = Session(self, task)
        if task.drive is None:
            session.step(task.symbol)
            self._waits(task)
        else:
            session.start(task.drive)

    def _waits(self, task: Task) -> None:
        """Note a call that waits for its first drive, as none of ours does."""
        waiting = self._undriven
        waiting[task.call] = task.weight
        most, most_bytes = UNDRIVEN
        if len(waiting) > most or sum(waiting.values()) > most_bytes:
            reason = f"more than {most} calls, or {most_bytes} bytes of them, wait for a drive"
            raise ProtocolError(reason=reason, frame=task.symbol)

    def unsent(self, frame: Frame, error: Exception) -> None:
        """End the call of an answer that cannot leave; its caller learns why.

        Raises the error when even so little cannot be sent.
        """
        if not isinstance(frame, Result | ExceptionFrame) or (
            frame.weight < _LEAST and not isinstance(frame, Result)
        ):
            raise error
        session = self._sessions.get(frame.call)
        # What is too long is the payload; the chain is sent as the routine left it.
        manifest = frame.manifest if isinstance(error, FrameTooLong) else None
        what = "the result" if isinstance(frame, Result) else "the exception"
        routine = "" if session is None else self.name_of(session.task)
        refusal = refuse_unsendable(error, what, routine)
        if session is not None and not session.over:
            self.forget(session)
            session.abandon()
        data = failure.dump(refusal, worker=self.worker, routine=routine)
        self.link.send(ExceptionFrame(frame.call, data, manifest))

    def goodbye(self, reason: str) -> None:
        """The caller opens no more calls; the ones it has go on until it closes the stream."""

    def ended(self, _: Exception | None) -> None:
        """Cancel every call and close every generator, each in its own context."""
        all_sessions.discard(self)
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.abandon()
        # Whoever still holds this holds nothing that the peer has sent.
        self._functions.clear()
        self._contexts.clear()
        self._undriven.clear()
        self._overtaken = Overtaken()

    def drain(self) -> None:
        """Refuse new calls from now on."""
        self.draining = True

    def forget(self, session: Session) -> None:
        """Take a session that has ended out of the table."""
        self._sessions.pop(session.task.call, None)
        if self._undriven:
            self._undriven.pop(session.task.call, None)

    def refuse(self, session: Session, error: CatenaError) -> None:
        """End a call with an error of ours."""
        self.forget(session)
        routine = self.name_of(session.task)
        data = failure.dump(error, worker=self.worker, routine=routine)
        self.link.send(ExceptionFrame(session.task.call, data))

    def admit(self, task: Task, manifest: ChainManifest | None) -> AcceptedCall | Nack:
        """Return what to run and the Contexts to run it in, or the refusal."""
        if self.draining:
            return Nack(task.call, NackCode.DRAINING)
        if self._undriven:
            self._undriven.pop(task.call, None)
        if len(self._sessions) > CALL_LIMIT:
            return Nack(task.call, NackCode.BUSY, f"{CALL_LIMIT} calls are open on its link")
        try:
            declared = self._function(task)
            contexts = self._contexts_of(task)
        except BaseException as error:
            # Loading imports modules, and a module may as well raise SystemExit.
            return Nack(task.call, NackCode.UNLOADABLE, printable(reason(error), TEXT_LIMIT))
        base = contexts and contexts.base(manifest)
        if declared is None or contexts is None or base is None:
            return Nack(task.call, NackCode.UNKNOWN)
        return AcceptedCall(declared, contexts, base)

    def _function(self, task: Task) -> Declaration | None:
        known = self._functions.get(task.function)
        if known is None and task.callable:
            known = declaration_of(serializer.loads(task.callable))
            self._functions.keep(task.function, known, len(task.callable))
        elif known is not None:
            self._functions.move_to_end(task.function)
        if known is not None and known.stream != task.stream:
            raise TypeError(f"{known.name} is {_kind(known.stream)}, not {_kind(task.stream)}")
        return known

    def _contexts_of(self, task: Task) -> Contexts | None:
        """Return the Contexts in which the call's proxy is bound, None when it is not known.

        Raises ProtocolError for one that is too long, or one too many.
        """
        known = self._contexts.get(task.proxy_id)
        if known is not None:
            return known
        if len(task.proxy) > PROXY_LIMIT or len(task.proxy_id) > _ID_LIMIT:
            reason = f"its proxy takes {len(task.proxy):,} bytes, and the limit is {PROXY_LIMIT:,}"
            raise ProtocolError(reason=reason)
        through = self._proxies(task.proxy, task.proxy_id) if task.proxy_id else None
        if task.proxy_id and through is None:
            return None
        known = Contexts(through, self._values)
        self._contexts.keep(task.proxy_id, known, len(task.proxy))
        return known

    def name_of(self, task: Task) -> str:
        """Return the name of a task's routine, which the Task says only where it is new here."""
        known = self._functions.get(task.function)
        return printable(task.routine) if known is None else known.name


def _kind(stream: bool) -> str:  # noqa: FBT001
    return "an async generator" if stream else "a coroutine"
