"""Snapshots that are on their way within this process: saved here, and not mounted yet.

A queue in memory can be read only by code that awaits. So whoever saves a snapshot there leaves its
text here as well, and whoever mounts it takes it out; meanwhile any thread may read it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

MOST_TRANSFERS = 10_000
"""How many snapshots are kept; of more, the oldest are let go."""


class Transfers:
    """Texts by the place where their snapshot is stored, each for as long as the store has it.

    ``clock`` returns seconds of a clock that never goes back. Any thread may use it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._texts: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def put(self, place: str, text: str, seconds: float) -> None:
        """Keep a text for so many seconds."""
        with self._lock:
            self._texts[place] = text, self._clock() + seconds
            if len(self._texts) > MOST_TRANSFERS:
                self._texts.popitem(last=False)

    def get(self, place: str) -> str | None:
        """Return the text of a place, None when there is none."""
        with self._lock:
            text, end = self._texts.get(place, ("", 0.0))
        return text if self._clock() < end else None

    def take(self, place: str) -> None:
        """Let go of the text of a place, if there is one."""
        with self._lock:
            self._texts.pop(place, None)

    def take_all(self, prefix: str) -> None:
        """Let go of the texts of all places that begin so."""
        with self._lock:
            for place in [one for one in self._texts if one.startswith(prefix)]:
                del self._texts[place]

    def __len__(self) -> int:
        return len(self._texts)


on_the_way = Transfers()
"""Those of this process."""
