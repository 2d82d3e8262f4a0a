"""Values that lie in a Context beside the chain, for code that may not read the chain there.

A chain has one runner at a time, so a thread to which a task's Context was copied is refused its
variables. What the task began with is left beside it, and never changes: any thread may read that.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from typing import Any

from catena.ids import Key


class HeldValues:
    """Values beside a chain, for whoever cannot read the chain; they do not change with it.

    ``task_key`` is empty for those of a web request. ``get_values`` is called when the first of
    them is read. What was over when they were left here is not among them.
    """

    __slots__ = ("_found", "_get_values", "task_key")

    def __init__(self, task_key: str, get_values: Callable[[], Mapping[Key, Any]]) -> None:
        self.task_key = task_key
        self._get_values = get_values
        self._found: Mapping[Key, Any] | None = None

    @property
    def values(self) -> Mapping[Key, Any]:
        """The values, by the keys of their variables."""
        found = self._found
        if found is None:
            # Threads of one task may do so at once; each gets equal values.
            found = self._found = self._get_values()
        return found


held: contextvars.ContextVar[HeldValues | None] = contextvars.ContextVar(
    "catena.background.held", default=None
)
"""What a mount, or the middleware of a web service, has left in the Context."""
