"""Calls on a loop whose task factory somebody replaced, here and on the worker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import catena
from catena.events import Dispatch, FactoryDisplaced
from catena.testing import recording
from tests.integration.pools import LOOPS, pooled
from tests.integration.routines import color, paint, steps


def dropping(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
    """A task factory that calls no other."""
    return asyncio.Task(coro, loop=loop, **options)


@catena.routine
async def count(start: int) -> Any:
    """Yield numbers without end, and leave each in a variable."""
    while True:
        steps.set(start)
        yield start
        start += 1


@catena.routine
async def paint_late(new: str) -> str:
    """Wait until the caller has had time to replace its factory, then set."""
    await asyncio.sleep(0.2)
    color.set(new)
    return new


@catena.routine
async def set_displaced() -> str:
    """Replace the worker's factory and set; put it in order again."""
    color.set("first")
    asyncio.get_running_loop().set_task_factory(dropping)
    try:
        color.set("second")
    finally:
        catena.install_task_factory()
    return "unreached"


@pytest.mark.parametrize("here", LOOPS)
def test_a_call_is_refused_before_anything_is_sent(here: str) -> None:
    """C8: nothing leaves, the pool is as it was, and the call goes out once ours is back."""

    async def work(pool: catena.WorkerPool) -> None:
        color.set("red")
        asyncio.get_running_loop().set_task_factory(dropping)
        with recording(Dispatch) as recorded, pytest.raises(catena.TaskFactoryDisplaced):
            await paint("blue")
        [dispatch] = recorded.of(Dispatch)
        assert (dispatch.attempt, dispatch.call) == (None, 0)
        assert color.get() == "red"
        catena.install_task_factory()
        assert await paint("blue") == ("red", "blue")

    pooled(work, here=here, spawn=1)


@pytest.mark.parametrize("here", LOOPS)
def test_a_finished_result_is_never_thrown_away(here: str) -> None:
    """C8: displaced while the call was under way, its answer is mounted and the event says so."""

    async def work(pool: catena.WorkerPool) -> None:
        color.set("here")
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().set_task_factory, dropping)
        with recording(FactoryDisplaced) as recorded:
            assert await paint_late("there") == "there"
        assert color.get() == "there"
        assert [one.error.factory for one in recorded.of(FactoryDisplaced)] == [repr(dropping)]

    pooled(work, here=here, spawn=1)


def test_a_step_that_is_refused_leaves_the_stream_open() -> None:
    """C8: the step was not sent, so the generator stands where it stood."""

    async def work(pool: catena.WorkerPool) -> None:
        steps.set(0)
        stream = count(1)
        assert await anext(stream) == 1
        asyncio.get_running_loop().set_task_factory(dropping)
        with pytest.raises(catena.TaskFactoryDisplaced):
            await anext(stream)
        catena.install_task_factory()
        assert (await anext(stream), steps.get()) == (2, 2)
        await stream.aclose()

    pooled(work, spawn=1)


def test_on_a_worker_it_is_the_routines_error() -> None:
    """C8: it arrives here as itself, with the facts of the worker's loop."""

    async def work(pool: catena.WorkerPool) -> None:
        with pytest.raises(catena.TaskFactoryDisplaced) as caught:
            await set_displaced()
        assert "dropping" in caught.value.factory
        assert color.get() == "first"
        assert await paint("blue") == ("first", "blue")

    pooled(work, spawn=1)
