"""The pools that this process has open, the default one among them: who may serve a call here.

A pool stands here from the moment it begins to open until it is closed, so that no worker outlives
a program that ends meanwhile. Its ``way`` is None until its workers can be reached.
"""

from __future__ import annotations

import atexit
import warnings
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

from catena.context.ownership import running_loop
from catena.dispatch.dispatcher import Dispatcher, dispatcher
from catena.errors import DefaultPoolExists
from catena.security.credentials import scope
from catena.standing import copy_members, worker_id
from catena.tags import Tags

Finder = Callable[[], Dispatcher | None]
"""Finds the way that a call goes, where it is made; None where there is none."""


class OpenPool(Protocol):
    """A WorkerPool, as far as it is known here."""

    way: Dispatcher | None

    @property
    def route(self) -> dict[str, Any]:
        """How it is found from elsewhere, as JSON has it; empty where it cannot be."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether its event loop still runs."""
        ...

    @property
    def is_here(self) -> bool:
        """Whether this process has opened it."""
        ...

    def abandon(self, *, wait: bool = False) -> None:
        """End its workers without its event loop."""
        ...


open_pools: WeakSet[OpenPool] = WeakSet()
"""Those that were opened and not closed; ``is_here`` is false of one that a fork inherited."""

_default: OpenPool | None = None

_NOT_BOUND = (
    "a pool is open, but it is not bound here and is not the default one; bind it with"
    " `with pool.bound():`, or open it as `WorkerPool(..., default=True)`"
)

_OUTSIDE_OF_CALLS = (
    "the pool of a call is bound in its own context, and this code runs outside of it, as in a"
    " thread that was started without one; start it by `catena.to_thread(...)`, or have it run by"
    " `contextvars.copy_context().run`"
)


NOT_RUNNING = (
    "the event loop that the pool was opened on does not run (it has ended, or waits to be run"
    " again), so no call can be handed over to it"
)
"""Why a pool cannot be reached whose loop stands still."""


def find_dispatcher() -> Dispatcher | None:
    """Return what the current scope dispatches through, or else the default whose loop runs.

    On that loop, under the credentials of the scope where there are some.
    """
    through = dispatcher.get(None)
    if through is None and _default is not None:
        way = _default.way
        through = way if way is not None and way.loop.is_running() else None
    return through if scope.get() is None or through is None else apply_scope(through)


def apply_scope(way: Dispatcher) -> Dispatcher:
    """Return a way under the credentials of the current scope, itself where its loop is another."""
    credentials = scope.get()
    if credentials is None or way.loop is not running_loop():
        return way
    return way.under(credentials)


def find_fitting(tags: Tags, way: Dispatcher | None = None) -> Dispatcher | None:
    """Return the way to the workers that have some tags: of one pool, or of that which is found."""
    through = find_dispatcher() if way is None else apply_scope(way)
    return None if through is None else through.fitting(tags)


def find_route() -> dict[str, Any]:
    """Return how the pool is found that calls go to here; empty where it cannot be, or is none."""
    through = dispatcher.get(None) or (None if _default is None else _default.way)
    if through is None:
        return {}
    for pool in copy_members(open_pools):
        if pool.way is through:
            return dict(pool.route)
    return {}


def describe_unreachable() -> str:
    """Return why there is nothing to dispatch through although there is a pool; empty without."""
    if worker_id():
        return _OUTSIDE_OF_CALLS
    ready = [pool for pool in copy_members(open_pools) if pool.way is not None]
    if any(pool.is_open for pool in ready):
        return _NOT_BOUND
    default = None if _default is None or not _default.is_here else _default.way
    return NOT_RUNNING if default is not None and not default.loop.is_closed() else ""


def find_default() -> OpenPool | None:
    """Return the default pool, None when there is none whose event loop runs."""
    return _default if _default is not None and _default.is_open else None


def claim_default(pool: OpenPool) -> None:
    """Make a pool the default one. Raises DefaultPoolExists while another one is."""
    global _default  # noqa: PLW0603 - the process's own
    if _default is not None and _default.is_open:
        raise DefaultPoolExists(existing=repr(_default))
    if _default is not None:
        warnings.warn(
            f"the default {_default!r} was not closed, and cannot be reached any more: its event"
            " loop has ended, or it belongs to the process that this one was forked from; another"
            " default pool takes its place",
            RuntimeWarning,
            stacklevel=3,
        )
        _default.abandon()
    _default = pool


def release_pool(pool: OpenPool) -> None:
    """Strike off a pool that is closed; the process has no default any more if it was this one."""
    global _default  # noqa: PLW0603 - the process's own
    open_pools.discard(pool)
    if _default is pool:
        _default = None


def warn_of_lost(pool: OpenPool) -> None:
    """Warn that nobody has closed a pool."""
    warnings.warn(f"{pool!r} was not closed", ResourceWarning, stacklevel=3, source=pool)


@atexit.register
def _abandon_all() -> None:
    """End the workers of pools that are open when the program ends."""
    for pool in copy_members(open_pools):
        if pool.is_here:
            warn_of_lost(pool)
            pool.abandon(wait=True)
