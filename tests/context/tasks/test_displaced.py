"""A task factory that is installed later and drops ours is reported: where, when, how often."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest

import catena
from catena.dispatch.payloads import LENIENT
from catena.events import FactoryDisplaced
from catena.testing import recording
from catena.transfer.capture import capture_answer, capture_drive
from catena.transfer.mount import mount
from tests.context.later import (
    Stashing,
    bury,
    careless,
    chain_here,
    closure,
    dropping,
    reports_of,
    touch,
)
from tests.support import LOOPS, run, variable

TOUCHES: dict[str, Callable[[catena.ContextVar[Any]], Any]] = {
    "set": lambda var: var.set("new"),
    "dispatch": lambda _: capture_drive(LENIENT, None),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("raising", TOUCHES)
@pytest.mark.parametrize("factory", [dropping, careless, None])
def test_a_factory_that_drops_ours_is_reported(factory: Any, raising: str, loop: str) -> None:
    """C8: by the next set and the next dispatch, each time; nothing changes; get goes on."""
    var = variable()

    async def main() -> None:
        running = asyncio.get_running_loop()
        token = var.set("old")
        before = chain_here()
        running.set_task_factory(factory)
        for _ in range(2):
            with (
                recording(FactoryDisplaced) as recorded,
                pytest.raises(catena.TaskFactoryDisplaced) as caught,
            ):
                TOUCHES[raising](var)
            assert (caught.value.loop, caught.value.factory) == (repr(running), repr(factory))
            assert [one.error for one in recorded.of(FactoryDisplaced)] == [caught.value]
        assert (var.get(), chain_here()) == ("old", before)
        capture_answer(LENIENT, None)
        var.reset(token)

    run(main(), loop=loop)


if sys.version_info >= (3, 12):

    def test_the_stdlibs_eager_factory_drops_ours_when_it_comes_later() -> None:
        """C8: it calls no other; installed once more, ours calls it and forks."""
        var = variable()

        async def main() -> None:
            running = asyncio.get_running_loop()
            reported = reports_of(running)
            var.set(1)
            running.set_task_factory(asyncio.eager_task_factory)
            assert (await asyncio.create_task(touch())).parent == chain_here().id
            await asyncio.sleep(0)
            assert len(reported) == 1
            with pytest.raises(catena.TaskFactoryDisplaced):
                var.set(2)
            catena.install_task_factory()
            var.set(2)
            task = asyncio.create_task(touch())
            assert task.done()
            assert task.result().parent == chain_here().id

        run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_installing_again_clears_it(loop: str) -> None:
    """C8: ours then stands above, calls the later one, and forks."""
    var = variable()
    made: list[Any] = []

    def counting(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **options)

    async def main() -> None:
        var.set(1)
        asyncio.get_running_loop().set_task_factory(counting)
        with pytest.raises(catena.TaskFactoryDisplaced):
            var.set(2)
        catena.install_task_factory()
        var.set(3)
        assert (await asyncio.create_task(touch())).parent == chain_here().id
        assert len(made) == 1
        asyncio.get_running_loop().set_task_factory(counting)
        with pytest.raises(catena.TaskFactoryDisplaced):
            var.set(4)

    run(main(), loop=loop)


def test_putting_ours_back_clears_it() -> None:
    """C8: a library that takes the factory away for a while and restores it harms nobody."""
    var = variable()

    async def main() -> None:
        var.set(1)
        running = asyncio.get_running_loop()
        before = running.get_task_factory()
        running.set_task_factory(dropping)
        running.set_task_factory(before)
        var.set(2)

    run(main())


def test_a_loop_that_no_armed_context_was_on_is_not_displaced() -> None:
    """C7: there ours is installed, whatever factory is there."""
    var = variable()

    async def main() -> None:
        running = asyncio.get_running_loop()
        running.set_task_factory(dropping)
        var.set(1)
        assert running.get_task_factory() is not dropping
        assert (await asyncio.create_task(touch())).parent == chain_here().id

    run(main())


@pytest.mark.parametrize("to_worker", [True, False])
def test_a_mount_only_announces_it(to_worker: bool) -> None:
    """C8: once, and the result that came along is not thrown away."""
    var = variable()

    async def main() -> None:
        var.set(1)
        manifest, _ = capture_answer(LENIENT, None)
        assert manifest is not None
        var.set(2)
        asyncio.get_running_loop().set_task_factory(dropping)
        with recording(FactoryDisplaced) as recorded:
            mount(manifest, LENIENT, to_worker=to_worker)
            mount(manifest, LENIENT, to_worker=to_worker)
        assert var.get() == 1
        assert [one.error.factory for one in recorded.of(FactoryDisplaced)] == [repr(dropping)]

    run(main())


# ---- found at a task's completion


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("wrap", [Stashing, lambda _: dropping, lambda _: careless, lambda _: None])
def test_a_task_without_a_fork_is_reported_at_its_completion(wrap: Any, loop: str) -> None:
    """C8: it is reported to the loop's exception handler, once; then the next set raises."""
    var = variable()

    async def main() -> None:
        running = asyncio.get_running_loop()
        reported = reports_of(running)
        var.set(1)
        later = bury(wrap)
        with recording(FactoryDisplaced) as recorded:
            for _ in range(2):
                task = asyncio.create_task(touch())
                assert (await task).parent == chain_here().id
                await asyncio.sleep(0)
        [facts], [event] = reported, recorded.of(FactoryDisplaced)
        assert facts["exception"] is event.error
        assert event.error.factory == repr(later)
        with pytest.raises(catena.TaskFactoryDisplaced):
            var.set(2)
        catena.install_task_factory()
        var.set(3)

    run(main(), loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_task_that_asked_no_factory_is_not_reported(loop: str) -> None:
    """C8: asyncio.Task itself is not the factory's doing, where ours is on top or seen to run."""
    var = variable()

    async def main() -> None:
        running = asyncio.get_running_loop()
        reported = reports_of(running)
        var.set(1)
        await asyncio.Task(touch(), loop=running)
        bury(closure)
        await asyncio.create_task(touch())
        await asyncio.Task(touch(), loop=running)
        await asyncio.sleep(0)
        var.set(2)
        assert reported == []

    run(main(), loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_factory_that_is_gone_by_then_is_not_reported(loop: str) -> None:
    """C8: a task without a fork that completes when ours is back has nothing to report."""
    var = variable()

    async def held(end: asyncio.Event) -> None:
        var.get()
        await end.wait()

    async def main() -> None:
        running = asyncio.get_running_loop()
        reported, end = reports_of(running), asyncio.Event()
        var.set(1)
        before = running.get_task_factory()
        running.set_task_factory(dropping)
        task = asyncio.create_task(held(end))
        await asyncio.sleep(0)
        running.set_task_factory(before)
        end.set()
        await task
        await asyncio.sleep(0)
        assert reported == []

    run(main(), loop=loop)


def test_ours_of_another_loop_does_not_count() -> None:
    """C7, C8: a factory that holds ours, but the one of another loop, has displaced this loop's."""
    var = variable()
    other = asyncio.new_event_loop()

    async def main() -> None:
        var.set(1)
        catena.install_task_factory(other)
        before: Any = other.get_task_factory()
        asyncio.get_running_loop().set_task_factory(closure(before))
        with pytest.raises(catena.TaskFactoryDisplaced):
            var.set(2)

    try:
        run(main())
    finally:
        other.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_being_torn_down_is_no_displacement(loop: str) -> None:
    """C8: whoever made it puts the old factory back, and cancelled tasks clean up."""
    var = variable()
    reported: list[dict[str, Any]] = []
    cleaned: list[Any] = []
    tasks: list[asyncio.Task[None]] = []

    async def held(*, swallow: bool) -> None:
        var.get()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cleaned.append(var.set("cleaned").old_value)
            if not swallow:
                raise

    async def main() -> None:
        running = asyncio.get_running_loop()
        running.set_exception_handler(lambda _, facts: reported.append(facts))
        var.set(1)
        running.set_task_factory(None)
        tasks.extend(running.create_task(held(swallow=one)) for one in (False, True))
        await asyncio.sleep(0)

    run(main(), loop=loop)
    assert [task.cancelled() for task in tasks] == [True, False]
    assert (cleaned, reported) == ([1, 1], [])
