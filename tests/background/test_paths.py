"""The seven ways that a task comes to run; each time with the context of its submission."""

from __future__ import annotations

from datetime import timedelta

from tests.background.routines import (
    greet,
    queue_up,
    repeat,
    retry_at_once,
    retry_later,
    seen,
)
from tests.background.running import finish, opened, run, submit_as

SOON = timedelta(milliseconds=100)


def test_immediate(url: str) -> None:
    """B1: it has the submitter's values, and its result comes back."""

    async def work() -> None:
        async with opened(url) as queue:
            task = await submit_as("ada", lambda: greet.submit("hello"))
            await finish(queue)
            assert await task.result(timeout=10) == "hello ada"
            assert await task.state() == "completed"

    run(work())


def test_delayed(url: str) -> None:
    """B1: also when it was due later."""

    async def work() -> None:
        async with opened(url) as queue:
            task = await submit_as("ada", lambda: greet.on(when=SOON).submit("hello"))
            assert await task.state() == "scheduled"
            await finish(queue)
            assert await task.result(timeout=10) == "hello ada"

    run(work())


def test_retried_at_once(url: str) -> None:
    """B3: each attempt finds the submission's values, and not what the one before has set."""

    async def work() -> None:
        async with opened(url) as queue:
            task = await submit_as("ada", retry_at_once.submit)
            await finish(queue)
            assert await task.result(timeout=10) == 3

    run(work())
    assert seen == [("ada", 1), ("ada", 2), ("ada", 3)]


def test_retried_later(url: str) -> None:
    """B1: also after a delay, for which the engine forgets the trace."""

    async def work() -> None:
        async with opened(url) as queue:
            task = await submit_as("ada", retry_later.submit)
            await finish(queue)
            assert await task.result(timeout=10) == 2

    run(work())
    assert seen == [("ada", 1), ("ada", 2)]


def test_perpetual(url: str) -> None:
    """B3: each repetition finds the submission's values."""

    async def work() -> None:
        async with opened(url, tolerate=()) as queue:
            await submit_as("ada", lambda: repeat.submit(4))
            await finish(queue)

    run(work())
    assert seen == [("ada", 4), ("ada", 3), ("ada", 2), ("ada", 1)]


def test_parked_for_concurrency(url: str) -> None:
    """B1: those that waited for a place have their own values, and not those of who left it."""

    async def work() -> None:
        async with opened(url) as queue:
            names = ["ada", "grace", "edsger"]
            tasks = [
                await submit_as(name, lambda name=name: queue_up.submit(name)) for name in names
            ]
            await finish(queue)
            for name, task in zip(names, tasks, strict=True):
                assert await task.result(timeout=10) == f"{name} {name}"

    run(work())


def test_replaced(url: str) -> None:
    """B1: the task has the context of who replaced it, and no run has that of the first one."""

    async def work() -> None:
        async with opened(url) as queue:
            await submit_as("ada", lambda: greet.on(key="k", when=SOON).submit("hello"))
            task = await submit_as(
                "grace", lambda: greet.on(key="k", when=SOON, replace=True).submit("bye")
            )
            assert task.is_new
            await finish(queue)
            assert await task.result(timeout=10) == "bye grace"

    run(work())
    assert seen == [("grace", "bye")]


def test_a_used_key_gives_nobody_the_context_of_another(url: str) -> None:
    """B3: the second submission is not added, and the task stays that of the first."""

    async def work() -> None:
        async with opened(url) as queue:
            first = await submit_as("ada", lambda: greet.on(key="k", when=SOON).submit("hello"))
            second = await submit_as("grace", lambda: greet.on(key="k").submit("bye"))
            assert (first.is_new, second.is_new) == (True, False)
            await finish(queue)
            assert await second.result(timeout=10) == "hello ada"

    run(work())
    assert seen == [("ada", "hello")]


def test_a_key_is_free_again_after_the_task(url: str) -> None:
    """B3: the next one has its own context, though the last one's is still in the store."""

    async def work() -> None:
        async with opened(url) as queue:
            for name in ("ada", "grace"):
                task = await submit_as(name, lambda: greet.on(key="k").submit("hello"))
                assert task.is_new
                await finish(queue)
                assert await task.result(timeout=10) == f"hello {name}"

    run(work())


def test_a_perpetual_task_that_is_replaced(url: str) -> None:
    """B3: from then on each repetition has the context of who replaced it."""

    async def work() -> None:
        async with opened(url, tolerate=()) as queue:
            await submit_as("ada", lambda: repeat.on(key="k", when=SOON).submit(2))
            await submit_as("grace", lambda: repeat.on(key="k", replace=True).submit(3))
            await finish(queue)

    run(work())
    assert seen == [("grace", 3), ("grace", 2), ("grace", 1)]
