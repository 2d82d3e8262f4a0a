"""Refusals: errors of ours, announced where they are raised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, cast

from catena.errors import (
    CatenaError,
    ChainContention,
    CredentialsError,
    PeerRefused,
    ProtocolError,
    QueueUnreachable,
    SerializationError,
    TaskFactoryDisplaced,
    VersionRefused,
)
from catena.events.bus import Event, announce

E = TypeVar("E", bound=CatenaError)

_members: Any = BaseExceptionGroup.__dict__["exceptions"].__get__


@dataclass(frozen=True, slots=True)
class ContentionRefused(Event):
    """A second thread or task was refused a chain that another one is running."""

    error: ChainContention


@dataclass(frozen=True, slots=True)
class ContentionUnhandled(Event):
    """A contention ended a routine: announced at the worker, and where the caller raises it again.

    ``error`` is the first one where an exception group holds it.
    """

    error: ChainContention
    routine: str
    call: int
    at_caller: bool

    @property
    def end(self) -> str:
        """Which end of the call announces it: ``caller`` or ``worker``."""
        return "caller" if self.at_caller else "worker"


@dataclass(frozen=True, slots=True)
class FactoryDisplaced(Event):
    """A loop's task factory was replaced by one that does not give created tasks their copies.

    Announced each time that the error is raised; once for each displacement when a mount finds it,
    and once when the completion of a task does.
    """

    error: TaskFactoryDisplaced


@dataclass(frozen=True, slots=True)
class PeerVersionRefused(Event):
    """A peer of another major version was turned away; ``peer`` is what it has called itself."""

    error: VersionRefused
    peer: str = ""


@dataclass(frozen=True, slots=True)
class PeerAccessRefused(Event):
    """One end of a link refused the other: for its name, its secret, or what it did before hello.

    Each end that learns it announces it. ``by`` is the other end where that has refused this one.
    """

    error: PeerRefused
    by: str = ""


@dataclass(frozen=True, slots=True)
class ProtocolBroken(Event):
    """A peer has sent a frame that it may not send, or more than it may.

    That has ended its ``call`` of this number, or where it is 0, the link to it.
    """

    error: ProtocolError
    peer: str
    call: int = 0

    @property
    def ended(self) -> str:
        """What it has ended: ``call`` or ``link``."""
        return "call" if self.call else "link"


@dataclass(frozen=True, slots=True)
class CredentialsFailed(Event):
    """Credentials, or a list of who may call, could not be used, or were missing.

    Those that were read before are ``kept`` in use where there are some; nothing is raised then.
    """

    error: CredentialsError
    kept: bool = False

    @property
    def unexpected(self) -> bool:
        """Whether nothing else reports it."""
        return self.kept

    @property
    def follows(self) -> str:
        """What happens now, in words."""
        return "what was read before stays in use" if self.kept else ""


@dataclass(frozen=True, slots=True)
class SerializationFailed(Event):
    """An argument, a result, a routine or a chain could not be written or read."""

    error: SerializationError


@dataclass(frozen=True, slots=True)
class QueueFailed(Event):
    """The store of a queue did not answer, or not in time: nothing was submitted, mounted or read.

    Code that cannot await announces a store that is down once, and not for each value.
    """

    error: QueueUnreachable


_EVENTS: tuple[tuple[type[CatenaError], Any], ...] = (
    (ChainContention, ContentionRefused),
    (TaskFactoryDisplaced, FactoryDisplaced),
    (VersionRefused, PeerVersionRefused),
    (PeerRefused, PeerAccessRefused),
    (CredentialsError, CredentialsFailed),
    (SerializationError, SerializationFailed),
    (QueueUnreachable, QueueFailed),
)


def announced(error: E, **facts: str) -> E:
    """Announce an error where it is raised, and return it to be raised: once for each.

    ``facts`` are further fields of its event.
    """
    for kind, event in _EVENTS:
        if isinstance(error, kind):
            if event.listeners:
                announce(event(error, **facts))
            break
    return error


def announce_unhandled_contention(
    error: BaseException, routine: str, call: int, *, at_caller: bool
) -> None:
    """Announce what ends a routine if that is a contention, alone or in a group."""
    if ContentionUnhandled.listeners:
        found = _contention_in(error)
        if found is not None:
            announce(ContentionUnhandled(found, routine, call, at_caller))


def _contention_in(error: BaseException) -> ChainContention | None:
    """Return the first contention that is an error, or in its groups; runs no code of theirs."""
    left = [error]
    while left:
        one = left.pop()
        if issubclass(type(one), ChainContention):
            return cast("ChainContention", one)
        if issubclass(type(one), BaseExceptionGroup):
            left += reversed(_members(one))
    return None
