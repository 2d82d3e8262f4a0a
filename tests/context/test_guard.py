"""A chain is never run by two runners at once: threads, tasks, shared Contexts, callbacks."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import pickle
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

import catena
from catena.context.current import current
from catena.context.manifest import ChainManifest
from catena.context.mount import capture, mount
from catena.dispatch.values import WIRE
from catena.events import ContentionRefused
from catena.testing import recording
from tests.support import LOOPS, isolated, run, variable

INCOMING = ChainManifest(bytes(range(16)))
Var = catena.ContextVar[Any]

TOUCHES: dict[str, Callable[[Var], Any]] = {
    "get": lambda var: var.get(),
    "get with a default": lambda var: var.get("default"),
    "set": lambda var: var.set("intruder"),
    "reset of no token": lambda var: var.reset(object()),  # type: ignore[arg-type]
    "capture": lambda _: capture(WIRE, to_worker=True),
    "capture of an answer": lambda _: capture(WIRE, to_worker=False),
    "mount": lambda _: mount(INCOMING, WIRE, to_worker=True),
    "mount of an answer": lambda _: mount(INCOMING, WIRE, to_worker=False),
}


def facts_here() -> tuple[Any, ...]:
    """Return what a refused touch must not change."""
    chain = current.get()
    assert chain is not None
    return chain, chain.thread, chain.task, chain.bound


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


@isolated
def test_a_chain_without_an_owner_is_claimed_by_the_first_task() -> None:
    """C9: armed outside any task, it belongs to the task that touches it first, while that runs."""
    var = variable()
    context = contextvars.Context()
    context.run(var.set, "armed")

    async def first(end: asyncio.Event) -> None:
        assert var.get() == "armed"
        assert facts_here()[2]() is asyncio.current_task()
        await end.wait()

    async def second() -> None:
        with pytest.raises(catena.ChainContention):
            var.get()

    async def main() -> None:
        end, loop = asyncio.Event(), asyncio.get_running_loop()
        claiming = asyncio.Task(first(end), loop=loop, context=context)
        await asyncio.sleep(0)
        await asyncio.Task(second(), loop=loop, context=context)
        end.set()
        await claiming

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_done_owner_leaves_the_chain_to_the_next(loop: str) -> None:
    """C9: owner done is no error for another task, outside of tasks, and in another thread."""
    var = variable()
    context = contextvars.Context()

    async def touch(value: Any) -> Any:
        seen = var.get(None)
        var.set(value)
        return seen

    async def main() -> None:
        running = asyncio.get_running_loop()
        assert await asyncio.Task(touch(1), loop=running, context=context) is None
        assert await asyncio.Task(touch(2), loop=running, context=context) == 1

    async def elsewhere() -> None:
        assert await asyncio.to_thread(context.run, var.get) == 2

    run(main(), loop=loop)
    assert context.run(var.get) == 2
    run(elsewhere(), loop=loop)


def test_an_owner_on_a_loop_that_stands_still_is_no_error() -> None:
    """C9: pending on a loop that is not running, and then collected, the owner cannot contend."""
    var = variable()
    context = contextvars.Context()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # a pending task that is collected is told there

    async def hold() -> None:
        var.set("held")
        await loop.create_future()

    owner = asyncio.Task(hold(), loop=loop, context=context)
    loop.run_until_complete(asyncio.sleep(0))
    try:
        assert not owner.done()
        assert context.run(var.get) == "held"
        del owner
        gc.collect()
        context.run(var.set, "mine")
        assert context.run(var.get) == "mine"
    finally:
        loop.close()


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


# ---- callbacks


Schedule = Callable[[asyncio.AbstractEventLoop, Callable[[], None]], object]


def when_slept(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Call back when a task is done."""
    loop.create_task(asyncio.sleep(0)).add_done_callback(lambda _: callback())


def when_readable(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Call back when a socket can be read, which is at once."""
    near, far = socket.socketpair()
    near.setblocking(False)

    def readable() -> None:
        loop.remove_reader(near)
        near.close()
        far.close()
        callback()

    loop.add_reader(near, readable)
    far.send(b"!")


SCHEDULES: dict[str, Schedule] = {
    "call_soon": lambda loop, callback: loop.call_soon(callback),
    "call_later": lambda loop, callback: loop.call_later(0, callback),
    "call_at": lambda loop, callback: loop.call_at(loop.time(), callback),
    "done callback": when_slept,
    "reader": when_readable,
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_callback_runs_on_the_scheduling_chain(schedule: str, loop: str) -> None:
    """C6: it reads and writes without contention, on the same chain, and its writes stay there."""
    var = variable()

    async def main() -> None:
        running = asyncio.get_running_loop()
        called: asyncio.Future[tuple[Any, bytes]] = running.create_future()

        def callback() -> None:
            try:
                seen = var.get()
                token = var.set("callback")
                var.reset(token)
                var.set("callback")
                called.set_result((seen, facts_here()[0].id))
            except Exception as error:
                called.set_exception(error)

        var.set("task")
        SCHEDULES[schedule](running, callback)
        assert await called == ("task", facts_here()[0].id)
        assert var.get() == "task"

    run(main(), loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("touch", ["get", "set", "reset of no token"])
def test_a_callback_of_another_thread_may_only_look(touch: str, loop: str) -> None:
    """C6: through call_soon_threadsafe a callback reads; set and reset are refused as "thread"."""
    var = variable()

    async def main() -> None:
        running = asyncio.get_running_loop()
        called: asyncio.Future[Any] = running.create_future()

        def callback() -> None:
            try:
                called.set_result(TOUCHES[touch](var))
            except Exception as error:
                called.set_exception(error)

        def in_thread() -> None:
            var.set("thread")
            running.call_soon_threadsafe(callback)

        await running.run_in_executor(None, contextvars.Context().run, in_thread)
        if touch == "get":
            assert await called == "thread"
            return
        with pytest.raises(catena.ChainContention) as caught:
            await called
        assert caught.value.kind == "thread"

    run(main(), loop=loop)
