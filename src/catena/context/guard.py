"""The contention guard: a chain is never run by two runners at once.

It is asked before anything changes: by ``get``, ``set``, ``reset``, capture and mount. The common
case, the owner itself, is two comparisons; everything else is decided here, thread first.
"""

from __future__ import annotations

from threading import get_ident

from catena.context.chain import Chain
from catena.context.current import claimable, in_loop, running_task, stamp
from catena.context.fork import ensure_task_factory, fork_here
from catena.errors import ChainContention
from catena.events import refused

__all__ = ["admit"]


def admit(chain: Chain, *, reading: bool = False) -> Chain:
    """Let the running scope act on the current chain; return the chain it acts on.

    That is another one when the scope is a task in a copy of the chain's Context that nobody had
    forked for it: it forks now, at its first touch. A chain without a live owner is claimed.

    Raises ChainContention when another thread, or another live task, runs the chain.
    """
    thread, task, owner = get_ident(), running_task(), chain.task
    if chain.thread == thread and (task is None or (owner is not None and owner() is task)):
        return chain
    if task is not None and not chain.home.is_here():
        ensure_task_factory()
        return fork_here(chain, task)
    free = claimable(chain)
    if chain.thread != thread:
        if reading and task is None and in_loop():
            # A callback that came through call_soon_threadsafe may look, not touch.
            return chain
        if chain.task is None or not free:
            raise _refused(chain, "thread", thread, task)
    elif not free:
        raise _refused(chain, "task", thread, task)
    return stamp(chain, task)


def _refused(chain: Chain, kind: str, thread: int, task: object) -> ChainContention:
    owner: object = chain.task and chain.task()
    return refused(
        ChainContention(
            chain_id=chain.id.hex(),
            kind="thread" if kind == "thread" else "task",
            owner_thread=chain.thread,
            thread=thread,
            owner_task=owner,
            task=task,
        )
    )
