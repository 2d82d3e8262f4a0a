"""The watch over the workers of a pool: who does not answer is set aside, and in the end given up.

Each worker is asked by a Ping at intervals. One that leaves it unanswered for some time is suspect:
it gets no calls while another worker is ready. When it answers it is ready again. What to do
besides, and with one that goes on saying nothing, is up to the keeper of the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic
from typing import Protocol
from weakref import WeakKeyDictionary

from catena.dispatch.caller.pulse import Pulse
from catena.proxy.member import Member

SUSPECT_SECONDS = 2.0
"""How long a worker may leave a Ping unanswered, unless it is given up soon after that."""


class Keeper(Protocol):
    """Who keeps the processes of workers; called from the event loop, must not block."""

    def worker_fell_silent(self, member: Member, seconds: float, /) -> None:
        """Learn that a worker has left a Ping unanswered for so long, and is suspect now."""
        ...

    def worker_answered(self, member: Member, seconds: float, /) -> None:
        """Learn that a suspect worker answers again, after about so many seconds."""
        ...

    def give_worker_up(self, member: Member, seconds: float, /) -> None:
        """End a worker that has not answered for as long as it may."""
        ...


class Watch:
    """Asks workers whether they are there, at each ``look``.

    ``members`` returns those that are to be watched, ``patience`` is how many seconds of silence
    end a worker, None for no end. Looks are ``look_pause(patience)`` seconds apart. Without a
    ``keeper`` a worker that does not answer is suspect here, and that is all.
    """

    def __init__(
        self,
        members: Callable[[], Iterable[Member]],
        keeper: Keeper | None = None,
        patience: float | None = None,
    ) -> None:
        self._members = members
        self._keeper = keeper
        self._patience = patience
        self._suspect_after = _suspect_after(patience)
        self._pause = look_pause(patience)
        self._looked_at = monotonic()
        # Those that are suspect for their silence, how long it lasts, and who was given up.
        self._silent: WeakKeyDictionary[Member, float] = WeakKeyDictionary()
        self._given_up: set[str] = set()

    def look(self) -> None:
        """Judge each worker by its silence, and ask those that have answered once more."""
        now = monotonic()
        late = now - self._looked_at - self._pause
        self._looked_at = now
        for member in tuple(self._members()):
            self._look_at(member, late)
            pulse = _pulse_of(member)
            if pulse is not None:
                pulse.ask()

    def _look_at(self, member: Member, late: float) -> None:
        """Judge a worker by its silence; in ``late`` seconds of it this loop read nothing."""
        pulse = _pulse_of(member)
        if pulse is None:
            # A link that is made anew shows whether it answers.
            if self._silent.pop(member, None) is not None:
                member.trust()
            self._given_up.discard(member.worker)
            return
        if late > self._pause:
            pulse.forgive(late)
        silence = pulse.measure_silence()
        if silence >= self._suspect_after:
            self._note_silence(member, silence)
        elif not silence and member in self._silent:
            seconds = self._silent.pop(member)
            member.trust()
            if self._keeper is not None:
                self._keeper.worker_answered(member, seconds)

    def _note_silence(self, member: Member, silence: float) -> None:
        known = member in self._silent
        self._silent[member] = silence
        member.suspect()
        if self._keeper is None:
            return
        if not known:
            self._keeper.worker_fell_silent(member, silence)
        if self._patience is None or silence < self._patience or member.worker in self._given_up:
            return
        self._given_up.add(member.worker)
        self._keeper.give_worker_up(member, silence)


def look_pause(patience: float | None) -> float:
    """Return how many seconds pass between two looks at workers that are given up after others."""
    return _suspect_after(patience) / 2


def _suspect_after(patience: float | None) -> float:
    return SUSPECT_SECONDS if patience is None else min(SUSPECT_SECONDS, patience / 2)


def _pulse_of(member: Member) -> Pulse | None:
    """Return what knows whether a worker answers, None without a link that is up."""
    caller = member.caller
    return caller.pulse if caller is not None and caller.link.up else None
