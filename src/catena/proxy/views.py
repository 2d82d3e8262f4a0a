"""The views of a pool: the same workers, reached under other credentials than the pool's own.

Who makes a call is known by its link, so calls that are made under different credentials never
share one. A view is a proxy of its own, with links and a line of its own, that follows the pool's:
its members come and go there, and one that is set aside there gets no calls here either. A view
that nobody uses is closed after some time, and made anew when it is needed again.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from catena.security.credentials import Credentials

IDLE_SECONDS = 60.0
"""How long a view that nobody uses keeps its links."""


class View(Protocol):
    """A proxy, as far as it is known here."""

    @property
    def is_busy(self) -> bool:
        """Whether calls are open, or wait."""
        ...

    def follow(self) -> None:
        """Do as the pool's own proxy does now."""
        ...

    async def close(self) -> None:
        """End every link."""
        ...


V = TypeVar("V", bound=View)


class Views(Generic[V]):
    """The views of one pool, by their credentials; ``make`` makes one. All on the pool's loop."""

    def __init__(self, make: Callable[[Credentials], V]) -> None:
        self._make = make
        self._views: dict[Credentials, V] = {}
        self._used_at: dict[Credentials, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def find(self, credentials: Credentials) -> V:
        """Return the view for some credentials, made when it is new."""
        loop = asyncio.get_running_loop()
        self._used_at[credentials] = loop.time()
        view = self._views.get(credentials)
        if view is None:
            view = self._views[credentials] = self._make(credentials)
            view.follow()
        if self._timer is None:
            # In an empty Context: what is closed then is closed for nobody.
            self._timer = loop.call_later(
                IDLE_SECONDS / 2, self._look, loop, context=contextvars.Context()
            )
        return view

    def list_all(self) -> list[V]:
        """Return the views that there are."""
        return list(self._views.values())

    def follow(self) -> None:
        """Have all views do as the pool's own proxy does now."""
        for view in self.list_all():
            view.follow()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close the views that nobody has used for long; look again while there are others."""
        for credentials, view in list(self._views.items()):
            if view.is_busy:
                self._used_at[credentials] = loop.time()
            elif loop.time() - self._used_at[credentials] >= IDLE_SECONDS:
                del self._views[credentials], self._used_at[credentials]
                closing = loop.create_task(view.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        self._timer = None
        if self._views:
            self._timer = loop.call_later(IDLE_SECONDS / 2, self._look, loop)

    async def close(self) -> None:
        """End the links of all views."""
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._closing, *(view.close() for view in self.list_all()))
        self._views.clear()
