"""The last refusals of this process, for whoever asks later who refused whom, and why.

What happens once more is counted and not kept twice, so that a peer that comes back all the time
leaves the others in sight. It listens at the seam from the moment that it is imported, and costs
nothing as long as nobody is refused.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from catena.escape import printable
from catena.events.bus import Event, subscribe
from catena.events.facts import CallNacked, CallRefused, HandshakeFailed, RecordRefused
from catena.events.refusals import (
    CredentialsFailed,
    PeerAccessRefused,
    PeerVersionRefused,
    ProtocolBroken,
)

KEPT = 256
"""How many refusals are kept."""

_TEXT_LIMIT = 500
_HARMLESS = "UNKNOWN"
"""The code of a call that is sent once more, whole."""
_OF_CALLS = ("CallNacked", "CallRefused")
_PASSING = ("busy", "draining")


class Refusal(NamedTuple):
    """Somebody was refused: ``kind`` is the name of the event that said so.

    ``by`` and ``whom`` are empty for the process that keeps it. ``times`` is how often it has
    happened, ``at`` when it did last, in seconds since 1970.
    """

    kind: str
    by: str
    whom: str
    reason: str
    times: int
    at: float

    @property
    def is_passing(self) -> bool:
        """Whether a call was refused for now, which another worker may have taken."""
        return self.kind in _OF_CALLS and self.reason.rpartition(": ")[2] in _PASSING


Ends = tuple[str, str, str]
"""By whom, whom and why."""


def _read_nacked(event: CallNacked) -> Ends | None:
    if event.code == _HARMLESS:
        return None
    return event.worker, "", f"a call of {event.routine}: {event.code.lower()}"


def _read_refused(event: CallRefused) -> Ends | None:
    if event.code == _HARMLESS:
        return None
    return "", event.peer, f"a call of {event.routine}: {event.code.lower()}"


_READERS: dict[type[Event], Callable[[Any], Ends | None]] = {
    PeerVersionRefused: lambda event: ("", event.peer, event.error.text()),
    PeerAccessRefused: lambda event: (event.by, event.error.peer, event.error.cause),
    ProtocolBroken: lambda event: ("", event.peer, event.error.text()),
    CredentialsFailed: lambda event: ("", event.error.where, event.error.cause),
    CallNacked: _read_nacked,
    CallRefused: _read_refused,
    HandshakeFailed: lambda event: (
        "",
        f"a peer at {event.address}",
        "its handshake failed, or it said nothing after it",
    ),
    RecordRefused: lambda event: (
        "",
        event.worker,
        f"the record for {event.target} names {event.expected}",
    ),
}

KINDS: tuple[type[Event], ...] = tuple(_READERS)
"""What counts as a refusal."""

_lock = threading.Lock()
_kept: dict[tuple[str, str, str, str], tuple[int, float]] = {}


def list_refusals() -> tuple[Refusal, ...]:
    """Return the refusals that are kept, the latest last; from any thread."""
    with _lock:
        found = [*_kept.items()]
    return tuple(Refusal(*ends, times, at) for ends, (times, at) in found)


def _note(event: Event) -> None:
    ends = _READERS[type(event)](event)
    if ends is None:
        return
    by, whom, why = (printable(one, _TEXT_LIMIT) for one in ends)
    key = type(event).__name__, by, whom, why
    with _lock:
        times, _ = _kept.pop(key, (0, 0.0))
        _kept[key] = times + 1, time.time()
        if len(_kept) > KEPT:
            del _kept[next(iter(_kept))]


def forget_refusals() -> None:
    """Keep none of those before: in a forked child, where the lock may be held for ever."""
    global _lock  # noqa: PLW0603 - the process's own
    _lock = threading.Lock()
    _kept.clear()


os.register_at_fork(after_in_child=forget_refusals)
subscribe(_note, *KINDS)
