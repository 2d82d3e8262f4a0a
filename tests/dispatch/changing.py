"""Routines that change a variable or two, for tests of what frames say of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import catena

__all__ = ["adding", "count", "other", "set_and_fail", "set_and_undo"]

count: catena.ContextVar[int] = catena.ContextVar("count", namespace="tests.changing")
other: catena.ContextVar[Any] = catena.ContextVar("other", namespace="tests.changing", default="-")


@catena.routine
async def adding(to: int) -> AsyncGenerator[int, None]:
    """Add one to what the counter is at each step."""
    for _ in range(to):
        count.set(count.get(0) + 1)
        yield count.get()


@catena.routine
async def set_and_undo() -> AsyncGenerator[Any, None]:
    """Set the other variable, undo it in the next step, then yield what is there."""
    token = other.set("there")
    yield other.get()
    other.reset(token)
    yield other.get()
    yield other.get()


@catena.routine
async def set_and_fail() -> None:
    """Change one variable, and raise."""
    other.set("failed")
    raise KeyError("there")
