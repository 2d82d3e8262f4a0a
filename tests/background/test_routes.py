"""Nested calls of a task reach the pool of its submitter, which its worker finds again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.background import BackgroundQueue, BackgroundWorker, TaskContextSnapshot
from catena.background.routes import POOLS_MOST, RouteLease, RouteTable
from catena.events import Lease
from catena.testing import recording
from tests.background.nested import (
    call_nested,
    call_tagged,
    call_together,
    submit_nested,
    user,
)
from tests.background.running import finish, opened, run
from tests.pool.test_found_workers import Fleet
from tests.support import isolated


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Workers that are announced in a folder."""
    made = Fleet(tmp_path)
    yield made
    made.close()


async def submit_within_pool(queue: BackgroundQueue, where: Any, routine: Any, *args: Any) -> Any:
    """Submit a routine where a pool is bound, which is closed then."""
    async with catena.WorkerPool(discovery=where):
        user.set("ada")
        return await routine.on(queue).submit(*args)


@isolated
def test_a_nested_call_reaches_the_submitters_pool(fleet: Fleet, url: str) -> None:
    """Item 6: the identity arrives there as well; the lease lasts from the call to the unmount."""

    async def work() -> None:
        pid = await fleet.start("w1", "--import", "tests.background.nested")
        async with opened(url) as queue:
            task = await submit_within_pool(queue, fleet.where, call_nested)
            with recording(Lease) as record:
                await finish(queue)
            assert await task.result(timeout=10) == (os.getpid(), pid, "ada")
            (lease,) = record.of(Lease)
            assert (lease.source, lease.cached, lease.routine) == (
                *("snapshot", False),
                "tests.background.nested.call_nested",
            )
            outcome = record.outcome(lease)
            assert outcome is not None
            assert outcome.end == "done"

    run(work())


@isolated
def test_what_is_stored_is_how_the_pool_is_found(fleet: Fleet, url: str) -> None:
    """B1: neither an address of a worker nor anything alive; a list of targets is not stored."""

    async def work() -> None:
        await fleet.start("w1", "--import", "tests.background.nested")
        async with opened(url) as queue:
            await submit_within_pool(queue, fleet.where, call_nested)
            await submit_within_pool(queue, [fleet.targets["w1"]], call_nested)
            async with queue.docket.redis() as redis:
                places = await redis.keys(queue.docket.key("snapshot:*"))
                texts = [(await redis.get(place)).decode() for place in places]
            texts.sort(key=lambda text: '"discovery"' not in text)
            found, listed = map(TaskContextSnapshot.from_json, texts)
            assert found.route == {
                "discovery": fleet.where,
                "credentials": None,
                "name": "",
                "insecure": False,
            }
            assert fleet.targets["w1"] not in texts[0]
            assert listed.route == {}

    run(work())


@isolated
def test_calls_to_workers_with_tags_and_many_calls_at_once(fleet: Fleet, url: str) -> None:
    """Item 6: the pool is opened once, however many calls ask for it, and tags hold there."""

    async def work() -> None:
        await fleet.start("w1", "--import", "tests.background.nested")
        pid = await fleet.start("w2", "--import", "tests.background.nested", "--tags", "special")
        async with opened(url) as queue:
            tagged = await submit_within_pool(queue, fleet.where, call_tagged)
            many = await submit_within_pool(queue, fleet.where, call_together, 20)
            await finish(queue)
            assert await tagged.result(timeout=10) == (pid, "ada")
            assert await many.result(timeout=10) in (1, 2)

    run(work())


@isolated
def test_a_task_hands_its_route_on(fleet: Fleet, url: str) -> None:
    """Item 6: to the task that it submits."""

    async def work() -> None:
        pid = await fleet.start("w1", "--import", "tests.background.nested")
        async with opened(url, default=True) as queue:
            first = await submit_within_pool(queue, fleet.where, submit_nested)
            await finish(queue)
            second = await queue.find(await first.result(timeout=10))
            assert second is not None
            assert await second.result(timeout=10) == (os.getpid(), pid, "ada")

    run(work())


@isolated
def test_without_a_route_the_workers_own_pool_serves(fleet: Fleet, url: str) -> None:
    """B1: that which is bound where the worker starts."""

    async def work() -> None:
        pid = await fleet.start("w1", "--import", "tests.background.nested")
        async with opened(url) as queue:
            task = await call_nested.on(queue).submit()
            async with catena.WorkerPool(discovery=fleet.where), BackgroundWorker(queue):
                assert (await task.result(timeout=20))[1] == pid

    run(work())


@isolated
def test_without_any_pool_the_call_fails(url: str) -> None:
    """Item 6: and not the task, until then."""

    async def work() -> None:
        async with opened(url) as queue:
            task = await call_nested.on(queue).submit()
            await finish(queue)
            with pytest.raises(catena.NoPool):
                await task.result(timeout=10)

    run(work())


@isolated
def test_a_pool_that_is_not_found_any_more(
    fleet: Fleet, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Item 6: the call fails, says where it was looked for, and the next one tries again."""

    async def work() -> None:
        await fleet.start("w1", "--import", "tests.background.nested")
        async with opened(url) as queue:
            task = await submit_within_pool(queue, fleet.where, call_nested)
            fleet.end("w1")
            made = catena.WorkerPool
            monkeypatch.setattr(
                "catena.background.routes.WorkerPool",
                lambda **options: made(**options, quorum_timeout=0.2),
            )
            await finish(queue)
            with pytest.raises(catena.NoPool, match="is not found at dir:"):
                await task.result(timeout=10)

    run(work())


def test_pools_that_nobody_leases_are_closed_when_there_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Item 6: a leased one stays, however long ago it was asked for."""
    closed: list[str] = []

    class Pool:
        def __init__(self, **options: Any) -> None:
            self.way = self.dispatcher = self
            self.name = options["discovery"]

        async def open(self) -> Pool:
            return self

        async def close(self) -> None:
            closed.append(self.name)

    monkeypatch.setattr("catena.background.routes.WorkerPool", Pool)

    async def work() -> None:
        table = RouteTable()
        leases = [RouteLease(table, {"discovery": str(n)}) for n in range(POOLS_MOST + 3)]
        for number, lease in enumerate(leases):
            await lease.take("f")
            if number:
                lease.release()
        assert closed == ["1", "2", "3"]
        await table.close()
        assert len(closed) == POOLS_MOST + 3

    run(work())


def test_a_pool_of_ones_own_has_no_route() -> None:
    """Item 6: workers that a pool has started end with it."""
    assert catena.WorkerPool(spawn=1).route == {}
