"""Routines that go on when their time is up, in a module that workers load in a moment."""

from __future__ import annotations

import asyncio
import ctypes
import time
from collections.abc import AsyncGenerator

import catena

__all__ = [
    "block_the_loop",
    "end_late",
    "go_on_in_a_thread",
    "hold_the_lock_for_long",
    "nest_under_options",
    "rest_for_long",
    "swallow_cancellation",
    "tidy_up",
    "yield_and_block",
]

SOON = 0.5


@catena.routine(timeout=SOON, kill_after=SOON)
def go_on_in_a_thread() -> None:
    """Never end, on a thread."""
    while True:
        time.sleep(0.01)


@catena.routine(timeout=SOON, kill_after=20)
def end_late(seconds: float) -> None:
    """End some time after the timeout, on a thread."""
    while not catena.cancelled():
        time.sleep(0.01)
    time.sleep(seconds)


@catena.routine(timeout=SOON, kill_after=SOON)
async def block_the_loop() -> None:
    """Block the loop, and never end."""
    time.sleep(600)  # noqa: ASYNC251 - a blocked loop is the subject


@catena.routine(timeout=SOON, kill_after=SOON)
async def swallow_cancellation() -> None:
    """Wait, and go on when that is interrupted."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


@catena.routine(timeout=SOON, kill_after=SOON)
async def hold_the_lock_for_long() -> None:
    """Block the loop in C code that keeps the interpreter's lock."""
    ctypes.PyDLL(None).sleep(600)


@catena.routine(timeout=SOON, kill_after=SOON)
async def yield_and_block() -> AsyncGenerator[int, None]:
    """Yield once, and never end the second step."""
    yield 1
    time.sleep(600)  # noqa: ASYNC251 - a blocked loop is the subject


@catena.routine(timeout=SOON, kill_after=20)
async def tidy_up() -> None:
    """Wait until that is interrupted, and end."""
    await asyncio.sleep(60)


@catena.routine
async def rest_for_long() -> None:
    """Run beside others without blocking anything."""
    await asyncio.sleep(60)


@catena.routine
async def _block_without_options() -> None:
    """Block the loop, without options of its own."""
    time.sleep(600)  # noqa: ASYNC251 - a blocked loop is the subject


@catena.routine
async def nest_under_options() -> None:
    """Call a routine that blocks, under what this call has inherited."""
    await _block_without_options()
