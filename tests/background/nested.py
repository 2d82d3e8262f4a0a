"""Routines that call each other: one runs as a task, the other on a worker of a pool."""

from __future__ import annotations

import asyncio
import os

import catena

user: catena.ContextVar[str] = catena.ContextVar("user", namespace="nested", default="nobody")


@catena.routine
async def identify() -> tuple[int, str]:
    """Return the process, and who the call is made for."""
    return os.getpid(), user.get()


@catena.routine
async def call_nested() -> tuple[int, int, str]:
    """Return this process, and what a nested call returns."""
    return os.getpid(), *await identify()


@catena.routine
async def call_tagged() -> tuple[int, str]:
    """Return what a call returns that goes to a worker with a tag."""
    return await identify.on(tags={"special"})()


@catena.routine
async def call_together(times: int) -> int:
    """Return in how many processes so many calls run that are made at once."""
    found = await asyncio.gather(*(identify() for _ in range(times)))
    return len({pid for pid, _ in found})


@catena.routine
async def submit_nested() -> str:
    """Submit another task, and return its key."""
    return (await call_nested.submit()).key
