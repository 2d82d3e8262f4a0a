"""Links, workers and event loops as the core announces them."""

from __future__ import annotations

from dataclasses import dataclass

from catena.events.bus import Event


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
    """The timer of a pool's or a worker's event loop fired, late by some nanoseconds."""

    lag_ns: int


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """A worker process of this pool accepts connections."""

    worker: str
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerExited(Event):
    """A worker process of this pool has ended; a negative code is the signal that ended it."""

    worker: str
    pid: int
    exit_code: int
