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
calls: dict[int, Call] = {}
"""Those that have begun and not ended, by their identity; filled while somebody traces."""

_here: contextvars.ContextVar[Call | None] = contextvars.ContextVar(
    "catena.telemetry.call", default=None
)
# Which one runs here. Each call passes these, so nothing stands in between.
enter, leave, here = _here.set, _here.reset, _here.get


def add_call(call: Call) -> None:
    """Enter a call that has begun."""
    calls[id(call)] = call
    if len(calls) > _MOST:
        # A stream that was collected when its loop had ended never announces its end.
        del calls[next(iter(calls))]


def find_call(chain_id: str) -> Call | None:
    """Return a call of a chain, given in hexadecimal; rather one that runs here."""
    sought = bytes.fromhex(chain_id)
    found = [one for one in tuple(calls.values()) if one.chain_id == sought]
    executions = [one for one in found if isinstance(one, Execution)]
    return next(iter(executions or found), None)
