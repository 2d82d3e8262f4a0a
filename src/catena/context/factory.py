"""The task factory: it forks the chain for each task that is created from an armed context.

It is on every loop that an armed context has been on. Tasks of unarmed contexts it leaves alone,
and it wraps neither coroutines nor tasks.

A factory that somebody installs later buries ours or displaces it. Which of the two is decided
without calling it, since only real tasks come out of a factory:

- It calls ours: then ours runs, sees it on top of the loop, and notes it. That is proof.
- It holds ours (``buried`` finds it in closures, attributes, ``functools.partial``, globals it
  names): it is believed to call it, until a task comes to light that it made without a fork.
  ``asyncio.Task`` itself, which asks no factory, makes such a task too; so proof outweighs this,
  also when it comes later, and a factory that calls ours now and then counts as calling it.
- Neither: it has displaced ours. So has a loop whose factory was taken away.

A factory that hides ours in a way ``buried`` does not see, and has made no task yet when a variable
is set, is taken for one that displaced it. Installing once more helps there as well: ours then
stands above it, and two of ours fork a task once.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Coroutine
from threading import Lock
from typing import Any, cast
from weakref import ref

from catena.context.buried import buried
from catena.context.chain import Chain
from catena.context.current import (
    UNMOUNTED,
    claimable,
    contention,
    current,
    running_loop,
    running_task,
    stamp,
)
from catena.context.fork import fork_here
from catena.errors import TaskFactoryDisplaced
from catena.events import announced

__all__ = [
    "ForkingFactory",
    "check_task_factory",
    "ensure_task_factory",
    "install_task_factory",
    "met_unforked",
]

Coro = Coroutine[Any, Any, Any]
Loop = asyncio.AbstractEventLoop

_lock = Lock()
_NOBODY: Any = object()


def install_task_factory(loop: Loop | None = None) -> None:
    """Make tasks created on a loop fork the chain they are created from.

    Arming a context does this by itself; call it where a loop's tasks may be created before. It
    composes with the factory that is there. Doing it twice changes nothing, also when a factory
    that calls Catena's was installed in between; one that does not is put below Catena's, which
    clears TaskFactoryDisplaced.

    Raises RuntimeError when no loop is given and none is running.
    """
    if loop is None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "catena.install_task_factory() needs a loop: call it where one runs, or pass it"
            ) from None
    with _lock:
        top: Any = loop.get_task_factory()
        if type(top) is ForkingFactory or not _drops(loop, top):
            return
        ours: Any = ForkingFactory(loop, top)
        loop.set_task_factory(ours)
        key = id(loop)
        _known[key] = _Known(ref(loop, lambda _: _known.pop(key, None)), ref(ours))


def ensure_task_factory(owner: ref[asyncio.Task[Any]] | None) -> None:
    """Install the factory on the running loop, where it never was; asked by a set and a dispatch.

    ``owner`` is the task that runs there, where there is one. Raises TaskFactoryDisplaced when a
    later factory dropped ours, unless the task that asks is being cancelled: whoever tears a loop
    down puts back the factory that was there.
    """
    task = owner and owner()
    loop = running_loop() if task is None else task.get_loop()
    if loop is None:
        return
    top: Any = loop.get_task_factory()
    # Ours on top, or buried under one that calls it, costs no further call.
    if type(top) is ForkingFactory or (
        (known := _known.get(id(loop))) is not None
        and (ours := known.ours()) is not None
        and ours.above is top
    ):
        return
    if _lacks(loop, top):
        task = running_task()
        if task is None or not task.cancelling():
            raise announced(_displaced(loop, top))


def check_task_factory(task: asyncio.Task[Any] | None) -> None:
    """Do the same for a mount, which raises nothing: a displacement is announced, once."""
    loop = running_loop() if task is None else task.get_loop()
    if loop is None:
        return
    top: Any = loop.get_task_factory()
    if type(top) is ForkingFactory:
        return
    if _lacks(loop, top) and _known[id(loop)].announced != id(top):
        _known[id(loop)].announced = id(top)
        announced(_displaced(loop, top))


def met_unforked(task: asyncio.Task[Any]) -> None:
    """Take note of a running task that was created from an armed context and was not forked.

    Where a later factory made it, the loop's exception handler is told at the task's completion,
    once for each displacement, and the next set raises.
    """
    loop = task.get_loop()
    top: Any = loop.get_task_factory()
    if type(top) is ForkingFactory:
        return
    if id(loop) not in _known:
        install_task_factory(loop)
    elif not _proven(loop, top):
        task.add_done_callback(functools.partial(_completed, top))


class ForkingFactory:
    """The task factory; ``inner`` is the one that was installed before, if any.

    ``above`` is the later factory that is known to call this one, ``proven`` when it has been seen
    to. It is held here and nowhere else, so that it dies with its loop.
    """

    __slots__ = ("__weakref__", "_forks", "above", "inner", "loop", "proven")

    def __init__(self, loop: Loop, inner: Callable[..., Any] | None) -> None:
        self.loop = ref(loop)
        self.inner = inner
        self.above: Any = _NOBODY
        self.proven = False
        self._forks = inner is None or _takes_context(inner)

    def __call__(self, loop: Loop, coro: Coro, **options: Any) -> asyncio.Future[Any]:
        """Create a task, on a chain of its own where the context is armed."""
        top: Any = loop.get_task_factory()
        if top is not self and not (self.proven and self.above is top):
            self._called_through(loop, top)
        given: contextvars.Context | None = options.get("context")
        chain = current.get() if given is None else given.get(current)
        if chain is None or chain is UNMOUNTED or not self._forks:
            # Without the keyword the task copies the current Context, and forks at its first touch.
            return self._create(loop, coro, options)
        if given is None:
            context = contextvars.copy_context()
            context.run(fork_here, chain)
        else:
            context = given
            _admit(context, chain, coro)
        options["context"] = context
        task = self._create(loop, coro, options)
        if isinstance(task, asyncio.Task) and not task.done():
            context.run(_claim, task, running_task())
        return task

    def _create(self, loop: Loop, coro: Coro, options: dict[str, Any]) -> asyncio.Future[Any]:
        if self.inner is None:
            return asyncio.Task(coro, loop=loop, **options)
        if self._forks:
            return self.inner(loop, coro, **options)
        context: contextvars.Context | None = options.pop("context", None)
        if context is None:
            return self.inner(loop, coro, **options)
        return context.run(self.inner, loop, coro, **options)

    def _called_through(self, loop: Loop, top: Any) -> None:
        """Note that the loop's factory calls this one."""
        known = _known.get(id(loop))
        if known is not None and top is not None and type(top) is not ForkingFactory:
            self.above, self.proven = top, True
            known.ours = cast("ref[ForkingFactory]", ref(self))


class _Known:
    """What is known of a loop that the factory was installed on.

    ``announced`` and ``told`` are the ids of displacing factories: the one that a mount has
    announced, and the one of which the loop's exception handler was told.
    """

    __slots__ = ("announced", "loop", "ours", "told")

    def __init__(self, loop: ref[Loop], ours: ref[ForkingFactory]) -> None:
        self.loop = loop
        self.ours = ours
        self.announced = 0
        self.told = 0


# By id, not weakly by key: this is read at each set while ours is buried. The entry goes with the
# loop, and holds no factory, which may hold the loop.
_known: dict[int, _Known] = {}


def _lacks(loop: Loop, top: Any) -> bool:
    """Say whether the loop's factory displaced ours; install ours where it never was."""
    if id(loop) not in _known:
        install_task_factory(loop)
        return False
    return _drops(loop, top)


def _drops(loop: Loop, top: Any) -> bool:
    """Say whether a factory that is not ours does without ours, as far as one can see."""
    known = _known.get(id(loop))
    if known is None or top is None:
        return True
    ours = known.ours()
    if ours is not None and ours.above is top:
        return False
    if known.told == id(top):
        return True
    found = buried(top, ForkingFactory, lambda one: one.loop() is loop)
    if found is None:
        return True
    found.above, found.proven = top, False
    known.ours = ref(found)
    return False


def _proven(loop: Loop, top: Any) -> bool:
    ours = _known[id(loop)].ours()
    return ours is not None and ours.proven and ours.above is top


def _completed(top: Any, task: asyncio.Task[Any]) -> None:
    """Tell of a factory that made a task without a fork, if it is still there and unproven."""
    loop = task.get_loop()
    known = _known.get(id(loop))
    # A task that was cancelled, or is over when its loop is, tells of a loop being torn down.
    if known is None or task.cancelling() or task.cancelled() or not loop.is_running():
        return
    if loop.get_task_factory() is not top or known.told == id(top) or _proven(loop, top):
        return
    known.told = id(top)
    ours = known.ours()
    if ours is not None:
        ours.above = _NOBODY
    error = announced(_displaced(loop, top))
    loop.call_exception_handler({"message": str(error), "exception": error, "task": task})


def _displaced(loop: Loop, top: Any) -> TaskFactoryDisplaced:
    return TaskFactoryDisplaced(loop=repr(loop), factory=repr(top))


def _admit(context: contextvars.Context, chain: Chain, coro: Coro) -> None:
    """Fork a copied Context, let a free one pass, and refuse one that a runner is in."""
    creator = running_task()
    try:
        at_home = context.run(chain.home.is_here)
    except RuntimeError:
        busy = True
    else:
        if not at_home:
            context.run(fork_here, chain)
            return
        # Whoever made it with Context.run and hands it over now is not in it.
        busy = not claimable(chain) and chain.task is not None and chain.task() is not creator
    if busy:
        coro.close()
        raise contention(chain, "task", creator)


def _claim(task: asyncio.Task[Any], creator: asyncio.Task[Any] | None) -> None:
    chain = current.get()
    if chain is not None and (claimable(chain) or chain.task is None or chain.task() is creator):
        stamp(chain, task)


def _takes_context(factory: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(one.name == "context" or one.kind is one.VAR_KEYWORD for one in parameters)
