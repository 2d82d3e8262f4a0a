"""The standard streams of a worker: each line leaves in one piece, whichever thread printed it.

``print`` writes a line and its end separately, so lines of two threads get mixed otherwise.
"""

from __future__ import annotations

import io
import sys
import threading

from catena.pool import forking


class LineStream(io.TextIOWrapper):
    """Keeps what a thread writes until its line ends, or until the thread flushes it."""

    def __init__(self, buffer: io.BufferedWriter) -> None:
        # What reads this is UTF-8, whatever the parent's terminal takes.
        super().__init__(buffer, encoding="utf-8", errors="backslashreplace")
        self._begun: dict[int, str] = {}
        self._lock = threading.RLock()

    def write(self, text: str, /) -> int:
        """Write whole lines, together with what this thread has begun before."""
        me = threading.get_ident()
        cut = text.rfind("\n") + 1
        with self._lock:
            rest = self._begun.pop(me, "")
            if not cut:
                self._begun[me] = rest + text
                return len(text)
            if text[cut:]:
                self._begun[me] = text[cut:]
            super().write(rest + text[:cut])
            super().flush()
        return len(text)

    def flush(self) -> None:
        """Write what this thread has begun, and what threads have that have ended."""
        alive = {one.ident for one in threading.enumerate()} - {threading.get_ident()}
        with self._lock:
            for thread in self._begun.keys() - alive:
                super().write(self._begun.pop(thread))
            super().flush()

    def keep_own_thread(self) -> None:
        """Go on in a forked child, where no other thread will finish its line or free the lock."""
        self._lock = threading.RLock()
        me = threading.get_ident()
        self._begun = {thread: text for thread, text in self._begun.items() if thread == me}


def write_whole_lines() -> None:
    """Have this process's standard streams write whole lines."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        made = LineStream(stream.detach())
        setattr(sys, name, made)
        setattr(sys, f"__{name}__", made)
        forking.in_child(made.keep_own_thread)
