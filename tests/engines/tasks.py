"""Functions that are run as tasks of an engine, and the variables that they read."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Generator
from typing import Any

import catena

__all__ = [
    "count",
    "count_slowly",
    "fail",
    "handled",
    "read",
    "read_all",
    "request_id",
    "reset_there",
    "set_there",
    "tenant",
    "wait_and_read",
]

tenant: catena.ContextVar[Any] = catena.ContextVar("tenant", namespace="tests.tasks", default="-")
handled: catena.ContextVar[Any] = catena.ContextVar("handled", namespace="tests.tasks", default=())
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")


def read(argument: Any = None) -> tuple[Any, Any]:
    """Return the variable, and what came as an argument."""
    return tenant.get(), argument


def read_all() -> tuple[Any, str]:
    """Return Catena's variable and that of the standard library."""
    return tenant.get(), request_id.get()


def set_there(value: str) -> str:
    """Set the variable; nobody else may see it."""
    tenant.set(value)
    return tenant.get()


def reset_there() -> str:
    """Try to reset with the token that another variable holds; return what was refused."""
    try:
        tenant.reset(handled.get())
    except ValueError as error:
        return str(error)
    return "it was reset"


def fail() -> None:
    """Raise an error that says what the variable is."""
    raise LookupError(tenant.get())


async def wait_and_read(value: str) -> tuple[Any, Any]:
    """Read before and after a set, in this task and in one that it creates."""
    tenant.set(f"{tenant.get()}, {value}")
    await asyncio.sleep(0.01)
    return tenant.get(), await asyncio.create_task(join())


async def join() -> str:
    """Return what a created task reads."""
    await asyncio.sleep(0)
    return f"{tenant.get()} in a task"


def count(most: int) -> Generator[tuple[Any, int], None, None]:
    """Yield numbers with the variable, which is set between them."""
    for number in range(most):
        yield tenant.get(), number
        tenant.set(f"after {number}")


async def count_slowly(most: int) -> AsyncGenerator[tuple[Any, int], None]:
    """Do the same, and wait meanwhile."""
    for one in count(most):
        await asyncio.sleep(0)
        yield one
