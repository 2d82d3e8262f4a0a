"""A chain is never run by two runners at once: threads, tasks, shared Contexts, callbacks."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import pickle
import threading
from typing import Any

import pytest

import catena
from catena.events import ContentionRefused
from catena.testing import recording
from tests.context.touches import TOUCHES, facts_here
from tests.support import LOOPS, run, variable


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("touch", TOUCHES)
def test_another_thread_is_refused(touch: str, loop: str) -> None:
    """C9, C10: a plain thread that touches a running task's chain is refused before T2's checks."""
    var = variable()

    async def main() -> None:
        var.set("mine")
        before = facts_here()
        with pytest.raises(catena.ChainContention) as caught:
            await asyncio.to_thread(TOUCHES[touch], var)
        assert caught.value.kind == "thread"
        assert facts_here() == before
        assert var.get() == "mine"

    run(main(), loop=loop)


@pytest.mark.parametrize("touch", TOUCHES)
def test_another_task_on_the_same_chain_is_refused(touch: str) -> None:
    """C9: two live tasks in one Context, made past the factory, do not share its chain."""
    var = variable()
    context = contextvars.Context()

    async def owner(ready: asyncio.Event, end: asyncio.Event) -> Any:
        var.set("mine")
        ready.set()
        await end.wait()
        return var.get()

    async def intruder() -> None:
        before = facts_here()
        with pytest.raises(catena.ChainContention) as caught:
            TOUCHES[touch](var)
        assert caught.value.kind == "task"
        assert facts_here() == before

    async def main() -> None:
        loop, ready, end = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        first = asyncio.Task(owner(ready, end), loop=loop, context=context)
        await ready.wait()
        await asyncio.Task(intruder(), loop=loop, context=context)
        end.set()
        assert await first == "mine"

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_an_armed_context_handed_to_two_tasks_is_refused(loop: str) -> None:
    """C9: the second create_task fails at once, its coroutine closed without a warning."""
    var = variable()
    context = contextvars.Context()
    context.run(var.set, "armed")

    async def hold(end: asyncio.Event) -> Any:
        await end.wait()
        return var.get()

    async def main() -> None:
        end = asyncio.Event()
        catena.install_task_factory()
        first = asyncio.create_task(hold(end), context=context)
        second = hold(end)
        with pytest.raises(catena.ChainContention) as caught:
            await asyncio.create_task(second, context=context)
        assert (caught.value.kind, caught.value.owner_task) == ("task", first)
        assert inspect.getcoroutinestate(second) == inspect.CORO_CLOSED
        del second
        gc.collect()
        end.set()
        assert await first == "armed"
        # The first is done, so the Context is free again.
        assert await asyncio.create_task(hold(end), context=context) == "armed"

    run(main(), loop=loop)


def test_the_context_of_the_running_task_is_not_free() -> None:
    """C9: create_task in the very Context that runs is refused, the coroutine closed."""
    var = variable()
    context = contextvars.Context()

    async def inside() -> None:
        var.set(1)
        coro = asyncio.sleep(0)
        with pytest.raises(catena.ChainContention) as caught:
            await asyncio.create_task(coro, context=context)
        assert caught.value.kind == "task"
        assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED

    async def main() -> None:
        await asyncio.Task(inside(), loop=asyncio.get_running_loop(), context=context)

    run(main())


def test_a_contention_carries_its_facts() -> None:
    """C9: chain id, kind, both thread ids and both tasks are attributes, the text follows them."""
    var = variable()
    threads: list[int] = []

    def intrude() -> None:
        threads.append(threading.get_ident())
        var.get()

    async def main() -> catena.ChainContention:
        var.set(1)
        with (
            recording(ContentionRefused) as recorded,
            pytest.raises(catena.ChainContention) as caught,
        ):
            await asyncio.to_thread(intrude)
        error = caught.value
        assert [one.error for one in recorded.of(ContentionRefused)] == [error]
        assert error.chain_id == facts_here()[0].id.hex()
        assert (error.owner_thread, error.thread) == (threading.get_ident(), threads[0])
        assert (error.owner_task, error.task) == (asyncio.current_task(), None)
        return error

    error = run(main())
    assert error.chain_id in str(error)
    assert str(error.owner_thread) in str(error)
    assert str(error.thread) in str(error)


def test_a_contention_of_tasks_survives_pickling() -> None:
    """C9: facts and text are the same afterwards; a task becomes its representation."""
    var = variable()
    context = contextvars.Context()

    async def intrude() -> None:
        var.get()

    async def main() -> tuple[catena.ChainContention, str, str]:
        loop, end = asyncio.get_running_loop(), asyncio.Event()

        async def hold() -> None:
            var.set(1)
            await end.wait()

        owner = asyncio.Task(hold(), loop=loop, context=context, name="owner")
        await asyncio.sleep(0)
        with pytest.raises(catena.ChainContention) as caught:
            await asyncio.Task(intrude(), loop=loop, context=context, name="intruder")
        error = caught.value
        copied = pickle.loads(pickle.dumps(error))
        assert (copied.chain_id, copied.kind) == (error.chain_id, "task")
        assert (copied.owner_thread, copied.thread) == (error.owner_thread, error.thread)
        assert (copied.owner_task, copied.task) == (repr(owner), repr(error.task))
        end.set()
        await owner
        return copied, "owner", "intruder"

    copied, *names = run(main())
    assert all(name in str(copied) for name in names)
