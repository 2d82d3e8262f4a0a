"""Context goes along and comes back: calls, nested calls, generators step by step."""

from __future__ import annotations

import asyncio

import pytest

import catena
from tests.integration import routines
from tests.integration.pools import LOOPS, pooled
from tests.integration.routines import color, steps

quiet: catena.ContextVar[str] = catena.ContextVar("quiet", default="-", propagate="forward")


@catena.routine
async def whisper(new: str) -> str:
    """Read and change a variable that never comes back."""
    before = quiet.get()
    quiet.set(new)
    return before


@catena.routine
async def change_and_fail(new: str) -> None:
    """Change the color, then raise."""
    color.set(new)
    raise KeyError(new)


@catena.routine
async def reset_here() -> tuple[str, str]:
    """Set and reset the color on the worker."""
    with color.set("inside"):
        inside = color.get()
    return inside, color.get()


@pytest.mark.parametrize("here", LOOPS)
def test_both_ways(here: str) -> None:
    """C1: what the caller set is read there, what the routine set is read here."""

    async def work(pool: catena.WorkerPool) -> None:
        assert await routines.paint("green") == ("none", "green")
        assert color.get() == "green"
        color.set("red")
        assert await routines.paint("blue") == ("red", "blue")
        assert color.get() == "blue"

    pooled(work, here=here)


def test_through_nested_calls() -> None:
    """D3: a change three workers away is seen here, like that of a local call."""

    async def work(pool: catena.WorkerPool) -> None:
        color.set("red")
        await routines.paint_deep("deep", 3)
        assert color.get() == "deep"

    pooled(work)


def test_one_await_after_another_and_each_in_its_task() -> None:
    """C5: awaited calls share the chain, created tasks keep their changes to themselves."""

    async def work(pool: catena.WorkerPool) -> None:
        color.set("mine")
        await asyncio.gather(*(routines.paint(f"theirs {n}") for n in range(10)))
        assert color.get() == "mine"
        task = asyncio.create_task(routines.look())
        color.set("later")
        assert await task == "mine"
        assert await routines.look() == "later"

    pooled(work)


def test_forward_only() -> None:
    """C13: a forward variable is read on the worker and what is set there stays there."""

    async def work(pool: catena.WorkerPool) -> None:
        quiet.set("here")
        assert await whisper("there") == "here"
        assert quiet.get() == "here"

    pooled(work)


def test_with_an_exception() -> None:
    """C1: the chain comes back with an exception as well."""

    async def work(pool: catena.WorkerPool) -> None:
        with pytest.raises(KeyError):
            await change_and_fail("broken")
        assert color.get() == "broken"

    pooled(work)


def test_a_reset_on_the_worker() -> None:
    """C14: a set that was undone on the worker is undone here too."""

    async def work(pool: catena.WorkerPool) -> None:
        assert await reset_here() == ("inside", "none")
        assert color.get() == "none"
        color.set("before")
        assert await reset_here() == ("inside", "before")
        assert color.get() == "before"

    pooled(work)


@pytest.mark.parametrize("here", LOOPS)
@pytest.mark.parametrize("stream", [routines.count_steps, routines.relay_steps])
def test_generators_step_by_step(here: str, stream) -> None:  # noqa: ANN001
    """M8: every step brings the driver's values in and the generator's values out."""

    async def work(pool: catena.WorkerPool) -> None:
        steps.set(100)
        seen = []
        async for count, shade in stream(4):
            seen.append((count, shade, steps.get()))
            color.set(f"after {count}")
            steps.set(steps.get() + 10)
        assert seen == [
            (101, "none", 101),
            (112, "after 101", 112),
            (123, "after 112", 123),
            (134, "after 123", 134),
        ]

    pooled(work, here=here)


def test_two_streams_interleaved() -> None:
    """M8: two streams on one chain see each other's writes at their next step."""

    async def work(pool: catena.WorkerPool) -> None:
        one, two = routines.count_steps(3), routines.count_steps(3)
        counts = [(await anext(stream))[0] for _ in range(3) for stream in (one, two)]
        assert counts == [1, 2, 3, 4, 5, 6]
        await one.aclose()
        await two.aclose()

    pooled(work)


def test_a_hundred_callers_at_once_keep_their_values_apart() -> None:
    """C5: values of concurrent callers never leak into one another, on either side."""

    async def one(number: int) -> tuple[object, str]:
        color.set(f"c{number}")
        result = await routines.paint(f"d{number}")
        return result, color.get()

    async def work(pool: catena.WorkerPool) -> None:
        outcomes = await asyncio.gather(*(one(number) for number in range(100)))
        assert outcomes == [((f"c{n}", f"d{n}"), f"d{n}") for n in range(100)]
        assert color.get() == "none"

    pooled(work)


def test_a_mutable_value_changed_in_place() -> None:
    """C15: a list that the routine appends to comes back with the addition."""
    basket: catena.ContextVar[list[int]] = catena.ContextVar("basket")

    @catena.routine
    async def add(number: int) -> None:
        basket.get().append(number)

    async def work(pool: catena.WorkerPool) -> None:
        basket.set([1])
        await add(2)
        assert basket.get() == [1, 2]
        basket.get().append(3)
        await add(4)
        assert basket.get() == [1, 2, 3, 4]

    pooled(work)


def test_a_worker_keeps_nothing_between_calls() -> None:
    """C4: a call without variables finds none, after others that had some on the same worker."""

    async def fresh() -> str:
        return await routines.look()

    async def work(pool: catena.WorkerPool) -> None:
        before = asyncio.create_task(fresh())
        assert await before == "none"
        await asyncio.create_task(routines.paint("red"))
        assert await asyncio.create_task(fresh()) == "none"

    pooled(work, spawn=1)
