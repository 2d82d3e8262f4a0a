"""The task factory: it forks the chain for each task that is created from an armed context.

A context is armed when it has a chain: a variable was set in it, or a chain was mounted there. The
factory is on every loop on which an armed context has run (``displacement`` sees to that). It
changes nothing for tasks of unarmed contexts, and wraps neither coroutines nor tasks.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast
from weakref import ref

from catena.context.chain import UNMOUNTED, Chain, current
from catena.context.ownership import (
    announce_contention,
    fork_here,
    is_unowned,
    running_task,
    take_ownership,
)

Coro = Coroutine[Any, Any, Any]
Loop = asyncio.AbstractEventLoop

NOBODY: Any = object()
"""Stands for the later factory where none is known."""


class ForkingFactory:
    """The task factory; ``inner`` is the one that was installed before, if any.

    ``above`` is the later factory that is known to call this one, ``proven`` when it has been seen
    to. It is held here and nowhere else, so that it dies with its loop.
    """

    __slots__ = ("__weakref__", "_forks", "above", "inner", "loop", "proven")

    def __init__(self, loop: Loop, inner: Callable[..., Any] | None) -> None:
        self.loop = ref(loop)
        self.inner = inner
        self.above: Any = NOBODY
        self.proven = False
        self._forks = inner is None or _takes_context(inner)

    def __call__(self, loop: Loop, coro: Coro, **options: Any) -> asyncio.Future[Any]:
        """Create a task, on a chain of its own where the context is armed."""
        top: Any = loop.get_task_factory()
        if top is not self and not (self.proven and self.above is top):
            self._note_caller(loop, top)
        given: contextvars.Context | None = options.get("context")
        chain = current.get() if given is None else given.get(current)
        if chain is None or chain is UNMOUNTED or not self._forks:
            # Without the keyword the task copies the current Context, and forks at its first touch.
            return self._create_task(loop, coro, options)
        if given is None:
            context = contextvars.copy_context()
            context.run(fork_here, chain)
        else:
            context = given
            _admit_context(context, chain, coro)
        options["context"] = context
        task = self._create_task(loop, coro, options)
        if isinstance(task, asyncio.Task) and not task.done():
            context.run(_give_chain_to, task, running_task())
        return task

    def _create_task(self, loop: Loop, coro: Coro, options: dict[str, Any]) -> asyncio.Future[Any]:
        if self.inner is None:
            return asyncio.Task(coro, loop=loop, **options)
        if self._forks:
            return self.inner(loop, coro, **options)
        context: contextvars.Context | None = options.pop("context", None)
        if context is None:
            return self.inner(loop, coro, **options)
        return context.run(self.inner, loop, coro, **options)

    def _note_caller(self, loop: Loop, top: Any) -> None:
        """Note that the loop's factory calls this one."""
        known = known_loops.get(id(loop))
        if known is not None and top is not None and type(top) is not ForkingFactory:
            self.above, self.proven = top, True
            known.ours = cast("ref[ForkingFactory]", ref(self))


@dataclass
class LoopRecord:
    """What is known of a loop that the factory was installed on.

    ``announced`` and ``reported`` are the ids of displacing factories: the one that a mount has
    announced, and the one that was reported to the loop's exception handler.
    """

    ours: ref[ForkingFactory]
    announced: int = 0
    reported: int = 0


known_loops: dict[int, LoopRecord] = {}
"""By id, not weakly by key: this is read at each set while another factory is on top. The entry
goes with the loop, and holds no factory, which may hold the loop."""


def _admit_context(context: contextvars.Context, chain: Chain, coro: Coro) -> None:
    """Fork a copied Context, let a free one pass, and refuse one that somebody runs in."""
    creator = running_task()
    try:
        at_home = context.run(chain.home.is_here)
    except RuntimeError:
        busy = True
    else:
        if not at_home:
            context.run(fork_here, chain)
            return
        # A task that made the Context with Context.run, and hands it over now, is not in it.
        busy = not is_unowned(chain) and chain.task is not None and chain.task() is not creator
    if busy:
        coro.close()
        raise announce_contention(chain, "task", creator)


def _give_chain_to(task: asyncio.Task[Any], creator: asyncio.Task[Any] | None) -> None:
    chain = current.get()
    if chain is not None and (is_unowned(chain) or chain.task is None or chain.task() is creator):
        take_ownership(chain, task)


def _takes_context(factory: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(one.name == "context" or one.kind is one.VAR_KEYWORD for one in parameters)
