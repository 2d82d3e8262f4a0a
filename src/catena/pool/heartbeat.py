"""The heartbeat of a loop that serves a pool: once a second it polls and measures its delay.

So an SDK that is configured late is found, and a busy loop is seen by how late the beat comes. A
thread of its own keeps the time: a timer of the loop would stay at the head of the loop's queue,
and asyncio drops a cancelled timer, with the variables in its Context, only when that comes to the
head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event, Thread
from time import perf_counter_ns

from catena.dispatch.posting import post
from catena.events import LoopTicked
from catena.events.bus import announce, poll

SECONDS = 1.0


class Heartbeat:
    """Beats on the running loop from ``start`` to ``stop``; the first beat is at once.

    ``on_beat`` is called at each beat.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self.on_beat: Callable[[], object] = _do_nothing
        self._seconds = seconds
        self._over = Event()

    def start(self) -> None:
        """Call ``poll`` now, and go on beating."""
        poll()
        self.on_beat()
        loop = asyncio.get_running_loop()
        Thread(target=self._keep_time, args=(loop,), name="catena-heartbeat", daemon=True).start()

    def stop(self) -> None:
        """Beat no more; may be called twice, and without a start."""
        self._over.set()

    def _keep_time(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._over.wait(self._seconds):
            if not post(loop, self._beat_once, perf_counter_ns()):
                # The loop was closed before the pool was.
                return

    def _beat_once(self, due: int) -> None:
        if self._over.is_set():
            return
        if LoopTicked.listeners:
            announce(LoopTicked(perf_counter_ns() - due))
        self.on_beat()
        poll()


def _do_nothing() -> None:
    """Is called at each beat where nobody wants anything else to be."""
