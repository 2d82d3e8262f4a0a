"""What many tests need: a loop with a deadline, an empty Context, variables with free keys."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import uvloop

import catena

P = ParamSpec("P")
T = TypeVar("T")

LOOPS = ("asyncio", "uvloop")
"""The event loops that a test about loops is repeated on; names that ``run`` knows."""

_FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
_numbers = itertools.count(1)


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """Return a fresh loop of a kind in ``LOOPS``."""
    return _FACTORIES[name]()


def run(coro: Coroutine[Any, Any, T], timeout: float = 20, *, loop: str = "asyncio") -> T:
    """Run a coroutine on a fresh loop, in a copy of the Context, for so many seconds at most."""

    async def main() -> T:
        # Not wait_for, which makes a task on 3.11: the coroutine is to be the main task itself.
        async with asyncio.timeout(timeout):
            return await coro

    with asyncio.Runner(loop_factory=_FACTORIES[loop]) as runner:
        return runner.run(main())


def isolated(test: Callable[P, T]) -> Callable[P, T]:
    """Run a test in an empty Context, so that what it arms is gone with it."""

    @functools.wraps(test)
    def in_empty_context(*args: P.args, **kwargs: P.kwargs) -> T:
        return contextvars.Context().run(test, *args, **kwargs)

    return in_empty_context


class Looking:
    """An observer that calls what it is given at either end, and does nothing without."""

    def __init__(
        self,
        begin: Callable[[Any], object] | None = None,
        end: Callable[[Any, BaseException | None, int], object] | None = None,
    ) -> None:
        self._begin = begin
        self._end = end

    def begin(self, operation: Any) -> None:
        """Call what is to be called when an operation begins."""
        if self._begin is not None:
            self._begin(operation)

    def end(self, operation: Any, error: BaseException | None, at: int) -> None:
        """Call what is to be called when it has ended."""
        if self._end is not None:
            self._end(operation, error, at)


def variable(name: str = "var", **options: Any) -> catena.ContextVar[Any]:
    """Declare a variable whose key nobody has, however long others live."""
    return catena.ContextVar(f"{name}{next(_numbers)}", namespace="tests", **options)
