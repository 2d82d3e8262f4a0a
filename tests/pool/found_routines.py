"""Routines for workers that are started by hand; a module of its own, which they import."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import nullcontext

import catena

__all__ = ["color", "count_up", "identify", "identify_nested", "identify_under", "rest_a_while"]

color: catena.ContextVar[str] = catena.ContextVar("found.color", namespace="tests", default="-")


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
async def identify_under(folder: str) -> int:
    """Return which process tagged "back" a nested call has found under these credentials, or 0.

    Without a folder they are the worker's own; 0 says that the call was refused.
    """
    with catena.credentials(folder) if folder else nullcontext():
        try:
            return await identify.on(tags={"back"})()
        except catena.PeerRefused:
            return 0


@catena.routine
async def rest_a_while(seconds: float) -> int:
    """Take some time."""
    await asyncio.sleep(seconds)
    return os.getpid()


@catena.routine
async def count_up(most: int) -> AsyncGenerator[int, None]:
    """Yield numbers."""
    for number in range(most):
        yield number
