"""The contention guard: a chain is never used by two threads or tasks at once.

``get``, ``set``, ``reset``, capture and mount ask it before they change anything. In the common
case, when the owner itself asks, it takes two comparisons; everything else is decided here, first
by the thread and then by the task.
"""

from __future__ import annotations

from threading import get_ident

from catena.context.chain import UNMOUNTED, Chain
from catena.context.ownership import (
    announce_contention,
    fork_here,
    is_unowned,
    running_loop,
    take_ownership,
    task_of,
    thread_is_alive,
)
from catena.context.tasks.displacement import note_unforked
from catena.events.bus import is_observing


def admit(chain: Chain, *, reading: bool = False) -> Chain:
    """Let the running code act on the current chain; return the chain it acts on.

    That is another one when a task runs in a copy of the chain's Context that was not forked for
    it: it forks now, at its first touch. A chain without a live owner is claimed: one with no task
    or with a task that is done, gone or on a loop that stands still; outside of tasks, one whose
    thread has ended.

    A listener that reads a variable only looks on: it claims nothing, makes no fork and is refused
    nothing.

    Raises ChainContention when another thread, or another live task, runs the chain, and
    RuntimeError in a Context into which its call's chain has not been mounted yet.
    """
    thread = get_ident()
    owner = chain.task and chain.task()
    # The owner's loop is asked, not which loop runs: that takes Python 3.11 a system call.
    if chain.thread == thread and owner is not None and task_of(owner.get_loop()) is owner:
        return chain
    if reading and (chain is UNMOUNTED or is_observing()):
        return chain
    if chain is UNMOUNTED:
        raise RuntimeError(
            "the chain of this call has not been mounted yet, so no variable can be set or reset"
            " here; give a task that is created here a Context of its own"
        )
    loop = running_loop()
    task = None if loop is None else task_of(loop)
    if chain.thread == thread and task is None:
        return chain
    if task is not None and not chain.home.is_here():
        note_unforked(task)
        return fork_here(chain, task)
    if chain.thread != thread:
        called_back = task is None and loop is not None
        if called_back and reading:
            return chain
        if _thread_must_keep_out(chain, called_back=called_back):
            raise announce_contention(chain, "thread", task)
    elif not is_unowned(chain):
        raise announce_contention(chain, "task", task)
    return take_ownership(chain, task)


def _thread_must_keep_out(chain: Chain, *, called_back: bool) -> bool:
    """Say whether this thread may not have a chain of another one."""
    if not is_unowned(chain) or (chain.task is None and thread_is_alive(chain.thread)):
        return True
    # A callback from another thread's call_soon_threadsafe may read its chain, and never change it.
    return called_back and not chain.home.is_here()
