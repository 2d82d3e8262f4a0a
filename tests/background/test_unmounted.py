"""B5: code in a worker of the engine that mounts nothing reads the stored snapshots."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from datetime import timedelta
from typing import Any
from weakref import ref

import pytest
from docket import Worker

import catena
from catena import QueueUnreachable, SnapshotError
from catena.background import BackgroundQueue, lookup
from catena.background.holding import HeldValues, held
from catena.background.request import (
    AccessToken,
    access_token,
    origin_request_id,
    read_access_token,
    read_origin_request_id,
)
from catena.background.transfers import on_the_way
from catena.background.unmounted import READ_SECONDS
from catena.events import QueueFailed
from catena.events.bus import subscribe
from tests.background.redis_server import RedisServer
from tests.background.running import finish, new_name, run

SOON = timedelta(milliseconds=200)
SECRET = b"of a test, and long enough for that"
FORGED = b"another one that is long enough for it"


@catena.routine
async def read_request() -> tuple[Any, Any, Any]:
    """Return the variable itself, what is read for it here, and in a thread."""
    return origin_request_id.get(), read_origin_request_id(), await _read_in_thread()


@catena.routine
async def read_twice() -> list[str]:
    """Return how each of two reads ends, and whether both were quick."""
    began = time.monotonic()
    ends = [_read_or_name_error() for _ in range(2)]
    return [*ends, "late" if time.monotonic() - began > 3 * READ_SECONDS else "in time"]


@catena.routine
async def read_token() -> str:
    """Return the text of the token."""
    token = read_access_token()
    return "" if token is None else token.text


async def _read_in_thread() -> Any:
    return await asyncio.to_thread(read_origin_request_id)


def _read_or_name_error() -> str:
    try:
        return str(read_origin_request_id())
    except (QueueUnreachable, SnapshotError) as error:
        return type(error).__name__


async def run_unmounted(queue: BackgroundQueue) -> None:
    """Run all tasks of a queue by a worker of the engine itself, which mounts nothing."""
    async with asyncio.timeout(60), Worker(queue.docket) as worker:
        await worker.run_until_finished()


async def submit_as(request_id: str, routine: Any, **options: Any) -> Any:
    """Submit a routine as if from a request."""

    async def submit() -> Any:
        origin_request_id.set(request_id)
        return await routine.on(**options).submit() if options else await routine.submit()

    return await asyncio.create_task(submit())


def test_each_task_reads_its_own_snapshot(url: str) -> None:
    """From this process's memory, or by a read of the store; the variables themselves are unset."""

    async def work() -> list[Any]:
        async with BackgroundQueue(url, name=new_name(), secret=SECRET) as queue:
            tasks = [await submit_as(f"r-{number}", read_request) for number in range(20)]
            await run_unmounted(queue)
            return await asyncio.gather(*(task.result(timeout=10) for task in tasks))

    assert run(work()) == [(None, f"r-{number}", f"r-{number}") for number in range(20)]


def test_what_the_worker_was_started_with_is_no_tasks(url: str) -> None:
    """The engine copies the Context of whoever started the worker into each task."""

    async def work() -> Any:
        async with BackgroundQueue(url, name=new_name()) as queue:
            task = await submit_as("r-1", read_request)
            held.set(HeldValues("", lambda: {origin_request_id.key: "of the starter"}))
            origin_request_id.set("of the starter, too")
            await run_unmounted(queue)
            return await task.result(timeout=10)

    assert run(work())[1:] == ("r-1", "r-1")


def test_a_replaced_task_reads_what_its_replacement_was_submitted_with(url: str) -> None:
    """Another caller took its place, so that one's request is the task's."""

    async def work() -> Any:
        async with BackgroundQueue(url, name=new_name()) as queue:
            await submit_as("r-1", read_request, key="one", when=SOON)
            task = await submit_as("r-2", read_request, key="one", when=SOON, replace=True)
            await run_unmounted(queue)
            return await task.result(timeout=10)

    assert run(work())[1:] == ("r-2", "r-2")


def test_a_task_that_was_added_without_catena_has_nothing(url: str) -> None:
    """It runs, as with a mount, and reads defaults."""

    async def work() -> Any:
        async with BackgroundQueue(url, name=new_name()) as queue:
            function = queue.know_routine(read_request.__catena_routine__)
            execution = await queue.docket.add(function.run)()
            await run_unmounted(queue)
            return await execution.get_result(timeout=None)

    assert run(work()) == (None, None, None)


def test_a_snapshot_that_is_gone_is_an_error(shared_redis: RedisServer) -> None:
    """One was stored: code that would read defaults instead could do harm with them."""

    async def work() -> Any:
        async with BackgroundQueue(shared_redis.url, name=new_name()) as queue:
            task = await submit_as("r-1", read_twice)
            async with queue.docket.redis() as redis:
                found = [key async for key in redis.scan_iter(match=queue.docket.key("snapshot:*"))]
                assert await redis.delete(*found) == 1
            await run_unmounted(queue)
            return await task.result(timeout=10)

    assert run(work()) == ["SnapshotError", "SnapshotError", "in time"]


def test_a_forged_snapshot_is_an_error(shared_redis: RedisServer) -> None:
    """B7: the secrets are those of the queue that is bound where the worker runs."""

    async def work() -> Any:
        name = new_name()
        async with BackgroundQueue(shared_redis.url, name=name, secret=FORGED):
            task = await submit_as("r-1", read_twice)
        async with BackgroundQueue(shared_redis.url, name=name, secret=SECRET) as queue:
            queue.know_routine(read_twice.__catena_routine__)
            await run_unmounted(queue)
            found = await queue.find(task.key)
            assert found is not None
            return await found.result(timeout=10)

    assert run(work())[:2] == ["SnapshotError", "SnapshotError"]


def test_a_token_is_read_only_where_it_was_encrypted(shared_redis: RedisServer) -> None:
    """It is in no snapshot that is not, so nobody who reads the store has it."""

    async def work(*, encrypt: bool) -> Any:
        name = new_name()
        async with BackgroundQueue(
            shared_redis.url, name=name, secret=SECRET, encrypt=encrypt
        ) as queue:
            access_token.set(AccessToken("tok-7f3a", time.time() + 3_600))
            if encrypt:
                task = await read_token.submit()
            else:
                with pytest.warns(catena.SerializationWarning, match="encrypted only"):
                    task = await read_token.submit()
            async with queue.docket.redis() as redis:
                stored = [
                    await redis.get(key)
                    async for key in redis.scan_iter(match=queue.docket.key("snapshot:*"))
                ]
            assert len(stored) == 1
            assert b"tok-7f3a" not in stored[0]
            await run_unmounted(queue)
            return await task.result(timeout=10)

    assert run(work(encrypt=True)) == "tok-7f3a"
    assert run(work(encrypt=False)) == ""


@catena.routine
async def read_while_paused(pid: int) -> list[str]:
    """Stop the store, read twice, have it go on, and read again after the pause."""
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        first = _read_or_name_error()
        waited = time.monotonic() - began
        second = _read_or_name_error()
        again = time.monotonic() - began - waited
    finally:
        os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(lookup.OUTAGE_SECONDS)
    return [first, second, _read_or_name_error(), f"{again < waited}"]


def test_a_store_that_does_not_answer_is_an_error_and_costs_one_deadline(
    own_redis: RedisServer,
) -> None:
    """The second read fails at once; when the store answers again, the value is read."""

    async def work() -> Any:
        assert own_redis.process is not None
        async with BackgroundQueue(own_redis.url, name=new_name()) as queue:
            pid = own_redis.process.pid

            async def submit() -> Any:
                origin_request_id.set("r-1")
                return await read_while_paused.submit(pid)

            task = await asyncio.create_task(submit())
            await run_unmounted(queue)
            return await task.result(timeout=10)

    assert run(work()) == ["QueueUnreachable", "QueueUnreachable", "r-1", "True"]


def test_a_queue_that_is_gone_is_announced_where_it_is_missed(own_redis: RedisServer) -> None:
    """At a submission as at a read: by what was asked of it."""
    announced: list[QueueFailed] = []

    async def work() -> None:
        async with BackgroundQueue(own_redis.url, name=new_name()) as queue:
            own_redis.stop()
            with pytest.raises(QueueUnreachable):
                await do_nothing.submit()
            with pytest.raises(QueueUnreachable):
                await queue.find("one")

    with subscribe(announced.append, QueueFailed):
        run(work())

    assert [one.error.doing for one in announced] == ["add a task", "find a task"]


def test_a_mounted_task_asks_the_store_nothing_more(shared_redis: RedisServer) -> None:
    """Threads read what the mount has left, so the worker's reads are those of the mount."""

    async def work(routine: Any) -> tuple[Any, int]:
        async with BackgroundQueue(shared_redis.url, name=new_name()) as queue:
            task = await submit_as("r-1", routine)
            before = shared_redis.count_commands().get("get", 0)
            await finish(queue)
            after = shared_redis.count_commands().get("get", 0)
            return await task.result(timeout=10), after - before

    (own, here, in_thread), with_reads = run(work(read_request))
    _, without = run(work(do_nothing))

    assert (own, here, in_thread) == ("r-1", "r-1", "r-1")
    assert with_reads == without


@catena.routine
async def do_nothing() -> None:
    """Read nothing."""


def test_a_mounted_task_leaves_nothing_on_its_way() -> None:
    """What was saved in this process is taken out by the mount, and by a refused submission."""

    async def work() -> int:
        before = len(on_the_way)
        async with BackgroundQueue("memory://", name=new_name()) as queue:
            await submit_as("r-1", do_nothing, key="one")
            again = await submit_as("r-2", do_nothing, key="one")
            assert not again.is_new
            assert len(on_the_way) == before + 1
            await finish(queue)
        return len(on_the_way) - before

    assert run(work()) == 0


def test_a_queue_that_is_closed_leaves_nothing_here() -> None:
    """Neither texts of tasks that never ran, nor what has read them."""
    before = len(on_the_way)

    async def work() -> ref[Any]:
        async with BackgroundQueue("memory://", name=new_name()) as queue:
            await submit_as("r-1", read_request)
            await run_unmounted(queue)
            await submit_as("r-2", read_request)
            assert len(on_the_way) > before
            return ref(queue.docket)

    docket = run(work())
    gc.collect()

    assert len(on_the_way) == before
    assert docket() is None
