"""``to_thread``: run a function in a thread on a detached copy of the caller's chain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from catena.context.chain import UNMOUNTED, current
from catena.context.guard import admit
from catena.context.ownership import fork_here

P = ParamSpec("P")
T = TypeVar("T")


async def to_thread(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``func(*args, **kwargs)`` in a thread and return its result.

    The function sees the caller's variables on a chain of its own; what it sets stays there. From a
    context where no variable was set this is ``asyncio.to_thread``.

    Raises ChainContention when another thread or task runs the chain.
    """
    chain = current.get()
    if chain is not None and chain is not UNMOUNTED:
        # A task without a chain of its own gets one now: the thread's chain names it as parent.
        admit(chain)
    return await asyncio.to_thread(_run_detached, func, *args, **kwargs)


def _run_detached(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    chain = current.get()
    if chain is not None and chain is not UNMOUNTED:
        fork_here(chain)
    return func(*args, **kwargs)
