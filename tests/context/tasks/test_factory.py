"""The task factory: how it is installed, what it composes with, what it leaves alone."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import Any

import pytest

import catena
from catena.context.chain import current
from tests.support import LOOPS, run, variable


def of_old(loop: Any, coro: Any) -> asyncio.Task[Any]:
    """A task factory of the signature that it had before contexts could be given."""
    return asyncio.Task(coro, loop=loop)


def test_installing_needs_a_loop() -> None:
    """C7: outside a loop it is a RuntimeError that says so."""
    with pytest.raises(RuntimeError, match="needs a loop"):
        catena.install_task_factory()


@pytest.mark.parametrize("loop", LOOPS)
def test_installing_twice_changes_nothing(loop: str) -> None:
    """C7: idempotent, by hand and by arming."""
    var = variable()

    async def main() -> None:
        running = asyncio.get_running_loop()
        catena.install_task_factory()
        factory = running.get_task_factory()
        catena.install_task_factory(running)
        var.set(1)
        assert factory is not None
        assert running.get_task_factory() is factory

    run(main(), loop=loop)


def test_a_loop_that_does_not_run_can_be_given() -> None:
    """C7: with a loop as argument it is installed there from outside."""
    loop = asyncio.new_event_loop()
    try:
        catena.install_task_factory(loop)
        assert loop.get_task_factory() is not None
    finally:
        loop.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_arming_installs_it_on_each_loop(loop: str) -> None:
    """C7: by the first arming on a running loop, and by a first set where the loop lacks it."""
    var = variable()
    context = contextvars.Context()
    context.run(var.set, 0)

    async def main() -> None:
        assert asyncio.get_running_loop().get_task_factory() is None
        var.set(1)
        assert asyncio.get_running_loop().get_task_factory() is not None

    run(main(), loop=loop)
    context.run(run, main(), loop=loop)


def test_it_composes_with_the_factory_that_is_there() -> None:
    """C7: the inner factory makes the task, with every keyword that came, known to us or not."""
    var = variable()
    given: list[dict[str, Any]] = []

    class Special(asyncio.Task):  # type: ignore[type-arg]
        """What the inner factory makes."""

    def inner(loop: Any, coro: Any, *, marker: int = 0, **options: Any) -> Special:
        given.append({"marker": marker, **options})
        return Special(coro, loop=loop, **options)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(inner)
        var.set(1)
        factory = loop.get_task_factory()
        assert factory is not None
        task = factory(loop, asyncio.sleep(0), name="given", marker=7)  # type: ignore[call-arg]
        await task
        assert type(task) is Special
        assert given[-1].keys() == {"marker", "name", "context"}
        assert (given[-1]["marker"], task.get_name()) == (7, "given")

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("armed", [False, True])
def test_keywords_that_nobody_has_heard_of_are_passed_on(armed: bool, loop: str) -> None:
    """C7: whatever a later Python sends reaches the inner factory as it came."""
    var = variable()
    given: list[dict[str, Any]] = []

    def inner(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
        given.append(options)
        return asyncio.Task(coro, loop=loop, context=options.get("context"))

    async def main() -> None:
        running = asyncio.get_running_loop()
        running.set_task_factory(inner)
        catena.install_task_factory()
        if armed:
            var.set(1)
        factory: Any = running.get_task_factory()
        await factory(running, asyncio.sleep(0), name=None, eager_start=None, later=object)
        context = given[-1].pop("context", None)
        assert given[-1] == {"name": None, "eager_start": None, "later": object}
        assert (context is not None) == armed

    run(main(), loop=loop)


def test_a_keyword_that_a_task_does_not_take_is_its_error() -> None:
    """C7: without an inner factory it is asyncio.Task that refuses, as without ours."""
    var = variable()

    async def main() -> None:
        var.set(1)
        running = asyncio.get_running_loop()
        factory: Any = running.get_task_factory()
        coro = asyncio.sleep(0)
        with pytest.raises(TypeError, match="later"):
            factory(running, coro, later=1)
        coro.close()

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_an_inner_factory_that_ignores_the_context_gets_a_late_fork(loop: str) -> None:
    """C5, C7: its task is in a copy of the creator's Context, and forks at its first touch."""
    var = variable()

    def careless(loop: Any, coro: Any, **_: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop)

    async def child() -> tuple[Any, Any]:
        seen = var.get()
        var.set("child")
        return seen, current.get()

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(careless)
        var.set("parent")
        own = current.get()
        assert own is not None
        seen, chain = await asyncio.create_task(child())
        assert (seen, chain.parent) == ("parent", own.id)
        assert (var.get(), current.get()) == ("parent", own)

    run(main(), loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_get_does_not_install_it(loop: str) -> None:
    """C4, C7: reading a default, in a context that nobody armed, leaves the loop as it was."""
    var = variable(default=1)

    async def main() -> None:
        assert var.get() == 1
        assert asyncio.get_running_loop().get_task_factory() is None

    run(main(), loop=loop)


@pytest.mark.parametrize("legacy", [False, True])
def test_tasks_of_an_unarmed_context_are_left_alone(legacy: bool) -> None:
    """C7: the inner factory gets just what came, and the coroutine it is given is the caller's."""
    given: list[Any] = []

    def inner(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
        given.append((coro, set(options) - {"name"}))
        return asyncio.Task(coro, loop=loop, **options)

    def old(loop: Any, coro: Any) -> asyncio.Task[Any]:
        given.append((coro, set()))
        return asyncio.Task(coro, loop=loop)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(old if legacy else inner)
        catena.install_task_factory()
        coro = asyncio.sleep(0, "slept")
        task = asyncio.get_running_loop().create_task(coro)
        assert task.get_coro() is coro
        assert await task == "slept"
        assert given == [(coro, set())]
        assert current.get() is None

    run(main())


def test_a_factory_of_the_old_signature_is_not_given_an_absent_context() -> None:
    """C7: `context=None`, which uvloop sends, means none, so such a factory can serve it."""
    var = variable()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(of_old)
        catena.install_task_factory()
        factory: Any = loop.get_task_factory()
        assert await factory(loop, asyncio.sleep(0, "unarmed"), context=None) == "unarmed"
        var.set(1)
        assert await factory(loop, asyncio.sleep(0, "armed"), context=None) == "armed"

    run(main())


def test_a_task_of_an_armed_context_runs_the_callers_coroutine() -> None:
    """C7: neither the coroutine nor the task is wrapped."""
    var = variable()

    async def main() -> None:
        var.set(1)
        coro = asyncio.sleep(0, "slept")
        task = asyncio.create_task(coro, name="mine")
        assert type(task) is asyncio.Task
        assert (task.get_coro(), task.get_name()) == (coro, "mine")
        assert await task == "slept"

    run(main())


if sys.version_info >= (3, 12):

    @pytest.mark.parametrize("loop", LOOPS)
    @pytest.mark.parametrize("ends", [True, False])
    def test_a_task_that_starts_at_once_is_forked_before(ends: bool, loop: str) -> None:
        """C5, C7: ``eager_start``, as later Pythons send it; done at once, or going on later."""
        var = variable()

        async def child() -> tuple[Any, Any]:
            seen = var.get()
            var.set("child")
            if not ends:
                await asyncio.sleep(0)
                var.set("child again")
            return seen, current.get()

        async def main() -> None:
            var.set("parent")
            own = current.get()
            running = asyncio.get_running_loop()
            factory: Any = running.get_task_factory()
            task = factory(running, child(), eager_start=True)
            assert (task.done(), var.get(), current.get()) == (ends, "parent", own)
            seen, chain = await task
            assert own is not None
            assert (seen, chain.parent) == ("parent", own.id)
            assert (var.get(), current.get()) == ("parent", own)

        run(main(), loop=loop)
