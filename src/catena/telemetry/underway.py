"""Which calls are under way in this process, and which one the running code belongs to.

A contention names the calls of both sides, and only whoever watches calls can tell them. What
belongs to the running code is found through one context variable of the standard library, which
created tasks inherit. So an ended call may still be found there, by what outlives it.
"""

from __future__ import annotations

import contextvars
from typing import Any

from catena.events import Dispatch, Execution

__all__ = ["Underway", "underway"]

Call = Dispatch | Execution

_MOST = 65536


class Underway:
    """Calls that have begun and not ended; each with what a tracer wants to know of it."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[Call, Any]] = {}
        self._here: contextvars.ContextVar[tuple[Call, Any] | None] = contextvars.ContextVar(
            "catena.telemetry.call", default=None
        )

    def began(self, call: Call, note: Any = None) -> None:
        """Enter a call; ``note`` is whatever the caller wants to get back."""
        self._calls[id(call)] = (call, note)
        if len(self._calls) > _MOST:
            # A stream that was collected when its loop had ended never tells its end.
            del self._calls[next(iter(self._calls))]

    def ended(self, call: Call) -> None:
        """Strike a call out."""
        self._calls.pop(id(call), None)

    def enter(self, call: Call, note: Any = None) -> contextvars.Token[tuple[Call, Any] | None]:
        """Make a call the one that the current Context belongs to."""
        return self._here.set((call, note))

    def leave(self, token: contextvars.Token[tuple[Call, Any] | None]) -> None:
        """Undo what ``enter`` did, in the same Context."""
        self._here.reset(token)

    def here(self) -> Call | None:
        """Return the call that the running code belongs to."""
        found = self._here.get()
        return None if found is None else found[0]

    def note_here(self) -> Any:
        """Return the note of that call."""
        found = self._here.get()
        return None if found is None else found[1]

    def of(self, chain_id: str) -> Call | None:
        """Return a call of a chain, given in hexadecimal; rather one that runs here."""
        found = self._find(chain_id)
        return None if found is None else found[0]

    def note_of(self, chain_id: str) -> Any:
        """Return the note of that call."""
        found = self._find(chain_id)
        return None if found is None else found[1]

    def _find(self, chain_id: str) -> tuple[Call, Any] | None:
        sought = bytes.fromhex(chain_id)
        calls = [one for one in tuple(self._calls.values()) if one[0].chain_id == sought]
        executions = [one for one in calls if isinstance(one[0], Execution)]
        return next(iter(executions or calls), None)


underway = Underway()
"""The calls of this process; filled while somebody traces."""
