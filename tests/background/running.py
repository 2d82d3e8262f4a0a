"""Opening a queue of a name of its own, and running what was submitted, in a test."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from catena.background import BackgroundQueue, BackgroundWorker
from tests.background.routines import seen, user

T = TypeVar("T")

_numbers = itertools.count(1)


def new_name() -> str:
    """A name that no other test of this machine uses at this time."""
    return f"test-{os.getpid()}-{next(_numbers)}"


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[BackgroundQueue]:
    """A queue that nobody else uses."""
    seen.clear()
    async with BackgroundQueue(url, name=options.pop("name", new_name()), **options) as queue:
        yield queue


async def finish(queue: BackgroundQueue, **options: Any) -> None:
    """Run all tasks of a queue, in this process, within a minute."""
    async with asyncio.timeout(60):
        await BackgroundWorker(queue, **options).run_until_finished()


async def submit_as(name: str, submit: Callable[[], Awaitable[T]]) -> T:
    """Submit something as a user, in a Context of its own."""

    async def submit_here() -> T:
        user.set(name)
        return await submit()

    return await asyncio.create_task(submit_here())


def run(test: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine, which has a minute."""

    async def bounded() -> T:
        async with asyncio.timeout(100):
            return await test

    return asyncio.run(bounded())
