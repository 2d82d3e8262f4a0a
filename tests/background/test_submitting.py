"""Submitting a routine: what is refused at once, where it goes, and what its handle says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import catena
from catena.background import BackgroundQueue, BackgroundWorker
from catena.dispatch.queueing import TaskProgress
from tests.background import routines
from tests.background.routines import (
    Shop,
    change,
    count_up,
    depend,
    fail,
    greet,
    greet_plainly,
    in_time,
    report,
    say_task,
    seen,
    user,
)
from tests.background.running import finish, new_name, opened, run, submit_as


@catena.routine
async def elsewhere() -> None:
    """A routine in a module that nobody can import: tests are loaded by their path."""


async def expect_refusal(queue: BackgroundQueue, submit: Any, why: str) -> None:
    """Submit what is refused, and see that the queue stays empty."""
    with pytest.raises(catena.TaskRefused, match=why):
        await submit()
    async with queue.docket.redis() as redis:
        assert await redis.zcard(queue.docket.queue_key) == 0


def test_a_stream_is_refused(url: str) -> None:
    """Item 1: nobody would read it."""

    async def work() -> None:
        async with opened(url) as queue:
            submit: Any = count_up.on(queue)  # type: ignore[arg-type]
            await expect_refusal(queue, lambda: submit.submit(3), "stream")

    run(work())


def test_what_cannot_be_imported_is_refused(shared_redis: Any) -> None:
    """Item 1: where it is submitted, and not when a worker looks for it."""

    @catena.routine
    async def inner() -> None: ...

    async def work() -> None:
        async with opened(shared_redis.url) as queue:
            await expect_refusal(queue, inner.submit, "could not import")

    run(work())


def test_wrong_arguments_are_refused_where_they_are_given(url: str) -> None:
    """Item 1: as those of a call."""

    async def work() -> None:
        async with opened(url):
            with pytest.raises(TypeError, match="greeting"):
                await greet.submit()  # type: ignore[call-arg]
            with pytest.raises(TypeError, match="unexpected"):
                await greet.on(key="k").submit("a", surplus=1)  # type: ignore[call-arg]

    run(work())


@pytest.mark.parametrize(
    ("asked", "error", "text"),
    [
        ({"when": 5}, TypeError, "a datetime or a timedelta, not int"),
        ({"when": datetime(2030, 1, 1)}, ValueError, "time zone"),  # noqa: DTZ001
        ({"key": ""}, ValueError, "not empty"),
        ({"key": 7}, ValueError, "not empty"),
        ({"replace": True}, ValueError, "needs the key"),
    ],
)
def test_what_on_refuses(asked: dict[str, Any], error: type[Exception], text: str) -> None:
    """Item 1: bad input, before anything is submitted."""
    with pytest.raises(error, match=text):
        greet.on(**asked)


def test_a_routine_that_goes_to_a_queue_cannot_be_called() -> None:
    """Item 1: the mistake is named, and nothing is dispatched."""
    called: Any = greet.on(key="k")

    with pytest.raises(TypeError, match=r"write `\.submit"):
        called("hello")


def test_without_a_queue() -> None:
    """Item 1: there is none, it is not open, or it is another loop's."""
    queue = BackgroundQueue("memory://", name=new_name())

    async def submit() -> None:
        with pytest.raises(catena.NoQueue, match="no queue is bound"):
            await greet.submit("a")
        with pytest.raises(catena.NoQueue, match="is not open"):
            await greet.on(queue).submit("a")

    async def submit_from_another_loop() -> None:
        async with queue:
            with pytest.raises(catena.NoQueue, match="another event loop"):
                await asyncio.to_thread(asyncio.run, _submit_to(queue))

    run(submit())
    run(submit_from_another_loop())


async def _submit_to(queue: BackgroundQueue) -> None:
    await greet.on(queue).submit("a")


def test_a_queue_is_found_as_a_pool_is() -> None:
    """Item 1: the one that is named, else the one that is bound, else the default one."""

    async def work() -> None:
        async with (
            BackgroundQueue("memory://", name=new_name(), default=True) as default,
            BackgroundQueue("memory://", name=new_name()) as other,
        ):
            with default.bound():
                bound = await greet.submit("a")
            named = await greet.on(default, key="k").submit("a")
            inner = await greet.submit("a")
            with pytest.raises(RuntimeError, match="default queue already"):
                await BackgroundQueue("memory://", name=new_name(), default=True).open()
            for key, queue in ((bound.key, default), (named.key, default), (inner.key, other)):
                assert await queue.find(key) is not None
                assert await (other if queue is default else default).find(key) is None

    run(work())


def test_the_default_queue_serves_code_without_one() -> None:
    """Item 1: until it is closed."""

    async def work() -> None:
        queue = BackgroundQueue("memory://", name=new_name(), default=True)
        await queue.open()
        task = await greet.submit("a")
        assert await queue.find(task.key) is not None
        await queue.close()
        with pytest.raises(catena.NoQueue):
            await greet.submit("a")

    run(work())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"encrypt": True}, ValueError),
        ({"secret": b"short"}, ValueError),
        ({"secret": "s" * 32}, TypeError),
        ({"lifetime": 0}, ValueError),
        ({"keep_results": -1}, ValueError),
        ({"tolerate": ("unauthenticated",)}, ValueError),
        ({"tolerate": ("newer",)}, ValueError),
        ({"trace": "child"}, ValueError),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    """B6, B7: also the wish to run without context what may have been forged."""
    with pytest.raises(error):
        BackgroundQueue("memory://", **options)


def test_memory_says_that_tasks_die(caplog: pytest.LogCaptureFixture) -> None:
    """Item 1: at start, in the log."""

    async def work() -> None:
        async with opened("memory://"):
            pass

    run(work())
    assert "its tasks die with this process" in caplog.text


def test_what_a_task_changes_stays_there(url: str) -> None:
    """B2: nothing comes back, and the next task finds none of it."""

    async def work() -> None:
        async with opened(url) as queue:
            user.set("ada")
            first, second = await change.submit(), await change.submit()
            await finish(queue, slots=1)
            assert await first.result(timeout=10) == "ada"
            assert await second.result(timeout=10) == "ada"
            assert user.get() == "ada"

    run(work())


def test_a_worker_does_not_pass_its_own_context_on(url: str) -> None:
    """B3: not even to a task whose submitter had nothing to send."""

    async def work() -> None:
        async with opened(url) as queue:
            task = await greet.submit("hello")
            user.set("who starts the worker")
            await finish(queue)
            assert await task.result(timeout=10) == "hello nobody"

    run(work())


def test_a_plain_function_runs_on_a_thread(url: str) -> None:
    """B5: there it reads the task's values."""

    async def work() -> None:
        async with opened(url) as queue:
            task = await submit_as("ada", lambda: greet_plainly.on(key="k").submit("hello"))
            await finish(queue)
            assert await task.result(timeout=10) == "hello ada k"

    run(work())


def test_the_engines_dependencies_are_found(url: str) -> None:
    """B8: a timeout, in whose own task the values are there, too, and a dependency of the user."""

    async def work() -> None:
        async with opened(url) as queue:
            timed = await submit_as("ada", lambda: in_time.submit(0.01))
            found = await submit_as("grace", depend.submit)
            late = await in_time.submit(30)
            await finish(queue)
            assert await timed.result(timeout=10) == "ada"
            assert await found.result(timeout=10) == "grace"
            with pytest.raises(TimeoutError):
                await late.result(timeout=10)

    run(work())


def test_a_method_of_an_instance(url: str) -> None:
    """Item 1: the instance goes along as an argument."""

    async def work() -> None:
        async with opened(url) as queue:
            tasks = [
                await submit_as("ada", lambda: Shop("corner").sell.submit("tea")),
                await submit_as("ada", lambda: Shop("corner").sell.on(key="k").submit("milk")),
            ]
            await finish(queue)
            sold = [await task.result(timeout=10) for task in tasks]
            assert sold == ["corner sells tea to ada", "corner sells milk to ada"]

    run(work())


def test_a_task_knows_itself(url: str) -> None:
    """B5: in tasks of its own as well."""

    async def work() -> None:
        async with opened(url) as queue:
            task = await say_task.on(key="k").submit()
            await finish(queue)
            name = "tests.background.routines.say_task"
            assert await task.result(timeout=10) == ("k", name, 1)

    run(work())


def test_what_a_task_raises_is_raised_by_its_handle(url: str) -> None:
    """Item 1: as itself."""

    async def work() -> None:
        async with opened(url) as queue:
            task = await fail.submit("a text")
            await finish(queue)
            with pytest.raises(ValueError, match="a text"):
                await task.result(timeout=10)
            assert await task.state() == "failed"

    run(work())


def test_a_result_that_does_not_come_in_time(url: str) -> None:
    """Item 1: the wait has a limit."""

    async def work() -> None:
        async with opened(url):
            task = await greet.submit("hello")
            with pytest.raises(TimeoutError):
                await task.result(timeout=0.1)

    run(work())


def test_a_task_is_cancelled_before_it_runs(url: str) -> None:
    """Item 1: it does not run, and its result says why."""

    async def work() -> None:
        async with opened(url) as queue:
            task = await greet.on(when=timedelta(seconds=30)).submit("hello")
            await task.cancel()
            await finish(queue)
            assert await task.state() == "cancelled"
            with pytest.raises(catena.TaskCancelled, match=r"routine tests\.background\.routines"):
                await task.result(timeout=10)

    run(work())
    assert seen == []


def test_progress_and_cancelling_a_task_that_runs(url: str) -> None:
    """Item 1: how far it is, and its end where it waits."""

    async def work() -> None:
        async with opened(url) as queue, BackgroundWorker(queue):
            task = await report.submit()
            async with asyncio.timeout(10):
                while (said := await task.progress()).message is None:
                    await asyncio.sleep(0.02)
            assert said == TaskProgress(3, 10, "three")
            assert await task.state() == "running"
            # The engine passes it on as far as it can, so it may be said once more.
            async with asyncio.timeout(30):
                while await task.state() == "running":
                    await task.cancel()
                    await asyncio.sleep(0.1)
            with pytest.raises(catena.TaskCancelled):
                await task.result(timeout=10)

    run(work())


def test_a_handle_is_found_by_its_key(url: str) -> None:
    """Item 1: by somebody else, too."""

    async def work() -> None:
        async with opened(url) as queue:
            await submit_as("ada", lambda: greet.on(key="k").submit("hello"))
            await finish(queue)
            found = await queue.find("k")
            assert found is not None
            assert await found.result(timeout=10) == "hello ada"
            assert (found.is_new, found.key) == (False, "k")

    run(work())


def test_leaving_a_worker_waits_for_its_tasks(url: str) -> None:
    """Item 1: what runs is finished."""

    async def work() -> None:
        async with opened(url) as queue:
            async with BackgroundWorker(queue):
                task = await in_time.submit(0.5)
                async with asyncio.timeout(10):
                    while await task.state() != "running":
                        await asyncio.sleep(0.02)
            assert await task.state() == "completed"

    run(work())


def test_when_is_a_moment_or_a_while(url: str) -> None:
    """Item 1: a datetime of any zone."""

    async def work() -> None:
        async with opened(url) as queue:
            soon = datetime.now(UTC) + timedelta(milliseconds=50)
            task = await greet.on(when=soon).submit("hello")
            await finish(queue)
            assert await task.result(timeout=10) == "hello nobody"

    run(work())


def test_modules_are_searched_for_tasks() -> None:
    """Item 1: their routines, and those of their classes, but no streams."""

    async def work() -> None:
        async with opened("memory://") as queue:
            names = queue.import_tasks(["tests.background.routines"])
            assert {f"{routines.__name__}.greet", f"{routines.__name__}.Shop.sell"} <= set(names)
            assert f"{routines.__name__}.count_up" not in names

    run(work())
