"""Whether a worker takes one more call: a limit, and a function of the application.

Both are asked before a call begins and before anything of its chain is mounted; a refusal sends it
to another worker. Plain functions have their own limit, the worker's slots.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable

from catena.wording import reason

Refuse = Callable[[int, str], object]
"""Is given how many calls are active and the name of the routine; what is true refuses the call."""


class Admission:
    """What a worker was given to refuse calls by: ``most`` active calls, and ``refuse``."""

    def __init__(self, most: int | None, refuse: Refuse | None = None) -> None:
        self._most = most
        self._refuse = refuse

    def find_reason(self, active: int, routine: str, *, plain: bool) -> str:
        """Return why a call is refused, empty when it is not; ``active`` are the others."""
        if self._most is not None and not plain and active >= self._most:
            return f"it runs {active} calls, as many as max_calls_in_flight allows"
        if self._refuse is None:
            return ""
        try:
            # In nobody's Context: it belongs to no call.
            verdict = contextvars.Context().run(self._refuse, active, routine)
        except Exception as error:
            return f"the function that refuses calls raised {reason(error)}"
        if not verdict:
            return ""
        return verdict if isinstance(verdict, str) else "the function that refuses calls said so"
