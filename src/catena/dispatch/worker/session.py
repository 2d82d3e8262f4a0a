"""One call on the worker: its session, from the first drive to the last answer.

A session follows the grammar, and hands drives and cancellations to the routine. Whatever happens
to the routine, it sends one last frame, unless the link is gone: ``end_in_net`` catches every
exception that was not caught before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

from catena.dispatch.declaration import Declaration
from catena.dispatch.holding import Holding
from catena.dispatch.worker.learnt import Learnt
from catena.errors import CatenaError, ProtocolError, RemoteError
from catena.escape import printable
from catena.events import CallRefused, Endpoints, ProtocolBroken
from catena.events.bus import announce
from catena.link.link import Link
from catena.remote_exceptions.pickled import pickle_exception
from catena.transfer.manifest import ChainManifest
from catena.transfer.states.kept import KeptState, KeptStates
from catena.wire.call_states import END, TO_WORKER, Position
from catena.wire.frames import Cancel, Drive, ExceptionFrame, Frame, Nack, NackCode, Result, Task
from catena.wire.versions import DELTA, proxy_path
from catena.wording import TEXT_LIMIT, full_name, reason, text_of

_log = logging.getLogger("catena")

FUNCTIONS = (2048, 64 << 20)
"""How many callables a worker keeps for each link, and of how many bytes: 64 MiB."""


class AcceptedCall(NamedTuple):
    """What an accepted call runs, and where: the Contexts of its pool and what it builds on."""

    declared: Declaration
    contexts: KeptStates
    base: KeptState


class Running(Protocol):
    """What a session runs: a coroutine to its end, or a generator step by step."""

    idle: bool

    def take_drive(self, frame: Drive, /) -> None:
        """Go on to the next yield."""
        ...

    def cancel(self, message: str | None = None, *, idle: bool) -> None:
        """Cancel what runs now, or close what is suspended."""
        ...


class CallWatch(Protocol):
    """What ends a worker whose calls go on when their time is up."""

    @property
    def is_late(self) -> bool:
        """Whether one of them does, so that the worker takes no more calls."""
        ...

    def begin_call(self, routine: str, deadline: float, kill_after: float, /) -> Callable[[], None]:
        """Watch a call from now on; return what ends that."""
        ...


class ServedLink:
    """What all calls of one link share on the worker.

    ``whole`` says that the caller wants every answer to describe its chain whole; ``overtime`` ends
    the worker for calls that go on when their time is up, None never does.
    """

    def __init__(self, link: Link, worker: str, overtime: CallWatch | None = None) -> None:
        self.link = link
        self.overtime = overtime
        self.worker = worker
        caller, version = (link.peer.peer, link.peer.software) if link.peer else ("", "")
        path = proxy_path(link.capabilities)
        self.endpoints = Endpoints(worker, caller, version, link.protocol, link.address, path)
        self.whole = DELTA not in link.capabilities
        self.open_sessions: dict[int, Session] = {}
        self.functions: Learnt[int, Declaration] = Learnt(*FUNCTIONS)

    def begin_call(self, session: Session, drive: Drive) -> None:
        """Accept a call at its first drive and run it, or refuse it."""
        raise NotImplementedError

    def refuse_call(
        self, call: int, error: CatenaError, routine: str, manifest: ChainManifest | None = None
    ) -> None:
        """End a call with an error of ours, wherever it stands."""
        session = self.open_sessions.pop(call, None)
        if session is not None and not session.over:
            session.abandon_call()
        data = pickle_exception(error, worker=self.worker, routine=routine)
        self.link.send(ExceptionFrame(call, data, manifest))

    def name_of(self, task: Task) -> str:
        """Return the name of a task's routine, which the Task says only where it is new here."""
        known = self.functions.get(task.function)
        return printable(task.routine) if known is None else known.name


class Session(Position):
    """One call on the worker: where it stands and what runs for it."""

    __slots__ = ("cancelled", "expired", "held", "message", "running", "sessions", "task")

    def __init__(self, sessions: ServedLink, task: Task) -> None:
        self.sessions = sessions
        self.task = task
        if task.drive is None:
            super().__init__()
            self.note_sent(task.symbol)
        else:
            # The Task has brought its first drive along: two steps in one.
            self.state = "flow sent" if task.stream else "call sent"
            self.last = task.drive.symbol
        self.running: Running | None = None
        # What it holds of the worker's slots, None without any.
        self.held: Holding | None = None
        self.cancelled = False
        # What the caller's task was cancelled with.
        self.message: str | None = None
        # Whether what runs has been cancelled already, because its time was up.
        self.expired = False

    def take_frame(self, frame: Frame) -> None:
        """Take a frame of this call. An illegal one ends it, and says so to the caller."""
        try:
            state = self.note_received(frame.symbol, TO_WORKER)
        except ProtocolError as error:
            routine = self.sessions.name_of(self.task)
            if ProtocolBroken.listeners:
                announce(ProtocolBroken(error, self.sessions.endpoints.caller, self.task.call))
            self.sessions.refuse_call(self.task.call, error, routine)
            return
        if isinstance(frame, Cancel):
            self.cancelled, self.message = True, frame.text
            idle = state == "flow closing"
            if self.running is not None and (idle or not self.expired):
                self.running.cancel(frame.text, idle=idle)
        elif isinstance(frame, Drive):
            if self.running is None:
                self.sessions.begin_call(self, frame)
            else:
                self.running.take_drive(frame)

    def refuse_call(self, nack: Nack) -> None:
        """Refuse the call before it begins."""
        if CallRefused.listeners:
            routine, peer = self.sessions.name_of(self.task), self.sessions.endpoints.caller
            announce(CallRefused(routine, peer, nack.code.name))
        self.send_answer(nack)

    def send_answer(self, frame: Result | ExceptionFrame | Nack) -> None:
        """Send an answer, or refuse the call before it begins; the last one ends the session."""
        if self.state == END:
            self.running = None
            return
        ended = self.note_sent(frame.symbol) == END
        if not ended and frame.symbol == "yield+":
            self.cancelled, self.message = False, None
        self.sessions.link.send(frame)
        if ended:
            self.sessions.open_sessions.pop(self.task.call, None)
            # They refer to each other: whoever is done lets go, and the collector has no work.
            self.running = None

    @property
    def over(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return self.state == END

    @property
    def routine(self) -> str:
        """The full name of its routine."""
        return self.sessions.name_of(self.task)

    @property
    def number(self) -> int:
        """Its number on its link."""
        return self.task.call

    @property
    def caller(self) -> str:
        """Who has made it."""
        return self.sessions.endpoints.caller

    def make_cancellation(self) -> asyncio.CancelledError:
        """Return what a routine is cancelled with that nobody has begun, or that is suspended."""
        message = () if self.message is None else (self.message,)
        return asyncio.CancelledError(*message)

    def abandon_call(self) -> None:
        """Stop what runs, and keep from starting what has not begun; nobody listens any more."""
        self.end()
        self.cancelled = True
        if self.running is not None:
            self.running.cancel(idle=self.running.idle)


def end_in_net(session: Session, error: BaseException) -> None:
    """End a call for what was raised where nobody reckoned with it: the worker's outer net.

    Whatever it is, SystemExit as well, it goes no further than here, and a last frame leaves.
    """
    why, name = reason(error), session.sessions.name_of(session.task)
    _log.error("call %d of routine %s could not go on: %s", session.task.call, name, printable(why))
    if session.is_legal("exception"):
        session.send_answer(plain_exception(session, error, "it was raised outside of the routine"))
    elif session.is_legal("nack"):
        text = printable(why, TEXT_LIMIT)
        session.refuse_call(Nack(session.task.call, NackCode.UNLOADABLE, text))


def plain_exception(session: Session, error: BaseException, step: str) -> ExceptionFrame:
    """Return a frame that says what an exception was, made without any code of its own.

    ``step`` says why it did not go itself. The chain stays behind.
    """
    stand_in = RemoteError(type_name=full_name(error), message=text_of(error), step=step)
    sessions, task = session.sessions, session.task
    data = pickle_exception(stand_in, worker=sessions.worker, routine=sessions.name_of(task))
    return ExceptionFrame(task.call, data)
