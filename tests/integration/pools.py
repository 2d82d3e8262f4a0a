"""Pools for tests that run in this process: one helper, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import uvloop

import catena

__all__ = ["LOOPS", "pooled"]

T = TypeVar("T")

LOOPS = ["asyncio", "uvloop"]


def pooled(
    work: Callable[[catena.WorkerPool], Awaitable[T]],
    *,
    spawn: int = 2,
    here: str = "asyncio",
    seconds: float = 30,
    **options: Any,
) -> T:
    """Open a pool, let ``work`` use it, and return what that returns.

    ``here`` names the loop of this process; further options are the pool's.
    """

    async def main() -> T:
        async with asyncio.timeout(seconds), catena.WorkerPool(spawn=spawn, **options) as pool:
            return await work(pool)

    factory = uvloop.new_event_loop if here == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())
