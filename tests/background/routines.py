"""Routines that the tests submit: each says what it finds, in a list of this process."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated, Any

from docket import ConcurrencyLimit, Depends, Perpetual, Progress, Retry, Timeout

import catena
from catena.background import current_task, current_task_key

user: catena.ContextVar[str] = catena.ContextVar("user", namespace="background", default="nobody")

seen: list[Any] = []


def note(*facts: Any) -> None:
    """Note who the task runs for, and more."""
    seen.append((user.get(), *facts))


@catena.routine
async def greet(greeting: str) -> str:
    """Return a greeting to the user."""
    note(greeting)
    return f"{greeting} {user.get()}"


@catena.routine
async def rest() -> None:
    """Do nothing."""


@catena.routine
async def change() -> str:
    """Set the variable; nobody else may see it."""
    before = user.get()
    user.set("changed")
    return before


@catena.routine
def greet_plainly(greeting: str) -> str:
    """A plain function, which runs on a thread."""
    return f"{greeting} {user.get()} {current_task_key()}"


@catena.routine
async def fail(text: str) -> None:
    """Raise."""
    raise ValueError(text)


@catena.routine
async def retry_at_once(retry: Retry = Retry(attempts=3)) -> int:
    """Fail twice, each time tried again at once."""
    note(retry.attempt)
    user.set("changed")
    if retry.attempt < 3:
        raise ValueError("once more")
    return retry.attempt


@catena.routine
async def retry_later(
    retry: Retry = Retry(attempts=2, delay=timedelta(milliseconds=100)),
) -> int:
    """Fail once, and be tried again after a while."""
    note(retry.attempt)
    if retry.attempt < 2:
        raise ValueError("once more")
    return retry.attempt


@catena.routine
async def repeat(
    times: int, perpetual: Perpetual = Perpetual(every=timedelta(milliseconds=50))
) -> None:
    """Run so many times."""
    note(times)
    user.set("changed")
    if times > 1:
        perpetual.perpetuate(times - 1)
    else:
        perpetual.cancel()


@catena.routine
async def queue_up(name: str, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> str:
    """Run one at a time; the others wait in the engine."""
    note(name)
    await asyncio.sleep(0.05)
    return f"{name} {user.get()}"


@catena.routine
async def in_time(seconds: float, timeout: Timeout = Timeout(timedelta(seconds=5))) -> str:
    """Run under the engine's timeout, in a task of its own."""
    await asyncio.sleep(seconds)
    return user.get()


def find_user() -> str:
    """A dependency of a user's own; it needs the context as well."""
    return user.get()


@catena.routine
async def depend(found: str = Depends(find_user)) -> str:
    """Say what a dependency found."""
    return found


@catena.routine
async def report(progress: Progress = Progress()) -> None:
    """Say how far it is."""
    await progress.set_total(10)
    await progress.increment(3)
    await progress.set_message("three")
    while len(seen) == 0:
        await asyncio.sleep(0.01)


@catena.routine
async def say_task() -> tuple[str, str, int]:
    """Say which task runs here, as a task of its own sees it."""

    async def look() -> tuple[str, str, int]:
        task = current_task()
        assert task is not None
        return task.key, task.function, task.attempt

    return await asyncio.create_task(look())


@catena.routine
async def count_up(limit: int) -> Any:
    """A stream."""
    for number in range(limit):
        yield number


class Shop:
    """Routines in a class."""

    def __init__(self, name: str) -> None:
        self.name = name

    @catena.routine
    async def sell(self, what: str) -> str:
        """Sell something."""
        return f"{self.name} sells {what} to {user.get()}"


Limited = Annotated[str, ConcurrencyLimit(1)]
