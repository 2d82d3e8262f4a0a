"""B5: code that does not run a task's chain finds the task's own values, or says why it cannot."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest

import catena
from catena import ChainContention
from catena.background.holding import HeldValues, held
from catena.background.lookup import (
    read_variable,
)
from catena.background.mounting import RunningTask, mount_task
from catena.background.request import AccessToken, access_token, read_access_token
from catena.background.snapshot import TaskContextSnapshot
from catena.ids import Key
from tests.background.stores import capture, color
from tests.support import isolated, run, variable


def read_color() -> Any:
    """Read the variable as a plain function does."""
    return read_variable(color)


@isolated
def test_where_the_chain_runs_the_variable_counts() -> None:
    """What the task has set itself is what it reads."""
    held.set(HeldValues("", lambda: {color.key: "red"}))
    color.set("blue")

    assert read_color() == "blue"


@isolated
def test_a_thread_of_the_task_reads_its_snapshot() -> None:
    """Another thread may not read the chain; it gets what the task was submitted with."""

    async def main() -> tuple[Any, Any]:
        held.set(HeldValues("", lambda: {color.key: "red"}))
        color.set("blue")
        refused = await asyncio.to_thread(_catch, color.get)
        return refused, await asyncio.to_thread(read_color)

    refused, found = run(main())

    assert isinstance(refused, ChainContention)
    assert found == "red"


def _catch(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:
        return error


@isolated
def test_a_thread_where_nobody_left_values_is_refused() -> None:
    """There is no value that would be right, so the chain's own error says why."""

    async def main() -> Any:
        color.set("blue")
        return await asyncio.to_thread(_catch, read_color)

    assert isinstance(run(main()), ChainContention)


@isolated
def test_what_was_not_submitted_is_the_default() -> None:
    """A snapshot without the variable leaves its default, and without one there is an error."""
    bare = variable("bare")
    held.set(HeldValues("", dict))

    assert read_color() == "none"
    with pytest.raises(LookupError) as caught:
        read_variable(bare)
    assert caught.value.args == (bare,)


@isolated
def test_held_values_are_gone_when_they_are_released() -> None:
    """After the unmount the next task of the same Context finds nothing of this one."""
    token = held.set(HeldValues("", lambda: {color.key: "red"}))
    assert read_color() == "red"
    held.reset(token)

    assert read_color() == "none"


@isolated
def test_values_are_asked_for_once_and_not_before_one_is_read() -> None:
    """A task that reads none in its threads does not pay for them."""
    asked: list[int] = []

    def get_values() -> Mapping[Key, Any]:
        asked.append(1)
        return {color.key: "red"}

    held.set(HeldValues("", get_values))
    assert asked == []
    assert (read_color(), read_color()) == ("red", "red")
    assert asked == [1]


def mount(task_key: str, value: str) -> AbstractContextManager[None]:
    """Mount a task that was submitted where the variable had a value."""
    task = RunningTask(task_key, "tests.work", "orders", snapshot=capture(task_key, value))
    return mount_task(task, strict=False, is_child=False)


@isolated
def test_threads_of_a_mounted_task_read_what_it_was_submitted_with() -> None:
    """The task's own code may set another value meanwhile: that stays the task's."""

    async def main() -> tuple[Any, ...]:
        with mount("t-1", "red"):
            before = await asyncio.to_thread(read_color)
            color.set("blue")
            after = await asyncio.to_thread(read_color)
            own, detached = read_color(), await catena.to_thread(read_color)
        return before, after, own, detached, await asyncio.to_thread(read_color)

    assert run(main()) == ("red", "red", "blue", "blue", "none")


@isolated
def test_a_mounted_task_without_a_snapshot_reads_nothing_of_who_started_the_worker() -> None:
    """The worker began in a request: what its middleware left is no task's."""

    async def main() -> tuple[Any, ...]:
        held.set(HeldValues("", lambda: {color.key: "of the request"}))
        with mount_task(RunningTask("t-1", "tests.work", "orders"), strict=False, is_child=False):
            return read_color(), await asyncio.to_thread(read_color)

    assert run(main()) == ("none", "none")


@isolated
def test_a_thread_that_outlives_its_task_keeps_that_tasks_values() -> None:
    """It has a copy of the Context, and the next task of the worker is another one's."""

    async def main() -> Any:
        go_on = threading.Event()

        def read_later() -> Any:
            go_on.wait(10)
            return read_color()

        with mount("t-1", "red"):
            outliving = asyncio.create_task(asyncio.to_thread(read_later))
            await asyncio.sleep(0)
        with mount("t-2", "blue"):
            go_on.set()
            return await outliving, await asyncio.to_thread(read_color)

    assert run(main()) == ("red", "blue")


@isolated
def test_what_a_mount_left_out_for_its_age_is_not_read_past_it() -> None:
    """A token that was over when its task began is over for the task's threads as well."""

    def submit() -> TaskContextSnapshot:
        access_token.set(AccessToken("tok", 1.0))
        return TaskContextSnapshot.capture("t-1", "tests.work", encrypts=True)

    snapshot = contextvars.Context().run(submit)
    task = RunningTask("t-1", "tests.work", "orders", snapshot=snapshot)

    async def main() -> tuple[Any, ...]:
        with mount_task(task, strict=False, is_child=False):
            return access_token.get(), await asyncio.to_thread(read_access_token)

    assert snapshot.values[access_token.key].text == "tok"
    assert run(main()) == (None, None)


def test_threads_of_many_tasks_read_each_its_own() -> None:
    """A hundred threads at once, each with a copy of the Context of its task."""
    all_here = threading.Barrier(100)

    def read_together() -> Any:
        all_here.wait(20)
        return read_color()

    contexts = [contextvars.Context() for _ in range(100)]
    mounts = [mount(f"t-{number}", f"secret {number}") for number in range(100)]
    for context, mounted in zip(contexts, mounts, strict=True):
        context.run(mounted.__enter__)
    with ThreadPoolExecutor(100) as threads:
        jobs = [threads.submit(context.copy().run, read_together) for context in contexts]
        results = [job.result(30) for job in jobs]
    for context, mounted in zip(contexts, mounts, strict=True):
        context.run(mounted.__exit__, None, None, None)

    assert results == [f"secret {number}" for number in range(100)]
    assert [context.run(read_color) for context in contexts] == ["none"] * 100


@isolated
def test_values_of_another_task_are_not_used() -> None:
    """Whatever lies in the Context is of the task that runs there, by its key, or is not read."""
    with mount("t-1", "red"):
        held.set(HeldValues("t-2", lambda: {color.key: "blue"}))
        found = ThreadPoolExecutor(1).submit(contextvars.copy_context().run, _catch, read_color)

        assert isinstance(found.result(10), ChainContention)
