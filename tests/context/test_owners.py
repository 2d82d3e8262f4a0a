"""Who owns a chain, and who has ceased to: tasks that are done or gone, threads that have ended."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

import catena
from tests.context.touches import TOUCHES, facts_here
from tests.support import LOOPS, isolated, run, variable


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


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_owner_on_a_loop_that_stands_still_is_no_error(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """C9: pending on a loop that is not running, and then collected, the owner cannot contend."""
    var = variable()
    context = contextvars.Context()
    loop = new_loop()
    loop.set_exception_handler(
        lambda *_: None
    )  # a pending task that is collected is reported there

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


# ---- owners outside of tasks


def in_new_thread(work: Callable[[], object]) -> None:
    """Run a function in a thread of its own and wait for its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


@isolated
def test_a_thread_that_has_ended_owns_nothing() -> None:
    """C9: what it armed outside of tasks is claimed by whoever touches it next."""
    var = variable()
    context = contextvars.Context()
    in_new_thread(lambda: context.run(var.set, "thread"))

    assert context.run(var.get) == "thread"
    context.run(var.set, "mine")
    assert context.run(facts_here)[1] == threading.get_ident()
    assert context.run(var.get) == "mine"


@pytest.mark.parametrize("loop", LOOPS)
def test_a_task_claims_what_an_ended_thread_armed(loop: str) -> None:
    """C9: also a task that is given the Context."""
    var = variable()
    context = contextvars.Context()
    in_new_thread(lambda: context.run(var.set, "thread"))

    async def touch() -> Any:
        seen = var.get()
        var.set("task")
        assert facts_here()[2]() is asyncio.current_task()
        return seen

    async def main() -> None:
        catena.install_task_factory()
        assert await asyncio.create_task(touch(), context=context) == "thread"
        assert await asyncio.Task(touch(), loop=asyncio.get_running_loop(), context=context)

    run(main(), loop=loop)


@pytest.mark.parametrize("touch", TOUCHES)
def test_a_thread_that_lives_owns_what_it_armed(touch: str) -> None:
    """C9: it may come back to it, so another thread is refused."""
    var = variable()
    context = contextvars.Context()
    armed, end = threading.Event(), threading.Event()

    def work() -> None:
        context.run(var.set, "thread")
        armed.set()
        end.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert armed.wait(10)
        before = context.run(facts_here)
        with pytest.raises(catena.ChainContention) as caught:
            context.run(TOUCHES[touch], var)
        assert caught.value.kind == "thread"
        assert (caught.value.owner_thread, caught.value.owner_task) == (thread.ident, None)
        assert context.run(facts_here) == before
    finally:
        end.set()
        thread.join(10)
