"""The pulse of a link: whether the worker at its other end answers.

An event loop that a routine blocks answers nothing, also no Ping. So while calls are open a timer
looks now and then. Where the worker has said nothing for a while it is asked by a Ping; one that
leaves a Ping, or its oldest call, without an answer until the next look is held up. While it
answers and gets no new calls, the looks get rarer.

A caller whose own loop was busy has not read yet what came meanwhile, so a look that comes late
blames nobody. Workers that do not know about pings are not asked.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sized
from itertools import count
from time import monotonic

from catena.link.link import Link
from catena.wire.frames import Ping
from catena.wire.versions import PINGS

HELD_UP_SECONDS = 0.02
"""A worker that leaves a call unacknowledged, or a Ping unanswered, for so long is held up."""

_RAREST = 0.5
"""Seconds between two looks while calls are open and the worker answers."""


class Pulse:
    """Whether the worker at the other end of a link answers.

    ``calls`` are those that are open, ``unacknowledged`` the numbers of those without an Ack, in
    their order. ``held_up`` says that the worker should get no call while another one answers,
    ``is_alert`` that the next look comes soon.
    """

    def __init__(self, link: Link, calls: Sized, unacknowledged: dict[int, None]) -> None:
        self.held_up = False
        self.is_alert = False
        # Whether the worker can be asked: others are never held to be silent.
        self.can_ask = PINGS in link.capabilities
        self._link = link
        self._calls = calls
        self._unacknowledged = unacknowledged
        self._oldest = 0
        self._pause = HELD_UP_SECONDS
        self._asked_at = 0.0
        self._numbers = count(1)
        self._timer: asyncio.TimerHandle | None = None

    def measure_silence(self) -> float:
        """Return how many seconds ago the worker was asked, 0 where it has answered since."""
        return 0.0 if self._link.heard_at >= self._asked_at else monotonic() - self._asked_at

    def ask(self) -> None:
        """Send a Ping, unless one is waiting for its answer."""
        if self.can_ask and self._link.heard_at >= self._asked_at:
            self._asked_at = monotonic()
            self._link.send(Ping(0, next(self._numbers)))

    def forgive(self, seconds: float) -> None:
        """Do not count so many seconds in which nothing was read here."""
        if self._link.heard_at < self._asked_at:
            self._asked_at = min(self._asked_at + seconds, monotonic())

    def watch(self) -> None:
        """Look soon: a call is sent."""
        if self._timer is not None:
            self._timer.cancel()
        self._oldest = next(iter(self._unacknowledged), 0)
        self._look_after(HELD_UP_SECONDS)

    def _look_after(self, pause: float) -> None:
        self._pause = pause
        self.is_alert = pause == HELD_UP_SECONDS
        self._timer = self._link.loop.call_later(
            pause, self._look, monotonic() + pause, context=contextvars.Context()
        )

    def _look(self, due: float) -> None:
        """See whether the worker has answered since the last look, and look again later."""
        self._timer = None
        now, silence = monotonic(), self.measure_silence()
        if not self._link.up or not (self._calls or silence):
            self.is_alert = self.held_up = False
            return
        oldest = next(iter(self._unacknowledged), 0)
        if now - due < HELD_UP_SECONDS:
            is_stuck = oldest != 0 and oldest == self._oldest
            self.held_up = is_stuck or silence > HELD_UP_SECONDS / 2
            if now - self._link.heard_at > HELD_UP_SECONDS / 2:
                self.ask()
        self._oldest = oldest
        is_waiting = oldest or self.measure_silence()
        self._look_after(HELD_UP_SECONDS if is_waiting else min(self._pause * 2, _RAREST))
