"""The port through which a routine dispatches; the pool implements it and binds it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any, Protocol

from catena.context.proxy import proxy
from catena.security.credentials import Credentials
from catena.tags import Tags


class Dispatcher(Protocol):
    """A way to workers, from the event loop that its links live on."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that calls are made on."""
        ...

    @property
    def max_waiting(self) -> int | None:
        """How many calls of this process may wait for slots, None for any number."""
        ...

    def check_process(self, routine: str) -> None:
        """Raise ForkedPool where the pool is another process's; call it where calls are rare."""
        ...

    def under(self, credentials: Credentials, /) -> Dispatcher:
        """Return the way to the same workers under these credentials; call it on the loop."""
        ...

    def fitting(self, tags: Tags, /) -> Dispatcher:
        """Return the way to those of the workers that have all these tags; from any thread."""
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

    def reach_all(self, routine: str) -> Coroutine[Any, Any, list[Any]]:
        """Connect to the workers and return a connection to each that gets calls.

        Raises as ``reach_worker`` when there is none.
        """
        ...


dispatcher: contextvars.ContextVar[Dispatcher | None] = proxy.backing
"""What the current scope dispatches through: the backing of the proxy's variable.

Read it by ``get(None)``, which asks no guard: nothing may be bound.
"""


@contextmanager
def bind_way(way: Dispatcher) -> Generator[None]:
    """Have the calls that are made within the block go one way, and restore what was bound."""
    outer = dispatcher.get(None)
    dispatcher.set(way)
    try:
        yield
    finally:
        # The block may be left in another Context than it was entered in.
        if dispatcher.get(None) is way:
            dispatcher.set(outer)
