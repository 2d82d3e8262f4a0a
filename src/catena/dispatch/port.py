"""What a routine dispatches through: a port that the pool fills and binds in a variable of ours."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from catena.dispatch.caller import WorkerConnection

__all__ = ["Dispatcher", "dispatcher"]


class Dispatcher(Protocol):
    """A way to workers, from the event loop that its links live on."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that calls are made on."""
        ...

    def check(self, routine: str) -> None:
        """Raise ForkedPool where the pool is another process's; call it where calls are rare."""
        ...

    def pick(self) -> WorkerConnection | None:
        """Return the caller to use for the next call, None when none is connected."""
        ...

    def reach(self, routine: str) -> Coroutine[Any, Any, WorkerConnection]:
        """Connect to a worker and return its caller.

        Raises NoPool when there is no worker to reach any more, and WorkerLost when none answers.
        """
        ...


dispatcher: contextvars.ContextVar[Dispatcher | None] = contextvars.ContextVar(
    "catena.dispatcher", default=None
)
"""What the current scope dispatches through."""
