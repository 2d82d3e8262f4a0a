"""Memory: what a call or a forked task held is free when it ends, as with the standard library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.programs import run_source
from tests.integration.test_many import needs_proc

MARGIN = 20 << 20
"""Bytes that Catena may take beyond what the same code takes without it."""

SIZES = """
    import asyncio, contextvars, json
    import catena

    MEGABYTES = 2 << 20

    def taken():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    async def growth(step, times=400):
        # What the first ones take is kept for good.
        for _ in range(20):
            await step()
        before = most = taken()
        for _ in range(times):
            await step()
            most = max(most, taken())
        return most - before
"""
STREAMS = """
    @catena.routine
    async def lengths(data):
        yield len(data)

    @catena.routine
    async def taken_there():
        return taken()

    async def on_worker():
        data = bytes(MEGABYTES)
        before = None
        for number in range(420):
            assert [length async for length in lengths(data)] == [MEGABYTES]
            if number == 19:
                before = await taken_there()
        return await taken_there() - before

    async def locally():
        async def step():
            data = bytes(MEGABYTES)
            assert [length async for length in lengths.local(data)] == [MEGABYTES]
        return await growth(step)

    async def main():
        async with catena.WorkerPool(1):
            print(json.dumps([await on_worker(), await locally()]))

    asyncio.run(main())
"""
TASKS = """
    async def of_tasks(variable):
        async def keep():
            variable.set(bytes(range(256)) * (MEGABYTES // 256))
        async def step():
            await asyncio.create_task(keep())
        variable.set(b"")
        return await growth(step)

    @catena.routine
    async def on_worker():
        return await of_tasks(catena.ContextVar("kept", namespace="tests.memory"))

    async def main():
        ours = await of_tasks(catena.ContextVar("here", namespace="tests.memory"))
        theirs = await of_tasks(contextvars.ContextVar("theirs"))
        async with catena.WorkerPool(1):
            print(json.dumps([max(ours, await on_worker()), theirs]))

    asyncio.run(main())
"""


@needs_proc
@pytest.mark.parametrize("source", [STREAMS, TASKS], ids=["streams", "tasks"])
def test_megabytes_are_free_when_their_call_or_task_ends(source: str, tmp_path: Path) -> None:
    """T8: 400 streams with 2 MB arguments, or 400 tasks with 2 MB values, take no more memory."""
    ours, theirs = json.loads(run_source(SIZES + source, tmp_path))
    assert ours - theirs < MARGIN
