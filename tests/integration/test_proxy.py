"""Nested calls find the pool of their call wherever they are made; leases go with their calls."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import catena
from tests.integration import nesting
from tests.integration.lost_workers import lose_workers
from tests.integration.pools import pooled
from tests.laws.law import reached
from tests.support import isolated

color: catena.ContextVar[str] = catena.ContextVar("color", namespace="tests.nesting")


@isolated
@pytest.mark.parametrize("armed", [False, True], ids=["unarmed", "armed"])
def test_nested_calls_reach_the_pool_from_everywhere(armed: bool) -> None:
    """P1: from threads, plain routines and generators, and three hops deep."""

    async def work(_: catena.WorkerPool) -> None:
        if armed:
            color.set("red")
        here, _ = await nesting.where()
        assert await nesting.from_to_thread() == [here, here]
        assert await nesting.from_a_plain_routine() == here
        found = await nesting.hops(3)
        assert {pool for pool, _ in found} == {here}
        assert len({pid for _, pid in found}) == 2
        stream = nesting.step_by_step(3)
        steps = [await anext(stream), await asyncio.create_task(anext(stream)), await anext(stream)]
        assert steps == [here] * 3
        await stream.aclose()

    pooled(work, spawn=2)


@isolated
def test_what_is_outside_of_any_call_learns_why() -> None:
    """P1: a bare thread gets NoPool with the remedy, a forked child ForkedPool."""

    async def work(_: catena.WorkerPool) -> None:
        said = await nesting.from_a_bare_thread()
        assert "catena.to_thread" in said
        assert "copy_context" in said
        assert await nesting.from_a_fork() == 7

    pooled(work, spawn=1)


@isolated
def test_two_pools_do_not_mix() -> None:
    """P1: calls of two pools at once, and each nested call goes to its own."""

    async def work(pool: catena.WorkerPool) -> None:
        async with catena.WorkerPool(spawn=2) as other:
            names: dict[catena.WorkerPool, set[str]] = {pool: set(), other: set()}

            async def call(which: catena.WorkerPool) -> None:
                with which.bound():
                    names[which] |= {name for name, _ in await nesting.hops(2)}

            await asyncio.gather(*(call(which) for which in (pool, other) * 10))
            assert [len(one) for one in names.values()] == [1, 1]
            assert names[pool] != names[other]

    pooled(work, spawn=2)


@isolated
def test_a_task_that_outlives_its_routine_is_served(tmp_path: Path) -> None:
    """P4: the lease of its routine is released, and its call is made all the same."""
    path = tmp_path / "said"

    async def work(_: catena.WorkerPool) -> None:
        here, _ = await nesting.where()
        await nesting.outlive(str(path))
        assert await nesting.held() == [("held", "chain")]
        async with asyncio.timeout(10):
            while not (path.exists() and path.read_text("utf-8")):
                await asyncio.sleep(0.02)
        assert path.read_text("utf-8") == here

    pooled(work, spawn=1)


@isolated
def test_leases_go_with_workers_that_die_or_are_recycled() -> None:
    """P4: what is left after kills and replacements is the lease of whoever asks."""
    met = lose_workers(100)
    reached(met, {"calls answered": 40, "worker killed": 1, "worker recycled": 1})
