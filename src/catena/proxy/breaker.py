"""The circuit breaker: a worker that was not reached repeatedly is set aside for some time.

It is never given up for that: after a pause it is tried again, and a further failure makes the next
pause twice as long. A link that carried something ends the count.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

FAILURES = 3
"""How many failures in a row set a worker aside."""

_SHORTEST, _LONGEST = 1.0, 30.0


class Breaker:
    """Calls ``set_aside`` after repeated failures, and ``try_again`` after a pause each time."""

    def __init__(self, set_aside: Callable[[], object], try_again: Callable[[], object]) -> None:
        self._set_aside = set_aside
        self._try_again = try_again
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def pause(self) -> float:
        """For how many seconds it is set aside now, 0 where it is not."""
        more = self._failures - FAILURES
        # Beyond 2**5 it is the longest in any case.
        return 0.0 if more < 0 else min(_SHORTEST * 2 ** min(more, 5), _LONGEST)

    def note_failure(self) -> None:
        """Count an attempt that failed."""
        self._failures += 1
        if not self.pause:
            return
        self._set_aside()
        self.close()
        # In nobody's Context, which the timer would keep.
        self._timer = asyncio.get_running_loop().call_later(
            self.pause, self._try_again, context=contextvars.Context()
        )

    def note_success(self) -> None:
        """Begin to count anew: the worker can be reached."""
        self._failures = 0
        self.close()
        self._try_again()

    def close(self) -> None:
        """Set no timer any more; may be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
