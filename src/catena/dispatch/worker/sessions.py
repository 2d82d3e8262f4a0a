"""The worker's side of a link: a session for each call that comes.

A call is accepted when its first drive comes: the callable is loaded, Ack or Nack sent, and the
routine started in a Context prepared for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from weakref import WeakSet

from catena.dispatch.declaration import Declaration, declaration_of
from catena.dispatch.payloads import refuse_unsendable, values_for
from catena.dispatch.worker.admission import Admission
from catena.dispatch.worker.deadline import TimeLeft
from catena.dispatch.worker.learnt import Learnt
from catena.dispatch.worker.restoring import (
    Proxies,
    check_length,
    restore_from_entry,
    restore_from_fields,
)
from catena.dispatch.worker.run_coroutine import RunningCall
from catena.dispatch.worker.run_generator import RunningStream
from catena.dispatch.worker.run_plain import RunningPlain
from catena.dispatch.worker.session import AcceptedCall, CallWatch, ServedLink, Session, end_in_net
from catena.dispatch.worker.slots import Slots
from catena.errors import PeerRefused, ProtocolError
from catena.escape import printable
from catena.events import FrameDropped, announced
from catena.events.bus import announce
from catena.link.link import Link
from catena.link.outbox import FrameTooLong
from catena.pickling import pickler
from catena.standing import copy_members, count_with
from catena.transfer.manifest import ChainManifest
from catena.transfer.states.kept import KeptStates
from catena.wire.frames import (
    Ack,
    Decline,
    Drive,
    ExceptionFrame,
    Frame,
    Members,
    Nack,
    NackCode,
    Offer,
    Result,
    Task,
    Want,
)
from catena.wire.versions import SLOTS, may_send
from catena.wording import TEXT_LIMIT, reason

AHEAD = 65536
"""How far the number of a call may be ahead of the highest so far, and how many may be left out."""

PROXIES = (64, 16 << 20)
"""How many ways to a pool, and of how many bytes: 16 MiB."""

CALL_LIMIT = 1 << 20
"""The most calls that may be open on one link."""

UNDRIVEN = (1024, 64 << 20)
"""How many of them may wait for their first drive, and with how many bytes."""

_UNDRIVEN_STATES = frozenset({"call", "flow"})
_LEAST = 4096

all_sessions: WeakSet[Sessions] = WeakSet()
"""The worker's side of every link of this process that is up."""


@count_with("calls")
def _count_calls() -> Iterator[tuple[str]]:
    for sessions in copy_members(all_sessions):
        yield from [("running",)] * len(sessions.list_running())


class Sessions(ServedLink):
    """All calls that come over one link; new ones are refused once it is ``draining``.

    ``slots`` are the worker's, for the calls of all its links; ``admission`` refuses calls, None
    takes all; ``overtime`` ends the worker for calls that go on when their time is up.
    """

    def __init__(  # noqa: PLR0913 - each is a part of the worker
        self,
        link: Link,
        worker: str,
        proxies: Proxies,
        *,
        strict: bool = False,
        slots: Slots | None = None,
        admission: Admission | None = None,
        overtime: CallWatch | None = None,
    ) -> None:
        super().__init__(link, worker, overtime)
        self.draining = False
        self._values = values_for(strict=strict)
        self._proxies = proxies
        self._slots = slots or Slots(1)
        self._admission = admission
        peer = link.peer
        # A caller that is a worker itself makes nested calls alone.
        self.nested = peer is not None and peer.slots > 0
        self._counts_slots = SLOTS in link.capabilities
        self._last = 0
        # Numbers that were left out: smaller calls overtook those whose arguments are long.
        self._overtaken: set[int] = set()
        self._undriven: list[int] = []
        # Of calls whose proxy is on the chain, and of those that have it in fields, by its id.
        self._states = KeptStates(self._values, None, partial(restore_from_entry, proxies))
        self._contexts: Learnt[bytes, KeptStates] = Learnt(*PROXIES)
        all_sessions.add(self)

    @property
    def open_calls(self) -> int:
        """How many calls are open."""
        return len(self.open_sessions)

    @property
    def reads_fields(self) -> bool:
        """Whether the way to a pool has come in the deprecated fields of a Task."""
        return any(self._contexts)

    def list_running(self) -> list[Session]:
        """Return the calls that have been accepted and have no last answer; from any thread."""
        # The dictionary's values at once: the loop's thread may open calls meanwhile.
        sessions = [*self.open_sessions.values()] if self.link.up else []
        return [one for one in sessions if one.running is not None]

    def receive(self, frame: Frame) -> None:
        """Take a frame that the link brings."""
        session = self.open_sessions.get(frame.call)
        try:
            if session is not None:
                session.take_frame(frame)
            elif type(frame) is Task:
                self._open_session(frame)
            elif type(frame) is Members:
                if self._is_permitted():
                    self._proxies(check_length(frame.proxy), b"")
            elif type(frame) is Want and self._counts_slots:
                self._note_want(frame.slots)
            elif type(frame) is Decline and self._counts_slots:
                self._slots.decline(self, frame.slots)
            else:
                self._drop_frame(frame)
        except ProtocolError:
            raise
        except BaseException as error:
            # What one call brings may not end the link, which is that of all calls.
            session = self.open_sessions.get(frame.call)
            if session is None:
                raise
            end_in_net(session, error)

    def _is_permitted(self) -> bool:
        """Say whether the caller may begin calls, as it might when the link was made."""
        permit = self.link.permit
        return permit is None or not permit.find_refusal()

    def _note_want(self, slots: int) -> None:
        """Have slots offered to the caller when some are free.

        Raises ProtocolError where it wants more than there are: that would be waited for in vain.
        """
        if not 0 < slots <= self._slots.total:
            reason = f"{slots} slots are wanted of {self._slots.total}"
            raise ProtocolError(reason=reason, frame="want")
        if self._is_permitted():
            self._slots.want(self, slots)
        else:
            # None are kept for it: the call that comes is refused, and learns why.
            self.offer_slots(slots)

    def _drop_frame(self, frame: Frame) -> None:
        """Pass over a frame of a call that has ended here."""
        if frame.call > self._last or frame.call in self._overtaken:
            raise ProtocolError(reason=f"no call {frame.call} was opened", frame=frame.symbol)
        if FrameDropped.listeners:
            announce(FrameDropped(frame.call, frame.symbol))

    def _open_session(self, task: Task) -> None:
        """Begin a session; the number of its call must be one that was never used."""
        call, last = task.call, self._last
        if call == last + 1:
            self._last = call
        elif last < call <= last + AHEAD - len(self._overtaken):
            self._overtaken.update(range(last + 1, call))
            self._last = call
        elif call in self._overtaken:
            self._overtaken.remove(call)
        else:
            raise ProtocolError(
                reason=f"call {call} is or was open, or is far ahead", frame=task.symbol
            )
        session = self.open_sessions[call] = Session(self, task)
        if task.drive is None:
            self._note_undriven(task)
        else:
            self.begin_call(session, task.drive)

    def _note_undriven(self, task: Task) -> None:
        """Note a call that waits for its first drive, as none of ours does."""
        opened = [self.open_sessions.get(call) for call in (*self._undriven, task.call)]
        waiting = [one.task for one in opened if one is not None and one.state in _UNDRIVEN_STATES]
        self._undriven = [one.call for one in waiting]
        most, most_bytes = UNDRIVEN
        if len(waiting) > most or sum(one.weight for one in waiting) > most_bytes:
            reason = f"more than {most} calls, or {most_bytes} bytes of them, wait for a drive"
            raise ProtocolError(reason=reason, frame=task.symbol)

    def handle_unsent(self, frame: Frame, error: Exception) -> None:
        """End the call of an answer that cannot leave; its caller learns why.

        Raises the error when even so little cannot be sent.
        """
        if not isinstance(frame, Result | ExceptionFrame) or (
            frame.weight < _LEAST and not isinstance(frame, Result)
        ):
            raise error
        session = self.open_sessions.get(frame.call)
        # What is too long is the payload; the chain is sent as the routine left it.
        manifest = frame.manifest if isinstance(error, FrameTooLong) else None
        what = "the result" if isinstance(frame, Result) else "the exception"
        routine = "" if session is None else self.name_of(session.task)
        refusal = refuse_unsendable(error, what, routine)
        self.refuse_call(frame.call, refusal, routine, manifest)

    def receive_goodbye(self, reason: str) -> None:
        """The caller opens no more calls; the ones it has go on until it closes the stream."""

    def link_ended(self, _: Exception | None) -> None:
        """Cancel every call and close every generator, each in its own context."""
        all_sessions.discard(self)
        self._slots.forget(self)
        sessions, self.open_sessions = self.open_sessions, {}
        for session in sessions.values():
            session.abandon_call()
        # Whoever still holds this holds nothing that the peer has sent.
        self.functions.clear()
        self._states.clear()
        self._contexts.clear()
        self._undriven.clear()
        self._overtaken.clear()

    def begin_call(self, session: Session, drive: Drive) -> None:
        """Accept a call at its first drive and run it, or refuse it."""
        task = session.task
        answer = self.admit_call(task, drive.manifest)
        if isinstance(answer, Nack):
            session.refuse_call(answer)
            return
        declared = answer.declared
        if task.slots or declared.slots or declared.plain or self._admission is not None:
            refused = self._find_refusal(session, answer.declared)
            if refused is not None:
                session.refuse_call(refused)
                return
        session.note_sent("ack")
        self.link.send(Ack(task.call))
        bounded = task.timeout_ns is not None or task.dispatch_timeout_ns is not None
        time = TimeLeft(session, answer.declared) if bounded else None
        if answer.declared.plain:
            session.running = RunningPlain(session, answer, drive, time, self._slots.threads)
        else:
            kind = RunningStream if task.stream else RunningCall
            session.running = kind(session, answer, drive, time)

    def offer_slots(self, slots: int) -> None:
        """Let the caller know that so many slots are kept for it."""
        self.link.send(Offer(0, slots))

    def _find_refusal(self, session: Session, declared: Declaration) -> Nack | None:
        """Return why a call is refused for now; else have it hold the slots that it needs."""
        call, plain = session.task.call, declared.plain
        if self._admission is not None:
            # Without the call itself, which has been opened.
            active = sum(one.open_calls for one in copy_members(all_sessions)) - 1
            why = self._admission.find_reason(active, declared.name, plain=plain)
            if why:
                return Nack(call, NackCode.BUSY, printable(why, TEXT_LIMIT))
        needed, forced = session.task.slots, not self._counts_slots
        if forced:
            needed = declared.slots
        if not (needed or plain):
            return None
        total = self._slots.total
        if needed > total and not forced:
            text = f"it has {total} slots in all, and the call needs {needed}"
            return Nack(call, NackCode.BUSY, text)
        offered = session.task.offered
        held = self._slots.take(self, declared.name, needed, offered=offered, forced=forced)
        session.held = held
        return None if held else Nack(call, NackCode.BUSY, self._slots.describe_holders(), needed)

    def admit_call(self, task: Task, manifest: ChainManifest | None) -> AcceptedCall | Nack:
        """Return what to run and the Contexts to run it in, or the refusal."""
        permit, overtime = self.link.permit, self.overtime
        if permit is not None and (why := permit.find_refusal()):
            refused = announced(PeerRefused(peer=str(permit.identity), reason=why))
            code = NackCode.FORBIDDEN if may_send(1) else NackCode.UNSPECIFIED
            return Nack(task.call, code, printable(refused.text(), TEXT_LIMIT))
        # Nested calls are served: what made them has until the worker ends.
        if self.draining or (overtime is not None and overtime.is_late and not self.nested):
            return Nack(task.call, NackCode.DRAINING)
        if len(self.open_sessions) > CALL_LIMIT:
            return Nack(task.call, NackCode.BUSY, f"{CALL_LIMIT} calls are open on its link")
        try:
            declared = self.functions.get(task.function) or self._load_function(task)
            if declared is not None and declared.stream != task.stream:
                kinds = _kind_of(declared.stream), _kind_of(task.stream)
                raise TypeError(f"{declared.name} is {kinds[0]}, not {kinds[1]}")  # noqa: TRY301
            states, base = self._states, None
            if declared is not None and manifest is not None:
                # First on the chain: most calls name a state there that has the proxy and no more.
                base = None if manifest.entries else states.roots.get(manifest.base)
                base = base or states.find_bound(manifest)
            if declared is not None and base is None:
                states = self._contexts.get(task.proxy_id) or self._contexts_for(task)
                base = states and states.find_base(manifest)
        except BaseException as error:
            # Loading imports modules, and a module may as well raise SystemExit.
            return Nack(task.call, NackCode.UNLOADABLE, printable(reason(error), TEXT_LIMIT))
        if declared is None or states is None or base is None:
            return Nack(task.call, NackCode.UNKNOWN)
        self.functions.move_to_end(task.function)
        return AcceptedCall(declared, states, base)

    def _load_function(self, task: Task) -> Declaration | None:
        """Return the callable that a Task has brought, None without one; raises as loading does."""
        if not task.callable:
            return None
        loaded = declaration_of(pickler.loads(task.callable))
        self.functions.keep(task.function, loaded, len(task.callable))
        return loaded

    def _contexts_for(self, task: Task) -> KeptStates | None:
        """Return Contexts in which the proxy in the fields of a Task is bound, None without it.

        Raises ProtocolError for one that cannot be restored.
        """
        bound = restore_from_fields(self._proxies, task)
        if bound is None:
            return None
        made = KeptStates(self._values, bound)
        self._contexts.keep(task.proxy_id, made, len(task.proxy))
        return made


def _kind_of(stream: bool) -> str:  # noqa: FBT001
    return "an async generator" if stream else "a coroutine"
