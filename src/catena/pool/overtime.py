"""Routines that go on when their time is up: their worker takes no more calls, and ends for them.

The problem: a thread cannot be interrupted, and neither can a coroutine that blocks its event loop.
Only the process can be ended, with all else that runs in it.

The idea: a thread of the worker keeps the time of each call that has a ``kill_after``. When the
timeout has passed and the routine goes on, the worker refuses calls from then on; after the
``kill_after`` it ends itself. The call that is killed for first stands in a file of the worker. The
pool reads that at each beat: it starts another worker when it finds a call whose time is up, and
kills the worker when the call is still there after the kill was due, since C code that holds the
interpreter's lock stops the thread as well. After the end of the worker the file says for which
routine that was.

An example, with a timeout of 10 s and a ``kill_after`` of 2 s::

    worker                              pool
    0 s     the routine begins
    10.1 s  it goes on: no more calls   starts another worker, lets this one drain
    12 s    it goes on: os._exit        calls that ran beside it fail with WorkerLost
    13 s                                kills the worker, if it is still there
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from catena.escape import printable

_ENDING_SECONDS = 0.1
"""How long a cancelled routine may take to end before it counts as one that goes on."""

_LENGTH = 512
"""The bytes of the file."""


class Overtime(NamedTuple):
    """The call that a worker is killed for first, in seconds of ``time.monotonic``.

    ``late_at`` is when its worker takes no more calls, ``kill_at`` when it ends, ``seconds`` is the
    ``kill_after``. ``kill_at`` is infinite for a call that was late and has ended since.
    """

    late_at: float
    kill_at: float
    seconds: float
    routine: str

    @property
    def reason(self) -> str:
        """Why the worker takes no more calls, in words."""
        return f"routine {self.routine} went on when its time was up"

    @property
    def verdict(self) -> str:
        """Why the worker was killed, in words."""
        return f"routine {self.routine} had not ended {self.seconds:g} s after its timeout"


@dataclass(slots=True, eq=False)
class _Limit:
    """One call that runs."""

    about: Overtime
    ended: bool = False

    def __lt__(self, other: _Limit) -> bool:
        return self.about.kill_at < other.about.kill_at


class OvertimeWatch:
    """Watches the calls of one worker that it may have to end for.

    ``path`` is the file that the pool reads; it is made with the first such call. ``end_worker``
    ends the process, from a thread of its own. ``is_late`` says that the worker takes no more
    calls.
    """

    def __init__(self, path: Path, end_worker: Callable[[], object]) -> None:
        self.is_late = False
        self._path = path
        self._end_worker = end_worker
        self._file = -1
        self._limits: list[_Limit] = []
        self._late: Overtime | None = None
        self._changed = threading.Condition()
        self._wakes_at = math.inf

    def begin_call(self, routine: str, deadline: float, kill_after: float) -> Callable[[], None]:
        """Watch a call from now on; return what ends that.

        ``deadline`` is when its time is up, in seconds of ``time.monotonic``.
        """
        late_at = deadline + min(_ENDING_SECONDS, kill_after)
        about = Overtime(late_at, deadline + kill_after, kill_after, printable(routine, 300))
        limit = _Limit(about)
        with self._changed:
            self._open_file()
            heappush(self._limits, limit)
            if self._limits[0] is limit:
                self._write_first()
            if late_at < self._wakes_at:
                self._changed.notify()

        def end() -> None:
            with self._changed:
                limit.ended = True
                self._drop_ended()

        return end

    def _open_file(self) -> None:
        if self._file < 0:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            threading.Thread(target=self._keep_time, name="catena-overtime", daemon=True).start()

    def _drop_ended(self) -> None:
        """Let go of calls that have ended, those that come first; the others wait for that."""
        dropped = False
        while self._limits and self._limits[0].ended:
            heappop(self._limits)
            dropped = True
        if dropped:
            self._write_first()

    def _write_first(self) -> None:
        """Write down which call is killed for first, or else which was late."""
        first = self._limits[0].about if self._limits else self._late
        if first is not None and self._late is not None:
            first = first._replace(late_at=self._late.late_at)
        text = "" if first is None else " ".join(map(str, first))
        os.pwrite(self._file, text.encode("utf-8", "replace")[:_LENGTH].ljust(_LENGTH), 0)

    def _keep_time(self) -> None:
        while True:
            with self._changed:
                self._wakes_at = self._next_moment()
                left = self._wakes_at - monotonic()
                if left > 0:
                    # Ended calls may have been the cause: then nothing is found, and that is all.
                    self._changed.wait(min(left, threading.TIMEOUT_MAX))
                    continue
                is_over = self._judge(monotonic())
            if is_over:
                self._end_worker()
                return

    def _next_moment(self) -> float:
        """Return when something is to be done."""
        moments = [self._limits[0].about.kill_at] if self._limits else []
        if not self.is_late:
            moments += (one.about.late_at for one in self._limits if not one.ended)
        return min(moments, default=math.inf)

    def _judge(self, now: float) -> bool:
        """Note a call that goes on when its time is up; say whether the worker has to end."""
        late = (one.about for one in self._limits if not one.ended and one.about.late_at <= now)
        found = None if self.is_late else next(late, None)
        if found is not None:
            self.is_late, self._late = True, found._replace(kill_at=math.inf)
            self._write_first()
        return bool(self._limits) and self._limits[0].about.kill_at <= now


def overtime_path(socket: Path) -> Path:
    """Return where the file of the worker with that socket is."""
    return socket.with_suffix(".overtime")


def read_overtime(path: Path) -> Overtime | None:
    """Return the call that a worker is killed for first, None without any such call."""
    with contextlib.suppress(OSError, ValueError):
        late_at, kill_at, seconds, routine = path.read_text("utf-8", "replace").split(" ", 3)
        return Overtime(float(late_at), float(kill_at), float(seconds), routine.strip())
    return None
