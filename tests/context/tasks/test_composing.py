"""A task factory that is installed later and calls ours is left alone, and ours is found again."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import weakref
from typing import Any

import pytest

import catena
from catena.dispatch.payloads import LENIENT
from catena.events import ChainForked, FactoryDisplaced
from catena.testing import recording
from catena.transfer.capture import capture_drive
from tests.context.later import (
    CALLING,
    Hiding,
    bury,
    chain_here,
    closure,
    partial,
    reports_of,
    touch,
)
from tests.support import LOOPS, run, variable


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("wrap", CALLING)
def test_a_factory_that_calls_ours_is_left_alone(wrap: Any, loop: str) -> None:
    """C7, C8: at a set and a dispatch right after, before any task, and ours is found again."""
    var = variable()

    async def main() -> None:
        running = asyncio.get_running_loop()
        var.set(1)
        buried = bury(wrap)
        with recording(FactoryDisplaced) as recorded:
            var.set(2)
            capture_drive(LENIENT, None)
            catena.install_task_factory()
        assert running.get_task_factory() is buried
        with recording(ChainForked) as forks:
            child = await asyncio.create_task(touch())
        assert forks.of(ChainForked) == [ChainForked(child.id, chain_here().id)]
        var.set(3)
        catena.install_task_factory()
        assert (running.get_task_factory(), recorded.events) == (buried, [])

    run(main(), loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_factory_that_hides_ours_is_known_by_its_first_task(loop: str) -> None:
    """C7: that ours runs under it is proof, whatever else can be seen."""
    var = variable()

    async def main() -> None:
        var.set(1)
        hiding = bury(Hiding)
        assert (await asyncio.create_task(touch())).parent == chain_here().id
        var.set(2)
        catena.install_task_factory()
        assert asyncio.get_running_loop().get_task_factory() is hiding

    run(main(), loop=loop)


def test_proof_outweighs_what_looked_like_a_displacement() -> None:
    """C7, C8: a task that asked no factory may cast doubt on one that calls ours, for a while."""
    var = variable()

    async def main() -> None:
        running = asyncio.get_running_loop()
        reported = reports_of(running)
        var.set(1)
        bury(closure)
        var.set(2)
        await asyncio.Task(touch(), loop=running)
        await asyncio.sleep(0)
        assert len(reported) == 1
        with pytest.raises(catena.TaskFactoryDisplaced):
            var.set(3)
        await asyncio.create_task(touch())
        var.set(4)

    run(main())


def test_ours_from_below_is_proof_when_a_second_one_was_taken_away() -> None:
    """C7: of two of ours, the one that runs is the one that counts."""
    var = variable()

    async def main() -> None:
        running = asyncio.get_running_loop()
        var.set(1)
        hiding = bury(Hiding)
        catena.install_task_factory()
        running.set_task_factory(hiding)
        await asyncio.create_task(touch())
        var.set(2)

    run(main())


def test_two_of_ours_fork_once() -> None:
    """C7: installed once more above a factory that hid ours, a child gets one chain."""
    var = variable()

    async def main() -> None:
        var.set(1)
        bury(Hiding)
        catena.install_task_factory()
        with recording(ChainForked) as forks:
            child = await asyncio.create_task(touch())
        assert forks.of(ChainForked) == [ChainForked(child.id, chain_here().id)]
        assert child.parent == chain_here().id
        var.set(2)

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_buried_factory_refuses_a_context_that_runs(loop: str) -> None:
    """C7, C9: the refusal comes through the later factory, the coroutine is closed."""
    var = variable()
    context = contextvars.Context()
    context.run(var.set, "armed")

    async def main() -> None:
        catena.install_task_factory()
        bury(partial)
        end = asyncio.Event()
        first, second = asyncio.create_task(end.wait(), context=context), touch()
        with pytest.raises(catena.ChainContention) as caught:
            await asyncio.create_task(second, context=context)
        assert (caught.value.kind, caught.value.owner_task) == ("task", first)
        assert inspect.getcoroutinestate(second) == inspect.CORO_CLOSED
        end.set()
        await first

    run(main(), loop=loop)


def test_nothing_is_kept_of_a_loop_that_is_gone() -> None:
    """C7: what is known of a loop goes with it, also when a later factory holds both."""
    var = variable()
    gone: list[weakref.ref[Any]] = []

    async def main() -> None:
        running = asyncio.get_running_loop()
        var.set(1)
        before: Any = running.get_task_factory()

        def factory(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
            assert loop is running
            return before(loop, coro, **options)

        running.set_task_factory(factory)
        await asyncio.create_task(touch())
        var.set(2)
        gone.extend([weakref.ref(running), weakref.ref(factory), weakref.ref(before)])

    run(main())
    gc.collect()
    assert [one() for one in gone] == [None, None, None]
