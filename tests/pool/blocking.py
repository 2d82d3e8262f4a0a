"""Routines that block their worker; a module of its own, which workers load in a moment."""

from __future__ import annotations

import asyncio
import os
import re
import time

import catena

__all__ = ["hold_the_lock", "rest", "sleep_in_a_coroutine", "whoami"]

_SLOW_PATTERN = re.compile(r"(a+)+$")


@catena.routine
async def whoami() -> int:
    """Return the worker's process id."""
    return os.getpid()


@catena.routine
async def rest() -> None:
    """Wait without blocking anything."""
    await asyncio.sleep(60)


@catena.routine
async def sleep_in_a_coroutine(seconds: float) -> None:
    """Block the loop."""
    time.sleep(seconds)  # noqa: ASYNC251 - a blocked loop is the subject


@catena.routine
async def hold_the_lock() -> None:
    """Block the loop in C code that keeps the interpreter's lock, for minutes."""
    _SLOW_PATTERN.match("a" * 40 + "b")
