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
