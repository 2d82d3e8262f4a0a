"""Routines that the contract tests dispatch."""

from __future__ import annotations

import asyncio
from typing import Any

import catena

__all__ = ["count", "double", "fails", "outer", "waits"]


@catena.routine
async def double(x: Any) -> Any:
    """Return twice the value."""
    return x + x


@catena.routine
async def count(to: int) -> Any:
    """Count from zero."""
    for n in range(to):
        yield n


@catena.routine
async def outer(x: int) -> int:
    """Dispatch on."""
    return await double(x)


@catena.routine
async def fails() -> None:
    """Raise."""
    raise KeyError("not here")


@catena.routine
async def waits() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()
