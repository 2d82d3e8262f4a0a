"""Task factories that somebody installs after ours: those that call it, and those that do not."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from catena.context.chain import Chain, current
from tests.support import variable

__all__ = [
    "CALLING",
    "Factory",
    "Hiding",
    "Stashing",
    "bury",
    "careless",
    "chain_here",
    "closure",
    "dropping",
    "partial",
    "reports_of",
    "touch",
]

Factory = Callable[..., asyncio.Task[Any]]


def chain_here() -> Chain:
    """Return the current chain, which must be there."""
    chain = current.get()
    assert chain is not None
    return chain


async def touch() -> Chain:
    """Return the chain of a task that reads a variable."""
    variable().get(None)
    return chain_here()


def dropping(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
    """A factory that calls no other."""
    return asyncio.Task(coro, loop=loop, **options)


def careless(loop: Any, coro: Any, **_: Any) -> asyncio.Task[Any]:
    """A factory that calls no other and forgets what it is given, the context included."""
    return asyncio.Task(coro, loop=loop)


# ---- factories that call the one before


def closure(before: Factory) -> Factory:
    """Hold it in a closure."""

    def factory(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return before(loop, coro, **options)

    return factory


def partial(before: Factory) -> Factory:
    """Hold it in a functools.partial."""
    return functools.partial(_calling, before)


def _calling(before: Factory, loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
    return before(loop, coro, **options)


def default(before: Factory) -> Factory:
    """Hold it in a default."""

    def factory(loop: Any, coro: Any, _before: Factory = before, **options: Any) -> Any:
        return _before(loop, coro, **options)

    return factory


def decorated(before: Factory) -> Factory:
    """Hold it where functools.wraps puts it, and in a closure."""

    @functools.wraps(before)
    def factory(*args: Any, **options: Any) -> Any:
        return before(*args, **options)

    return factory


class Calling:
    """Hold it in an attribute, of an instance with slots."""

    __slots__ = ("before",)

    def __init__(self, before: Factory) -> None:
        self.before = before

    def __call__(self, loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return self.before(loop, coro, **options)


def method(before: Factory) -> Factory:
    """Be a bound method of what holds it."""
    return Calling(before).__call__


def on_a_class(before: Factory) -> Factory:
    """Hold it in an attribute of a class."""

    class Patch:
        original = staticmethod(before)

        @classmethod
        def make(cls, loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
            return cls.original(loop, coro, **options)

    return Patch.make


_before: list[Factory] = []


def named_global(before: Factory) -> Factory:
    """Hold it in a global."""
    _before[:] = [before]
    return _calling_global


def _calling_global(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
    return _before[0](loop, coro, **options)


def twice(before: Factory) -> Factory:
    """Two of them, one above the other."""
    return method(closure(before))


CALLING = [closure, partial, default, decorated, Calling, method, on_a_class, named_global, twice]


class Hiding:
    """Hold it where nothing that looks at objects can follow: as the result of a future."""

    def __init__(self, before: Factory) -> None:
        self.before: asyncio.Future[Factory] = asyncio.get_running_loop().create_future()
        self.before.set_result(before)

    def __call__(self, loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return self.before.result()(loop, coro, **options)


def bury(wrap: Callable[[Factory], Factory]) -> Factory:
    """Wrap the running loop's factory; return what it is now."""
    loop = asyncio.get_running_loop()
    before: Any = loop.get_task_factory()
    after: Any = wrap(before)
    loop.set_task_factory(after)
    return after


def reports_of(running: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    """Return a list that fills with what is reported to the loop's exception handler."""
    reported: list[dict[str, Any]] = []
    running.set_exception_handler(lambda _, facts: reported.append(facts))
    return reported


class Stashing:
    """Hold the one before, and do not call it."""

    def __init__(self, before: Factory) -> None:
        self.before = before

    def __call__(self, loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop, **options)
