"""Displacement: whether the factory of a loop, if it is a later one, still calls Catena's.

Catena's factory is installed on a loop that never had it. A factory that is installed later either
calls Catena's or has displaced it. Which of the two is found out without calling that factory,
since a call would create a real task:

- It calls ours: then ours runs, sees it on top of the loop, and notes it. That is proof.
- It holds ours (``find_reachable`` finds it in closures, attributes, ``functools.partial``, globals
  it names): it is assumed to call ours, until a task is found that was made without a fork.
  ``asyncio.Task`` itself, which asks no factory, makes such a task too; so the proof above
  outweighs this, also when it comes later, and a factory that calls ours only sometimes counts as
  calling it.
- Neither: it has displaced ours. So has a loop whose factory was taken away.

A factory that hides ours where ``find_reachable`` does not look, and has made no task yet when a
variable is set, is taken for one that displaced it. Installing ours once more helps there as well:
it then wraps that factory, and although ours is called twice, a task is forked only once.
"""

from __future__ import annotations

import asyncio
import functools
from threading import Lock
from typing import Any
from weakref import finalize, ref

from catena.context.ownership import running_loop, running_task
from catena.context.tasks.factory import (
    NOBODY,
    ForkingFactory,
    Loop,
    LoopRecord,
    known_loops,
)
from catena.context.tasks.reachable import find_reachable
from catena.errors import TaskFactoryDisplaced
from catena.events import announced

_lock = Lock()


def install_task_factory(loop: Loop | None = None) -> None:
    """Give each task that is created on a loop a chain of its own, with its creator's values.

    The first ``set`` on a loop does this by itself; call this function when tasks may be created
    before. It wraps the task factory that is there. To call it twice changes nothing, also when a
    factory that calls Catena's was installed in between. A factory that does not call Catena's is
    wrapped, which ends TaskFactoryDisplaced.

    Raises RuntimeError when no loop is given and none is running.
    """
    loop = loop or running_loop()
    if loop is None:
        raise RuntimeError(
            "catena.install_task_factory() needs a loop: call it where one runs, or pass it"
        )
    with _lock:
        top: Any = loop.get_task_factory()
        if type(top) is ForkingFactory or not _has_displaced_ours(loop, top):
            return
        ours: Any = ForkingFactory(loop, top)
        loop.set_task_factory(ours)
        known_loops[id(loop)] = LoopRecord(ref(ours))
        finalize(loop, known_loops.pop, id(loop), None)


def ensure_task_factory(owner: ref[asyncio.Task[Any]] | None) -> None:
    """Install the factory on the running loop, where it never was; called by a set and a dispatch.

    ``owner`` is the task that runs there, where there is one. Raises TaskFactoryDisplaced when a
    later factory displaced ours, unless the running task is being cancelled: whoever tears a loop
    down puts back the factory that was there.
    """
    task = owner and owner()
    loop = running_loop() if task is None else task.get_loop()
    if loop is None:
        return
    top: Any = loop.get_task_factory()
    # Ours on top, as nearly always, costs no further call.
    if type(top) is not ForkingFactory and _lacks_ours(loop, top):
        task = running_task()
        if task is None or not task.cancelling():
            raise announced(_displacement_error(loop, top))


def check_task_factory(task: asyncio.Task[Any] | None) -> None:
    """Do the same for a mount, which raises nothing: a displacement is announced, once."""
    loop = running_loop() if task is None else task.get_loop()
    if loop is None:
        return
    top: Any = loop.get_task_factory()
    if type(top) is ForkingFactory or not _lacks_ours(loop, top):
        return
    if known_loops[id(loop)].announced != id(top):
        known_loops[id(loop)].announced = id(top)
        announced(_displacement_error(loop, top))


def note_unforked(task: asyncio.Task[Any]) -> None:
    """Note that a running task was created from an armed context and was not forked.

    Where a later factory made it, this is reported to the loop's exception handler at the task's
    completion, once for each displacement, and the next set raises.
    """
    loop = task.get_loop()
    top: Any = loop.get_task_factory()
    if type(top) is ForkingFactory:
        return
    if id(loop) not in known_loops:
        install_task_factory(loop)
    elif not _has_called_ours(loop, top):
        task.add_done_callback(functools.partial(_report_displacement, top))


def _lacks_ours(loop: Loop, top: Any) -> bool:
    """Say whether the loop's factory displaced ours; install ours where it never was."""
    if id(loop) not in known_loops:
        install_task_factory(loop)
        return False
    return _has_displaced_ours(loop, top)


def _has_displaced_ours(loop: Loop, top: Any) -> bool:
    """Say whether a factory that is not ours does without ours, as far as one can see."""
    known = known_loops.get(id(loop))
    if known is None or top is None:
        return True
    ours = known.ours()
    if ours is not None and ours.above is top:
        return False
    if known.reported == id(top):
        return True
    found = find_reachable(top, ForkingFactory, lambda one: one.loop() is loop)
    if found is None:
        return True
    found.above, found.proven = top, False
    known.ours = ref(found)
    return False


def _has_called_ours(loop: Loop, top: Any) -> bool:
    ours = known_loops[id(loop)].ours()
    return ours is not None and ours.proven and ours.above is top


def _report_displacement(top: Any, task: asyncio.Task[Any]) -> None:
    """Report a factory that made a task without a fork, if it is still there and unproven."""
    loop = task.get_loop()
    known = known_loops.get(id(loop))
    # A task that was cancelled, or is over when its loop is, belongs to a loop being torn down.
    if known is None or task.cancelling() or task.cancelled() or not loop.is_running():
        return
    if loop.get_task_factory() is not top or known.reported == id(top):
        return
    if _has_called_ours(loop, top):
        return
    known.reported = id(top)
    ours = known.ours()
    if ours is not None:
        ours.above = NOBODY
    error = announced(_displacement_error(loop, top))
    loop.call_exception_handler({"message": str(error), "exception": error, "task": task})


def _displacement_error(loop: Loop, top: Any) -> TaskFactoryDisplaced:
    return TaskFactoryDisplaced(loop=repr(loop), factory=repr(top))
