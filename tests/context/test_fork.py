"""Created tasks get the parent's values on a chain of their own, whoever creates them."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from catena.context.chain import Chain, current
from catena.events import ChainForked
from catena.testing import recording
from tests.support import LOOPS, isolated, run, variable

Child = Callable[[], Coroutine[Any, Any, Any]]


async def by_create_task(child: Child) -> Any:
    """asyncio.create_task."""
    return await asyncio.create_task(child())


async def by_loop(child: Child) -> Any:
    """The loop's own create_task, with a name."""
    return await asyncio.get_running_loop().create_task(child(), name="named")


async def by_ensure_future(child: Child) -> Any:
    """asyncio.ensure_future."""
    return await asyncio.ensure_future(child())


async def by_gather(child: Child) -> Any:
    """asyncio.gather of coroutines."""
    return (await asyncio.gather(child(), asyncio.sleep(0)))[0]


async def by_group(child: Child) -> Any:
    """asyncio.TaskGroup."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(child())
    return task.result()


async def by_copied_context(child: Child) -> Any:
    """create_task in an explicit copy of the Context."""
    return await asyncio.create_task(child(), context=contextvars.copy_context())


async def by_task_class(child: Child) -> Any:
    """asyncio.Task itself, which asks no factory."""
    return await asyncio.Task(child(), loop=asyncio.get_running_loop())


async def by_wait_for(child: Child) -> Any:
    """asyncio.wait_for, where it makes a task."""
    return await asyncio.wait_for(child(), 10)


MAKERS: list[Callable[[Child], Awaitable[Any]]] = [
    by_create_task,
    by_loop,
    by_ensure_future,
    by_gather,
    by_group,
    by_copied_context,
    by_task_class,
]
if sys.version_info < (3, 12):
    MAKERS.append(by_wait_for)


def of_old(loop: Any, coro: Any) -> asyncio.Task[Any]:
    """A task factory of the signature that it had before contexts could be given."""
    return asyncio.Task(coro, loop=loop)


def passing_on(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
    """A task factory that passes on whatever it is given."""
    return asyncio.Task(coro, loop=loop, **options)


INNER: list[Any] = [None, of_old, passing_on]
if sys.version_info >= (3, 12):
    INNER.append(asyncio.eager_task_factory)


def chain_here() -> Chain:
    """Return the current chain, which must be there."""
    chain = current.get()
    assert chain is not None
    return chain


def fits(make: Any, inner: Any, loop: str) -> bool:
    """Say whether the loop and the inner factory get along by themselves, without us between."""
    if inner is of_old:
        # uvloop always hands a context over, even None; asyncio from 3.14 on a name.
        named = make is by_loop and sys.version_info >= (3, 14)
        return make is not by_copied_context and not named and loop == "asyncio"
    if inner is None or inner is passing_on:
        return True
    # uvloop hands over eager_start on 3.13, which eager_task_factory takes from 3.13.3 on.
    return loop == "asyncio" or not (3, 13) <= sys.version_info < (3, 13, 3)


@pytest.mark.parametrize(
    ("make", "inner", "loop"),
    [
        (make, inner, loop)
        for make in MAKERS
        for inner in INNER
        for loop in LOOPS
        if fits(make, inner, loop)
    ],
)
def test_a_created_task_sees_the_values_on_a_chain_of_its_own(
    make: Any, inner: Any, loop: str
) -> None:
    """C5: the parent's values, a fresh id that records the parent's, writes stay the child's."""
    var, kept = variable(), variable()

    async def child() -> tuple[Any, Chain, Chain]:
        seen = var.get()
        before = chain_here()
        await asyncio.sleep(0)
        var.set("child")
        kept.set("child")
        await asyncio.sleep(0)
        assert var.get() == "child"
        return seen, before, chain_here()

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(inner)
        var.set("parent")
        parent = chain_here()
        seen, before, after = await make(child)
        assert seen == "parent"
        assert before.parent == parent.id != before.id
        assert (after.id, after.parent) == (before.id, parent.id)
        assert (var.get(), kept.get(None)) == ("parent", None)
        assert chain_here().id == parent.id

    run(main(), loop=loop)


@pytest.mark.parametrize("make", MAKERS)
def test_a_child_keeps_what_was_there_when_it_was_created(make: Any) -> None:
    """C5: siblings do not see each other, and grandchildren record the child."""
    var = variable(default=0)

    async def grandchild() -> tuple[int, bytes]:
        return var.get(), chain_here().parent

    async def child() -> bytes:
        var.set(var.get() + 1)
        own = chain_here().id
        assert await asyncio.create_task(grandchild()) == (2, own)
        assert var.get() == 2
        return own

    async def main() -> None:
        var.set(1)
        ids = {await make(child), await asyncio.create_task(child()), chain_here().id}
        assert len(ids) == 3

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_child_that_has_not_run_yet_does_not_see_later_sets(loop: str) -> None:
    """C5: the copy is made at creation."""
    var = variable()

    async def read() -> Any:
        return var.get()

    async def main() -> None:
        var.set("before")
        task = asyncio.create_task(read())
        var.set("after")
        assert await task == "before"

    run(main(), loop=loop)


def test_a_fork_drops_what_was_reset_before() -> None:
    """C5: what the parent reset is not reported by the child."""
    var, other = variable(), variable()

    async def child() -> Chain:
        other.get()
        return chain_here()

    async def main() -> None:
        other.set(1)
        var.reset(var.set(1))
        forked = await asyncio.create_task(child())
        assert forked.state is chain_here().state
        assert set(forked.state) == {other}

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_task_from_another_thread_forks_that_threads_chain(loop: str) -> None:
    """C5: run_coroutine_threadsafe copies the values and records the id of the caller's chain."""
    var = variable()

    async def child() -> tuple[Any, bytes]:
        seen = var.get()
        var.set("child")
        return seen, chain_here().parent

    def in_thread(home: asyncio.AbstractEventLoop) -> None:
        var.set("thread")
        seen = asyncio.run_coroutine_threadsafe(child(), home).result(10)
        assert seen == ("thread", chain_here().id)
        assert var.get() == "thread"

    async def main(*, armed: bool) -> None:
        if armed:
            var.set("loop")
        home = asyncio.get_running_loop()
        await home.run_in_executor(None, contextvars.Context().run, in_thread, home)
        assert var.get(None) == ("loop" if armed else None)

    run(main(armed=False), loop=loop)
    run(main(armed=True), loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_wait_for_awaits_shares_the_chain_where_it_makes_no_task(loop: str) -> None:
    """C5: a task on 3.11, an inline await from 3.12 on, which is the awaiting task's own."""
    var = variable()

    async def child() -> bytes:
        var.set("child")
        return chain_here().id

    async def main() -> None:
        var.set("parent")
        forked = sys.version_info < (3, 12)
        assert (await asyncio.wait_for(child(), 10) != chain_here().id) == forked
        assert var.get() == ("parent" if forked else "child")

    run(main(), loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
@isolated
def test_a_context_armed_before_the_loop_ran_is_forked_at_first_touch(loop: str) -> None:
    """C5: without a factory, a task that meets the chain in a copy of its home forks there."""
    var = variable()
    var.set("armed")
    home = chain_here()

    async def child() -> tuple[Any, Chain]:
        seen = var.get()
        var.set("child")
        return seen, chain_here()

    async def main() -> None:
        # Nobody has touched anything yet, so the loop lacks the factory.
        seen, forked = await asyncio.create_task(child())
        assert (seen, forked.parent) == ("armed", home.id)
        assert var.get() == "armed"
        assert chain_here().parent == home.id
        assert len({home.id, forked.id, chain_here().id}) == 3
        assert asyncio.get_running_loop().get_task_factory() is not None
        assert (await asyncio.create_task(child()))[1].parent == chain_here().id

    run(main(), loop=loop)
    assert (var.get(), chain_here().id) == ("armed", home.id)


def test_a_fork_is_announced() -> None:
    """The audit: ChainForked names the new chain and its parent, once."""
    var = variable()

    async def child() -> bytes:
        var.get()
        return chain_here().id

    async def main() -> None:
        var.set(1)
        with recording(ChainForked) as recorded:
            child_id = await asyncio.create_task(child())
        assert recorded.of(ChainForked) == [ChainForked(child_id, chain_here().id)]

    run(main())
