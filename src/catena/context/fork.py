"""Forks: a created task gets the parent's values on a chain of its own.

The task factory does it, on every loop that an armed context has been on. It leaves tasks alone
that are created from an unarmed context, and wraps neither coroutines nor tasks.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Coroutine
from threading import get_ident
from typing import Any, cast
from weakref import WeakSet, ref

from catena.context.chain import Chain
from catena.context.current import Home, claimable, current, running_task, stamp
from catena.errors import ChainContention
from catena.events import ChainForked, refused
from catena.ids import new_id
from catena.observe import announce

__all__ = ["ensure_task_factory", "fork_here", "install_task_factory"]

Coro = Coroutine[Any, Any, Any]
_loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def fork_here(chain: Chain, task: asyncio.Task[Any] | None = None) -> Chain:
    """Give the current Context a chain of its own that continues ``chain``, and return it.

    Without a task it has no owner yet: the first task that touches it claims it.
    """
    forked = chain.fork(new_id(), get_ident(), task and ref(task), Home())
    current.set(forked)
    if ChainForked.listeners:
        announce(ChainForked(forked.id, chain.id))
    return forked


def install_task_factory(loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Make tasks created on a loop fork the chain they are created from.

    Arming a context does this by itself; call it where a loop's tasks may be created before. It
    composes with the factory that is there, and doing it twice changes nothing.

    Raises RuntimeError when no loop is given and none is running.
    """
    if loop is None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "catena.install_task_factory() needs a loop: call it where one runs, or pass it"
            ) from None
    if loop not in _loops:
        _loops.add(loop)
        factory: Any = _Factory(loop.get_task_factory())
        loop.set_task_factory(factory)


def ensure_task_factory() -> None:
    """Install the factory on the running loop, where there is one that lacks it."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    if not isinstance(cast("object", loop.get_task_factory()), _Factory) and loop not in _loops:
        install_task_factory(loop)


class _Factory:
    """The task factory; ``inner`` is the one that was installed before, if any."""

    def __init__(self, inner: Callable[..., Any] | None) -> None:
        self.inner = inner
        self._forks = inner is None or _takes_context(inner)

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coro: Coro, **options: Any
    ) -> asyncio.Future[Any]:
        given: contextvars.Context | None = options.get("context")
        chain = current.get() if given is None else given.get(current)
        if chain is None or not self._forks:
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

    def _create(
        self, loop: asyncio.AbstractEventLoop, coro: Coro, options: dict[str, Any]
    ) -> asyncio.Future[Any]:
        if self.inner is None:
            return asyncio.Task(coro, loop=loop, **options)
        if self._forks:
            return self.inner(loop, coro, **options)
        context: contextvars.Context | None = options.pop("context", None)
        if context is None:
            return self.inner(loop, coro, **options)
        return context.run(self.inner, loop, coro, **options)


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
        owner: object = chain.task and chain.task()
        raise refused(
            ChainContention(
                chain_id=chain.id.hex(),
                kind="task",
                owner_thread=chain.thread,
                thread=get_ident(),
                owner_task=owner,
                task=creator,
            )
        )


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
