"""Routines for workers on the hosts of a test's network; a module of its own, which they import."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import catena

__all__ = ["count_links", "identify", "identify_nested", "rest"]


@catena.routine
async def identify() -> int:
    """Return which process runs it."""
    return os.getpid()


@catena.routine
async def count_links() -> int:
    """Return how many links the process that runs it has."""
    return catena.statistics().links


@catena.routine
async def identify_nested() -> list[int]:
    """Return which process runs it, and which one a nested call has found."""
    return [os.getpid(), await identify()]


@catena.routine
async def rest(seconds: float, diary: str) -> int:
    """Take some time, and write into a file when it begins, and how it ends."""
    _write(diary, "begun")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        _write(diary, "cancelled")
        raise
    _write(diary, "done")
    return os.getpid()


def _write(diary: str, what: str) -> None:
    with Path(diary).open("a") as lines:
        lines.write(f"{what} {os.getpid()}\n")
