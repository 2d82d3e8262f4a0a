"""The port through which a routine dispatches; the pool implements it and sets it in a variable."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, Protocol
from weakref import WeakSet


class Dispatcher(Protocol):
    """A way to workers, from the event loop that its links live on."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that calls are made on."""
        ...

    def check_process(self, routine: str) -> None:
        """Raise ForkedPool where the pool is another process's; call it where calls are rare."""
        ...

    # A connection is a WorkerConnection of ``caller``, which the worker's side does not know.
    def pick_connection(self) -> Any:
        """Return the connection to use for the next call, None when there is none yet."""
        ...

    def reach_worker(self, routine: str) -> Coroutine[Any, Any, Any]:
        """Connect to a worker and return the connection.

        Raises NoPool when there is no worker to reach any more, and WorkerLost when none answers.
        """
        ...


dispatcher: contextvars.ContextVar[Dispatcher | None] = contextvars.ContextVar(
    "catena.dispatcher", default=None
)
"""What the current scope dispatches through."""

opened: WeakSet[Dispatcher] = WeakSet()
"""The ways to the pools that this process has opened and not closed."""

_default: Dispatcher | None = None

_NOT_BOUND = (
    "a pool is open, but it is not bound here and is not the default one; bind it with"
    " `with pool.bound():`, or open it as `WorkerPool(..., default=True)`"
)


def set_default(way: Dispatcher | None) -> None:
    """Have calls go this way where nothing is bound; None for nowhere."""
    global _default  # noqa: PLW0603 - the process's own
    _default = way


def find_dispatcher() -> Dispatcher | None:
    """Return what the current scope dispatches through, or else the default whose loop runs."""
    through = dispatcher.get()
    if through is None and _default is not None and _default.loop.is_running():
        return _default
    return through


def describe_unreachable() -> str:
    """Return why there is nothing to dispatch through although a pool is open; empty without."""
    return _NOT_BOUND if any(way.loop.is_running() for way in opened) else ""
