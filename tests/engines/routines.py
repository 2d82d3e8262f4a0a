"""Routines for workers on engines; a module of its own, which they import."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator

import catena
from tests.engines.left import find_parent

__all__ = ["color", "count_up", "do_nothing", "identify", "identify_nested", "locate", "rest"]

color: catena.ContextVar[str] = catena.ContextVar("engines.color", namespace="tests", default="-")


@catena.routine
async def do_nothing() -> None:
    """Take no time."""


@catena.routine
async def identify() -> int:
    """Return the process, and let the caller see that it was here."""
    color.set(f"{color.get()}, seen")
    return os.getpid()


@catena.routine
async def identify_nested() -> tuple[int, int]:
    """Return this process, and that which a nested call has found."""
    return os.getpid(), await identify()


@catena.routine
async def locate() -> tuple[int, int]:
    """Return the engine's process that holds this one, and what has started that."""
    holder = os.getppid()
    return holder, find_parent(holder)


@catena.routine
async def rest(seconds: float) -> int:
    """Take some time."""
    await asyncio.sleep(seconds)
    return os.getpid()


@catena.routine
async def count_up(most: int) -> AsyncGenerator[str, None]:
    """Yield numbers with the color that the caller has just set."""
    for number in range(most):
        yield f"{number} {color.get()}"
