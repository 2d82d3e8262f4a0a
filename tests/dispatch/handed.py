"""Calls from where the pool's loop is not, each in two ways: ``await`` on a loop, and blocking."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

from tests.support import new_loop

WAYS = ("asyncio", "uvloop", "blocking")
"""The loops of the thread that calls, or none."""


def call_there(way: str, routine: Any, *args: Any) -> Any:
    """Call a routine from the current thread, in one of the ways."""
    if way == "blocking":
        return routine.blocking(*args)
    with asyncio.Runner(loop_factory=lambda: new_loop(way)) as runner:
        return runner.run(_call(routine, args))


async def _call(routine: Any, args: tuple[Any, ...]) -> Any:
    return await routine(*args)


def iterate_there(way: str, stream: Any, *args: Any) -> Iterator[Any]:
    """Return what a stream yields, as an iterator in one of the ways."""
    if way == "blocking":
        yield from stream.blocking(*args)
        return
    with asyncio.Runner(loop_factory=lambda: new_loop(way)) as runner:
        values = stream(*args)
        while True:
            try:
                yield runner.run(_next(values))
            except StopAsyncIteration:
                return


async def _next(values: Any) -> Any:
    return await anext(values)


async def in_thread(do: Callable[..., Any], *args: Any) -> Any:
    """Call something in a thread of its own, in a copy of the Context; return what it returns."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            outcome = context.run(do, *args), None
        except BaseException as error:
            outcome = None, error
        loop.call_soon_threadsafe(done.set_result, outcome)

    thread = Thread(target=work)
    thread.start()
    value, error = await done
    thread.join()
    if error is not None:
        raise error
    return value
