"""The threads on which a worker runs plain functions; they are kept for the next ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

Work = Callable[[], Callable[[], None]]
"""What a thread does. It returns what is to be called when the thread may be used again."""


class KeptThreads:
    """Threads that run one thing each; at most ``most`` of them are kept while they are idle.

    They end with their process, whatever they are doing then.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._idle: list[SimpleQueue[Work | None]] = []
        self._lock = threading.Lock()
        self._busy = 0

    @property
    def busy(self) -> int:
        """How many run something now."""
        return self._busy

    def start_work(self, work: Work) -> None:
        """Have a thread do the work: an idle one, or else a new one."""
        with self._lock:
            self._busy += 1
            idle = self._idle.pop() if self._idle else None
        if idle is not None:
            idle.put(work)
            return
        inbox: SimpleQueue[Work | None] = SimpleQueue()
        inbox.put(work)
        thread = threading.Thread(
            target=self._run_all, args=(inbox,), name="catena-routine", daemon=True
        )
        thread.start()

    def end_idle(self) -> None:
        """End the threads that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)

    def _run_all(self, inbox: SimpleQueue[Work | None]) -> None:
        kept = True
        while kept and (work := inbox.get()) is not None:
            done = work()
            # Let go of it before the thread waits for the next.
            del work
            with self._lock:
                self._busy -= 1
                kept = len(self._idle) < self._most
                if kept:
                    self._idle.append(inbox)
            # A loop that is closed wants to know nothing any more.
            with suppress(RuntimeError):
                done()
            del done
