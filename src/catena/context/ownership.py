"""Who owns a chain: which thread and task are running, and whether its owner still runs it.

A fork is a branch of the call tree: it gets the current values, on a chain of its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from threading import get_ident
from types import FrameType
from typing import Any, Literal
from weakref import ref

from catena.context.chain import Chain, State, current
from catena.context.home import Home
from catena.errors import ChainContention
from catena.events import ChainForked, announced
from catena.events.bus import announce
from catena.ids import new_id

# Unlike the public ones they do not raise, and are no Python code on 3.11.
running_loop: Callable[[], asyncio.AbstractEventLoop | None] = getattr(  # noqa: B009
    asyncio, "_get_running_loop"
)
"""Return the loop that is running in this thread, None without one."""

task_of: Callable[[asyncio.AbstractEventLoop], asyncio.Task[Any] | None] = (
    asyncio.current_task
    if sys.version_info >= (3, 12)
    else getattr(asyncio.tasks, "_current_tasks").get  # noqa: B009
)
"""Return the task that a loop is running, None in a callback."""

_current_frames: Callable[[], dict[int, FrameType]] = getattr(sys, "_current_frames")  # noqa: B009


def running_task() -> asyncio.Task[Any] | None:
    """Return the task that is running in this thread, None in a callback or outside a loop."""
    loop = running_loop()
    return None if loop is None else task_of(loop)


def is_unowned(chain: Chain) -> bool:
    """Say whether nobody runs the chain: no owner, or one that is done, gone or cannot run."""
    owner: asyncio.Task[Any] | None = chain.task and chain.task()
    return owner is None or owner.done() or not owner.get_loop().is_running()


def thread_is_alive(thread: int) -> bool:
    """Say whether a thread with that id runs Python code. Slow: it looks at every thread.

    An id that the system has given to a later thread counts as the earlier one.
    """
    # Not threading.enumerate: that knows only the threads that threading started.
    return thread in _current_frames()


def announce_contention(
    chain: Chain, kind: Literal["thread", "task"], task: asyncio.Task[Any] | None
) -> ChainContention:
    """Announce that the running thread and task were refused a chain; return the error."""
    owner: object = chain.task and chain.task()
    return announced(
        ChainContention(
            chain_id=chain.id.hex(),
            kind=kind,
            owner_thread=chain.thread,
            thread=get_ident(),
            owner_task=owner,
            task=task,
        )
    )


def take_ownership(chain: Chain, task: asyncio.Task[Any] | None) -> Chain:
    """Make the running thread, and the task, the owner of the current chain; return it."""
    owner = task and ref(task)
    owned = Chain(chain.id, chain.parent, get_ident(), owner, chain.home, chain.state)
    current.set(owned)
    return owned


def place_chain(id: bytes, parent: bytes, state: State, task: asyncio.Task[Any] | None) -> Chain:
    """Make a chain, owned by the running thread and a task, at home in the current Context."""
    home = Home()
    chain = Chain(id, parent, get_ident(), task and ref(task), home, state)
    home.take_context(chain)
    return chain


def fork_here(chain: Chain, task: asyncio.Task[Any] | None = None) -> Chain:
    """Give the current Context a chain of its own that continues ``chain``, and return it.

    Without a task it has no owner yet: the first task that touches it claims it.
    """
    forked = place_chain(new_id(), chain.id, chain.state, task)
    if ChainForked.listeners:
        announce(ChainForked(forked.id, chain.id))
    return forked
