"""What has happened, as the core announces it. Keys are namespace and name."""

from __future__ import annotations

from dataclasses import dataclass

from catena.events.bus import Event
from catena.ids import ID_BYTES, Key


@dataclass(frozen=True, slots=True)
class CallNacked(Event):
    """A worker refused a call before it began."""

    routine: str
    worker: str
    code: str


@dataclass(frozen=True, slots=True)
class CallRefused(Event):
    """This worker refused a call of a ``peer`` before it began; ``code`` says why, in one word."""

    routine: str
    peer: str
    code: str


@dataclass(frozen=True, slots=True)
class CallRetried(Event):
    """A call is about to be made once more, as ``attempt``: it was lost with its ``worker``."""

    routine: str
    worker: str
    attempt: int


@dataclass(frozen=True, slots=True)
class CallWaited(Event):
    """A call, one of so many, has waited for a minute or longer, and goes on waiting.

    That is for a worker that it can be sent to, or for slots of one; ``cause`` says in words what
    is missing. For each pool, and for each of the two, it is announced once a minute at most.
    """

    routine: str
    seconds: float
    calls: int
    cause: str


@dataclass(frozen=True, slots=True)
class FrameDropped(Event):
    """A frame came for a call that had ended here in the meantime."""

    call: int
    kind: str


@dataclass(frozen=True, slots=True)
class Unmounted(Event):
    """A worker took a chain out of the Context that its call ran in."""

    chain_id: bytes


@dataclass(frozen=True, slots=True)
class TokenReset(Event):
    """A reset was tried; ``outcome`` is ok, used, foreign (other variable) or orphan (context)."""

    key: Key
    token_id: bytes
    outcome: str

    @property
    def minted_by(self) -> bytes:
        """The first half of the id, which all ids share that the minting process drew."""
        return self.token_id[: ID_BYTES // 2]


@dataclass(frozen=True, slots=True)
class ChainForked(Event):
    """A created task, a thread, or a task of another engine was given a chain of its own."""

    chain_id: bytes
    parent_id: bytes


@dataclass(frozen=True, slots=True)
class EntryLost(Event):
    """One entry of a manifest could not be written or read and was left out."""

    key: Key
    sending: bool
    cause: str

    @property
    def direction(self) -> str:
        """The word for ``sending``: ``sent`` or ``read``."""
        return "sent" if self.sending else "read"


@dataclass(frozen=True, slots=True)
class ForwardDropped(Event):
    """A worker sent a forward-only variable back, and the caller dropped it."""

    key: Key


@dataclass(frozen=True, slots=True)
class KeysUndeclared(Event):
    """A chain ended on a worker where these variables were never declared; once for each key."""

    chain_id: bytes
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class LinkOpened(Event):
    """A link to a peer is up, both have said hello; ``local`` is the protocol version here.

    The peer is not capable of what it is ``lacking`` and this process has: calls do without it.
    """

    peer: str
    protocol: str
    software: str
    local: str = ""
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkClosed(Event):
    """A link ended, in good order (``error`` is None) or not."""

    peer: str
    error: BaseException | None
    protocol: str = ""
    local: str = ""


@dataclass(frozen=True, slots=True)
class HandshakeFailed(Event):
    """A connection to an address with TLS has brought no call in time: its handshake failed.

    Or its peer has said nothing more after it. Who that was, gRPC does not say.
    """

    address: str


@dataclass(frozen=True, slots=True)
class LoopTicked(Event):
    """The timer of a pool's or a worker's event loop fired, late by some nanoseconds."""

    lag_ns: int


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """A worker process of this pool accepts connections."""

    worker: str
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerExited(Event):
    """A worker process of this pool has ended; a negative code is the signal that ended it.

    ``reason`` says in words how it ended, as the ``cause`` of WorkerLost does, and ``follows`` what
    the pool does about one that has died. It is ``unexpected`` when the pool has not ended it, or
    has no other one for its place.
    """

    worker: str
    pid: int
    exit_code: int
    reason: str = ""
    follows: str = ""
    unexpected: bool = False


@dataclass(frozen=True, slots=True)
class WorkerReplaced(Event):
    """Another worker has taken the place of one of this pool, for ``reason``."""

    worker: str
    replacement: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerJoined(Event):
    """A worker that this pool has not started itself gets its calls from now on.

    ``source`` says by whom it is known: "discovery" or "launcher".
    """

    worker: str
    target: str
    source: str


@dataclass(frozen=True, slots=True)
class WorkerLeft(Event):
    """A worker that this pool has not started itself gets no more calls, for ``reason``.

    It is ``unexpected`` where its link has ended and nobody had withdrawn it.
    """

    worker: str
    target: str
    source: str
    reason: str
    unexpected: bool = False


@dataclass(frozen=True, slots=True)
class RecordRefused(Event):
    """At the ``target`` of a member record is another worker than the one ``expected``."""

    worker: str
    target: str
    expected: str


@dataclass(frozen=True, slots=True)
class RoutineOverran(Event):
    """A routine goes on although its time is up; its worker takes no more calls.

    ``kill_after`` is how many seconds after the timeout the worker is killed.
    """

    worker: str
    pid: int
    routine: str
    kill_after: float


@dataclass(frozen=True, slots=True)
class LogRecordsDropped(Event):
    """Log records of a worker did not reach its parent, because too many of them were waiting."""

    worker: str
    count: int


@dataclass(frozen=True, slots=True)
class WorkerSuspected(Event):
    """A worker has not answered for some seconds, and gets no calls while another one is ready.

    ``cause`` is what is known in words, ``stack`` where its event loop is blocked, innermost call
    first; it is empty where that is not known.
    """

    worker: str
    pid: int
    seconds: float
    cause: str
    stack: str


@dataclass(frozen=True, slots=True)
class WorkerRecovered(Event):
    """A worker that was suspect answers again, after about so many seconds."""

    worker: str
    pid: int
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerGivenUp(Event):
    """A worker has not answered for as long as it may, and is killed by its pool.

    One that the pool has not started has no ``pid`` here, and loses its link.
    """

    worker: str
    pid: int
    seconds: float
