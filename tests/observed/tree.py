"""A program with a call of every shape: nested, through a stream, and from forked tasks."""

from __future__ import annotations

import asyncio
import json
import os

from opentelemetry import trace

import catena
from tests.telemetry.traced import leaf, number, steps

__all__ = ["main"]


@catena.routine
async def middle() -> list[int]:
    """Call on directly, through a stream, and from a forked task."""
    direct = await leaf(1)
    streamed = [value async for value in steps(2)]
    forked = await asyncio.create_task(leaf(2))
    return [os.getpid(), direct, *streamed, forked]


async def main() -> None:
    """Call everything in one span of the application; tell which processes there were."""
    async with catena.WorkerPool(spawn=2) as pool:
        number.set(5)
        with trace.get_tracer("app").start_as_current_span("app"):
            # Workers are taken in turn: each of them is the middle once, and the nested one.
            said = [await middle() for _ in range(4)]
            said.append([value async for value in steps(2)])
            said.append(list(await asyncio.gather(*(leaf(value) for value in range(4)))))
        pids = sorted(pool.pids.values())
    print(json.dumps({"caller": os.getpid(), "workers": pids, "calls": said}), flush=True)
