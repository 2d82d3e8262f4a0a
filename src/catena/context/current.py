"""Which chain is current, whose it is, and whether this is the Context it lives in.

The current chain is held in ONE stdlib context variable, so it follows every copy that asyncio
makes of a Context. ``Home`` tells such a copy from the original.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable
from threading import get_ident
from typing import Any
from weakref import ref

from catena.context.chain import Chain, Memo

__all__ = ["Home", "claimable", "current", "in_loop", "new_chain", "running_task", "stamp"]

current: contextvars.ContextVar[Chain | None] = contextvars.ContextVar("catena.chain", default=None)
_home: contextvars.ContextVar[Home | None] = contextvars.ContextVar("catena.home", default=None)


_running_loop: Callable[[], asyncio.AbstractEventLoop | None] = getattr(  # noqa: B009
    asyncio, "_get_running_loop"
)
_tasks: Callable[[asyncio.AbstractEventLoop], asyncio.Task[Any] | None] = (
    asyncio.current_task
    if sys.version_info >= (3, 12)
    else getattr(asyncio.tasks, "_current_tasks").get  # noqa: B009
)
_NONE: frozenset[Any] = frozenset()


class Home:
    """Proof of the one Context it was made in: a stdlib token opens nowhere else.

    The token refers to its Context, which refers to this: ``release`` breaks that circle as soon
    as the Context is done with, for those who know when that is.
    """

    __slots__ = ("__weakref__", "_token", "lost")

    def __init__(self) -> None:
        # Variables that arrived without their value: what becomes of them here is told to nobody.
        self.lost: frozenset[Any] = _NONE
        self._token: contextvars.Token[Home | None] | None = _home.set(self)

    def is_here(self) -> bool:
        """Say whether the running code is in that very Context and not in a copy of it."""
        if self._token is None:
            return False
        try:
            _home.reset(self._token)
        except (ValueError, RuntimeError):
            # Minted in another Context; or used, by a thread that asks at this very moment.
            return False
        self._token = _home.set(self)
        return True

    def release(self) -> None:
        """Give up the proof; from now on no Context is home."""
        self._token = None


def running_task() -> asyncio.Task[Any] | None:
    """Return the task that is running in this thread, None in a callback or outside a loop."""
    # Not current_task: that raises outside a loop, and is Python code on 3.11.
    loop = _running_loop()
    return None if loop is None else _tasks(loop)


def in_loop() -> bool:
    """Say whether an event loop is running in this thread."""
    return _running_loop() is not None


def claimable(chain: Chain) -> bool:
    """Say whether nobody runs the chain: no owner, or one that is done, gone or cannot run."""
    owner: asyncio.Task[Any] | None = chain.task and chain.task()
    return owner is None or owner.done() or not owner.get_loop().is_running()


def stamp(chain: Chain, task: asyncio.Task[Any] | None) -> Chain:
    """Make the running thread, and the task, the owner of the current chain; return it."""
    owned = chain.owned_by(get_ident(), task and ref(task))
    current.set(owned)
    return owned


def new_chain(id: bytes, *, parent: bytes = b"") -> Chain:
    """Put a fresh chain into the current Context, owned by whoever runs here, and return it."""
    task = running_task()
    chain = Chain(id, parent, get_ident(), task and ref(task), Home(), _NONE, _NONE, Memo())
    current.set(chain)
    return chain
