"""The vocabulary of the seam: one small class for each thing that happens.

Facts are in the past tense, operations are nouns, refusals carry the error that is raised with
them. Ids are bytes here, as in the core; whoever shows them turns them into hexadecimal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, cast

from catena.errors import (
    CatenaError,
    ChainContention,
    SerializationError,
    TaskFactoryDisplaced,
    VersionRefused,
)
from catena.ids import ID_BYTES
from catena.observe import Event, announce
from catena.operations import Dispatch, Execution, Key, Lease, Mount

__all__ = [
    "CallNacked",
    "ChainForked",
    "ContentionRefused",
    "ContentionUnhandled",
    "Dispatch",
    "EntryLost",
    "Execution",
    "FactoryDisplaced",
    "ForwardDropped",
    "FrameDropped",
    "KeysUndeclared",
    "Lease",
    "LinkClosed",
    "LinkOpened",
    "LoopTicked",
    "Mount",
    "SerializationFailed",
    "TokenReset",
    "Unmounted",
    "VersionWasRefused",
    "WorkerExited",
    "WorkerStarted",
    "refused",
    "unhandled",
]

E = TypeVar("E", bound=CatenaError)

_members: Any = BaseExceptionGroup.__dict__["exceptions"].__get__


# ---- facts


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
    """A created task, or a thread, was given a chain of its own."""

    chain_id: bytes
    parent_id: bytes


@dataclass(frozen=True, slots=True)
class Unmounted(Event):
    """A worker took a chain out of the Context that its call ran in.

    Its counter is called with nothing, and returns whether that is all.
    """

    chain_id: bytes


@dataclass(frozen=True, slots=True)
class EntryLost(Event):
    """One entry of a manifest could not be written or read and was left out."""

    key: Key
    sending: bool
    cause: str


@dataclass(frozen=True, slots=True)
class ForwardDropped(Event):
    """A worker sent a forward-only variable back, and the caller dropped it."""

    key: Key


@dataclass(frozen=True, slots=True)
class KeysUndeclared(Event):
    """A chain ends on a worker where nobody declared these variables; told once for each key."""

    chain_id: bytes
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class FrameDropped(Event):
    """A frame came for a call that had ended here: it crossed the end on its way."""

    call: int
    kind: str


@dataclass(frozen=True, slots=True)
class CallNacked(Event):
    """A worker refused a call before it began."""

    routine: str
    worker: str
    code: str


@dataclass(frozen=True, slots=True)
class LinkOpened(Event):
    """A link to a peer is up, both have said hello; ``local`` is the protocol version here."""

    peer: str
    protocol: str
    software: str
    local: str = ""


@dataclass(frozen=True, slots=True)
class LinkClosed(Event):
    """A link ended, in good order (``error`` is None) or not."""

    peer: str
    error: BaseException | None
    protocol: str = ""
    local: str = ""


@dataclass(frozen=True, slots=True)
class LoopTicked(Event):
    """The event loop of a pool or a worker came to its timer, so many nanoseconds late."""

    lag_ns: int


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """A spawned worker listens."""

    worker: str
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerExited(Event):
    """A spawned worker has ended; a negative code is the signal that ended it."""

    worker: str
    pid: int
    exit_code: int


# ---- refusals


@dataclass(frozen=True, slots=True)
class ContentionRefused(Event):
    """A second runner was kept from a chain."""

    error: ChainContention


@dataclass(frozen=True, slots=True)
class ContentionUnhandled(Event):
    """A contention ended a routine; told at its worker, and at its caller where it is raised again.

    ``error`` is the first one where an exception group holds it.
    """

    error: ChainContention
    routine: str
    call: int
    at_caller: bool


@dataclass(frozen=True, slots=True)
class FactoryDisplaced(Event):
    """A loop's task factory was replaced by one that drops copy-on-fork.

    Announced each time that the error is raised; once for each displacement when a mount finds it,
    and once when the completion of a task does.
    """

    error: TaskFactoryDisplaced


@dataclass(frozen=True, slots=True)
class VersionWasRefused(Event):
    """A peer of another major version was turned away."""

    error: VersionRefused


@dataclass(frozen=True, slots=True)
class SerializationFailed(Event):
    """An argument, a result, a routine or a chain could not be written or read."""

    error: SerializationError


def refused(error: E) -> E:
    """Announce an error where it is raised, and return it to be raised: once for each."""
    match error:
        case ChainContention():
            if ContentionRefused.listeners:
                announce(ContentionRefused(error))
        case TaskFactoryDisplaced():
            if FactoryDisplaced.listeners:
                announce(FactoryDisplaced(error))
        case VersionRefused():
            if VersionWasRefused.listeners:
                announce(VersionWasRefused(error))
        case SerializationError():
            if SerializationFailed.listeners:
                announce(SerializationFailed(error))
        case _:
            pass
    return error


def unhandled(error: BaseException, routine: str, call: int, *, at_caller: bool) -> None:
    """Announce what ends a routine if that is a contention, alone or in a group."""
    if ContentionUnhandled.listeners:
        found = _contention(error)
        if found is not None:
            announce(ContentionUnhandled(found, routine, call, at_caller))


def _contention(error: BaseException) -> ChainContention | None:
    """Return the first contention that is an error, or in its groups; runs no code of theirs."""
    left = [error]
    while left:
        one = left.pop()
        if issubclass(type(one), ChainContention):
            return cast("ChainContention", one)
        if issubclass(type(one), BaseExceptionGroup):
            left += reversed(_members(one))
    return None
