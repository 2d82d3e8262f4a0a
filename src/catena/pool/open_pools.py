"""The pools that a process has open: the default one among them, and those that nobody closed."""

from __future__ import annotations

import atexit
import warnings
from typing import Protocol
from weakref import WeakSet

from catena.dispatch.dispatcher import set_default
from catena.errors import DefaultPoolExists
from catena.standing import copy_members


class OpenPool(Protocol):
    """A WorkerPool, as far as it is known here."""

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
"""Those that were opened; ``is_here`` is false of one that was closed since."""

_default: OpenPool | None = None


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


def release_default(pool: OpenPool) -> None:
    """Have the process no default pool any more, if this is the one."""
    global _default  # noqa: PLW0603 - the process's own
    if _default is pool:
        _default = None
        set_default(None)


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
