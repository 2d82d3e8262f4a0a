"""Which calls are under way in this process, and which one the running code belongs to.

A contention names the calls of both sides, which only the observers of calls know. The call of the
running code is found through one context variable of the standard library, which created tasks
inherit. So a task that outlives its call may still find that call there.
"""

from __future__ import annotations

import contextvars

from catena.events import Dispatch, Execution

Call = Dispatch | Execution

_MOST = 65536


class Underway:
    """Calls that have begun and not ended; ``enter`` and ``leave`` say which one runs here."""

    def __init__(self) -> None:
        self.calls: dict[int, Call] = {}
        """Those that have begun and not ended, by their identity in this process."""
        self._here: contextvars.ContextVar[Call | None] = contextvars.ContextVar(
            "catena.telemetry.call", default=None
        )
        # Each call passes here, so nothing stands in between.
        self.enter = self._here.set
        self.leave = self._here.reset
        self.here = self._here.get

    def add_call(self, call: Call) -> None:
        """Enter a call."""
        calls = self.calls
        calls[id(call)] = call
        if len(calls) > _MOST:
            # A stream that was collected when its loop had ended never announces its end.
            del calls[next(iter(calls))]

    def find_call(self, chain_id: str) -> Call | None:
        """Return a call of a chain, given in hexadecimal; rather one that runs here."""
        sought = bytes.fromhex(chain_id)
        calls = [one for one in tuple(self.calls.values()) if one.chain_id == sought]
        executions = [one for one in calls if isinstance(one, Execution)]
        return next(iter(executions or calls), None)


underway = Underway()
"""The calls of this process; filled while somebody traces."""
