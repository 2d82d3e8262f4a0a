"""Routines that say where they run, of every kind; a module of its own, which workers import."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator

import catena

__all__ = ["Place", "hold_slot", "name_twice", "say_nested", "say_process", "say_slot"]


@catena.routine
async def say_process() -> int:
    """Return the process."""
    await asyncio.sleep(0)
    return os.getpid()


@catena.routine
def say_slot() -> int:
    """Return the process, and take a slot for it."""
    return os.getpid()


@catena.routine
def hold_slot(seconds: float) -> int:
    """Hold a slot for some time."""
    time.sleep(seconds)
    return os.getpid()


@catena.routine
async def name_twice() -> AsyncGenerator[int, None]:
    """Yield the process, twice."""
    for _ in range(2):
        yield os.getpid()


@catena.routine
async def say_nested(*tags: str) -> tuple[int, int, int, list[int]]:
    """Return this process, and where calls of each kind go that ask for the tags."""
    stream = [one async for one in name_twice.on(tags=tags)()]
    return os.getpid(), await say_process.on(tags=tags)(), await say_slot.on(tags=tags)(), stream


class Place:
    """Has a routine that is a method."""

    @catena.routine
    async def say(self) -> int:
        """Return the process."""
        return os.getpid()
