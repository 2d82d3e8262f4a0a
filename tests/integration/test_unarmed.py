"""A process that never sets a Catena variable pays nothing for tasks, also inside a pool."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

import catena
from catena.context.chain import current
from tests.integration.pools import LOOPS, pooled
from tests.integration.routines import color, echo
from tests.support import run

CREATE_TASK = asyncio.create_task


async def facts() -> dict[str, Any]:
    """Create a task and say what there is about it that asyncio alone would not have put there."""
    loop = asyncio.get_running_loop()
    coro = asyncio.sleep(0)
    task = asyncio.create_task(coro)
    found = {
        "factory": loop.get_task_factory(),
        "chain": current.get(),
        "create_task": asyncio.create_task is CREATE_TASK,
        "of the loop": inspect.ismethod(loop.create_task) or inspect.isbuiltin(loop.create_task),
        "class": type(task) is asyncio.Task,
        "coroutine": task.get_coro() is coro,
        "callbacks": len(getattr(task, "_callbacks") or ()),  # noqa: B009
    }
    await task
    return found


NOTHING = {
    "factory": None,
    "chain": None,
    "create_task": True,
    "of the loop": True,
    "class": True,
    "coroutine": True,
    "callbacks": 0,
}


@catena.routine
async def facts_there(*, read: bool) -> dict[str, Any]:
    """Return the facts of the worker."""
    if read:
        color.get()
    return await facts()


@catena.routine
async def facts_in_steps() -> Any:
    """Yield the facts of the worker, twice."""
    yield await facts()
    yield await facts()


@catena.routine
async def armed_facts() -> bool:
    """Set a variable and say whether the worker's loop has a factory then."""
    color.set("red")
    return (await facts())["factory"] is not None


@pytest.mark.parametrize("here", LOOPS)
def test_a_process_that_sets_nothing_pays_nothing(here: str) -> None:
    """C4: no task factory, no done-callback, nothing wrapped; before, in and after a pool."""

    async def main() -> None:
        assert await facts() == NOTHING
        async with catena.WorkerPool(spawn=1):
            assert await facts() == NOTHING
            assert await echo(1) == 1
            assert await asyncio.create_task(echo(2)) == 2
            assert color.get() == "none"
            assert await catena.to_thread(color.get) == "none"
            assert await facts() == NOTHING
        assert await facts() == NOTHING

    run(main(), 30, loop=here)


@pytest.mark.parametrize("here", LOOPS)
@pytest.mark.parametrize("read", [False, True])
def test_a_worker_that_is_sent_nothing_pays_nothing(read: bool, here: str) -> None:
    """C4: nor does the process that runs the routines, also when they read a default."""

    async def work(pool: catena.WorkerPool) -> None:
        for _ in range(3):
            assert await facts_there(read=read) == NOTHING
        assert [one async for one in facts_in_steps()] == [NOTHING, NOTHING]

    pooled(work, here=here, spawn=1)


def test_what_a_routine_sets_arms_both_ends() -> None:
    """C4, C7: the facts above can tell: after a set on the worker, and after its answer here."""

    async def work(pool: catena.WorkerPool) -> None:
        assert await armed_facts()
        assert (await facts())["factory"] is not None
        assert color.get() == "red"

    pooled(work, spawn=1)
