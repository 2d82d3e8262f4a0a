"""``to_thread`` takes a detached copy of the chain along; the stdlib's own ways take nothing."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

import catena
from catena.context.chain import current
from tests.support import LOOPS, run, variable


@pytest.mark.parametrize("loop", LOOPS)
def test_a_thread_sees_the_values_on_a_detached_chain(loop: str) -> None:
    """C10: the caller's values, a fresh id that records the caller's, no write-back."""
    var = variable()

    def work(factor: int, *, add: int) -> tuple[int, Any]:
        seen = var.get() * factor + add
        var.set("thread")
        assert var.get() == "thread"
        return seen, current.get()

    async def main() -> None:
        var.set(2)
        own = current.get()
        assert own is not None
        result, chain = await catena.to_thread(work, 10, add=1)
        assert result == 21
        assert chain.parent == own.id != chain.id
        assert (var.get(), current.get()) == (2, own)

    run(main(), loop=loop)


def test_threads_side_by_side_do_not_meet() -> None:
    """C10: each call has a chain of its own."""
    var = variable(default=0)

    def work(number: int) -> tuple[int, bytes]:
        var.set(var.get() + number)
        chain = current.get()
        assert chain is not None
        return var.get(), chain.id

    async def main() -> None:
        var.set(100)
        done = await asyncio.gather(*(catena.to_thread(work, n) for n in range(8)))
        assert [value for value, _ in done] == [100 + n for n in range(8)]
        assert len({id for _, id in done}) == 8

    run(main())


def test_an_error_in_the_thread_comes_out() -> None:
    """C10: what the function raises is raised."""

    def fail() -> None:
        raise KeyError("mine")

    async def main() -> None:
        variable().set(1)
        with pytest.raises(KeyError, match="mine"):
            await catena.to_thread(fail)

    run(main())


def test_from_an_unarmed_context_it_is_the_stdlibs() -> None:
    """C10: nothing is armed, and a default is read."""
    var = variable(default="d")

    async def main() -> None:
        assert await catena.to_thread(lambda: (var.get(), current.get())) == ("d", None)
        assert current.get() is None

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_plain_thread_that_touches_nothing_is_untouched(loop: str) -> None:
    """C10: asyncio.to_thread from an armed context is refused only where a variable is touched."""
    var = variable(default=0)

    async def main() -> None:
        var.set(1)
        assert await asyncio.to_thread(sum, [1, 2]) == 3
        with pytest.raises(catena.ChainContention) as caught:
            await asyncio.to_thread(var.get)
        assert caught.value.kind == "thread"
        assert "catena.to_thread" in str(caught.value)

    run(main(), loop=loop)


def test_run_in_executor_carries_nothing() -> None:
    """C10: as in the stdlib, the executor's thread has an empty Context."""
    var = variable(default="d")

    async def main() -> None:
        var.set("armed")
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, lambda: (var.get(), current.get())) == ("d", None)

    run(main())


def test_a_loop_in_the_thread_goes_on_from_there() -> None:
    """C5, C10: asyncio.run in a detached thread forks the detached chain, not the caller's."""
    var = variable()

    async def inner() -> tuple[Any, bytes]:
        seen = var.get()
        var.set("inner")
        chain = current.get()
        assert chain is not None
        return seen, chain.parent

    def work() -> None:
        var.set("thread")
        chain = current.get()
        assert chain is not None
        assert asyncio.run(inner()) == ("thread", chain.id)
        assert var.get() == "thread"

    async def main() -> None:
        var.set("task")
        await catena.to_thread(work)
        assert var.get() == "task"

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_task_that_was_not_forked_is_forked_first(loop: str) -> None:
    """C5, C10: the thread's chain records the task's own chain, not that of the task's creator."""
    var = variable()

    async def child() -> tuple[Any, Any]:
        there = await catena.to_thread(current.get)
        return current.get(), there

    async def main() -> None:
        var.set(1)
        parent = current.get()
        assert parent is not None
        own, there = await asyncio.Task(child(), loop=asyncio.get_running_loop())
        assert (own.parent, there.parent) == (parent.id, own.id)

    run(main(), loop=loop)


def test_a_second_runner_takes_no_copy_along() -> None:
    """C9, C10: two tasks in one Context do not both run its chain, not even to copy it."""
    var = variable()
    context = contextvars.Context()

    async def hold(end: asyncio.Event) -> None:
        var.set(1)
        await end.wait()

    async def main() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        first = asyncio.Task(hold(end), loop=loop, context=context)
        await asyncio.sleep(0)
        with pytest.raises(catena.ChainContention) as caught:
            await asyncio.Task(catena.to_thread(var.get), loop=loop, context=context)
        assert caught.value.kind == "task"
        end.set()
        await first

    run(main())
