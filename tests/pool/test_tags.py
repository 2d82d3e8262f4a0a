"""Calls that ask for workers with tags: real workers, every kind of call."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.discovery import MemberRecord
from catena.dispatch.caller import long_waits
from catena.errors import NoFittingWorker
from catena.events import CallWaited
from catena.testing import recording
from tests.pool.tagged_routines import (
    Place,
    hold_slot,
    name_twice,
    say_nested,
    say_process,
    say_slot,
)
from tests.pool.test_found_workers import Fleet, until, with_fleet
from tests.support import isolated, run


@isolated
def test_calls_of_each_kind_go_to_a_worker_with_the_tags(tmp_path: Path) -> None:
    """P8: coroutines, streams, plain functions, methods, threads; in scope and by the pool."""

    async def work(fleet: Fleet) -> None:
        one = await fleet.start("w1", "--tags", "cpu,eu")
        two = await fleet.start("w2", "--tags", "gpu,eu")
        async with catena.WorkerPool(discovery=fleet.where, quorum=2) as pool:
            for _ in range(4):
                assert await say_process.on(tags={"gpu"})() == two
                assert await say_slot.on(pool, tags=["gpu", "eu"])() == two
                assert [pid async for pid in name_twice.on(tags={"cpu"})()] == [one, one]
                assert await Place().say.on(tags={"cpu"})() == one
            both = {await say_process.on(pool, tags={"eu"})() for _ in range(32)}
            assert both == {one, two}
            assert {await say_process.on(tags=())() for _ in range(4)} == {one, two}
            gpu = say_process.on(pool, tags={"gpu"})
            assert await catena.to_thread(gpu.blocking) == two
            assert await catena.to_thread(say_slot.on(tags={"gpu"}).blocking) == two
            stream = await catena.to_thread(lambda: [*name_twice.on(tags={"cpu"}).blocking()])
            assert stream == [one, one]

    with_fleet(tmp_path, work)


@isolated
def test_nested_calls_ask_for_tags_as_well(tmp_path: Path) -> None:
    """P8: the workers of a pool know each other's tags."""

    async def work(fleet: Fleet) -> None:
        one = await fleet.start("w1", "--tags", "cpu")
        two = await fleet.start("w2", "--tags", "gpu")
        async with catena.WorkerPool(1, discovery=fleet.where, quorum=2) as pool:
            (own,) = pool.pids.values()
            seen: set[int] = set()
            for _ in range(6):
                here, *there = await say_nested("gpu")
                assert there == [two, two, [two, two]]
                seen.add(here)
            assert seen == {one, two, own}
            # Who joins is known there, too, and nobody waits where none is known.
            with pytest.raises(NoFittingWorker, match="no worker has the tag tpu"):
                await say_nested("tpu")
            three = await fleet.start("w3", "--tags", "tpu")
            await until(lambda: len(pool.workers) == 4)
            assert (await say_nested("tpu"))[1:] == (three, three, [three, three])

    with_fleet(tmp_path, work)


@isolated
def test_calls_wait_for_a_worker_that_fits(tmp_path: Path) -> None:
    """P8, P13: they stand in nobody's way, and go on when one joins that has all of the tags."""

    async def work(fleet: Fleet) -> None:
        one = await fleet.start("w1", "--tags", "gpu")
        async with catena.WorkerPool(discovery=fleet.where) as pool:
            asked = [routine.on(tags={"gpu", "eu"}) for routine in (say_process, say_slot)]
            with catena.RuntimeContext(timeout=0.2):
                for routine in asked:
                    with pytest.raises(TimeoutError):
                        await routine()
            waiting = [asyncio.ensure_future(routine()) for routine in asked]
            waiting += [asyncio.ensure_future(anext(name_twice.on(pool, tags={"gpu", "eu"})()))]
            await asyncio.sleep(0.2)
            assert await say_process() == await say_slot() == one
            assert not any(call.done() for call in waiting)
            two = await fleet.start("w2", "--tags", "gpu,eu")
            assert await asyncio.gather(*waiting) == [two] * 3

    with_fleet(tmp_path, work)


@isolated
def test_calls_for_other_workers_pass_by_in_line(tmp_path: Path) -> None:
    """P13: who waits for a slot of one worker holds up nobody who fits another one."""

    async def work(fleet: Fleet) -> None:
        one = await fleet.start("w1", "--tags", "cpu")
        two = await fleet.start("w2", "--tags", "gpu")
        async with catena.WorkerPool(discovery=fleet.where, quorum=2):
            held = asyncio.ensure_future(hold_slot.on(tags={"gpu"})(1.0))
            await asyncio.sleep(0.3)
            behind = [asyncio.ensure_future(say_slot.on(tags={"gpu"})()) for _ in range(3)]
            await asyncio.sleep(0.1)
            assert [await say_slot() for _ in range(3)] == [one] * 3
            assert [await say_slot.on(tags={"cpu"})() for _ in range(3)] == [one] * 3
            assert not held.done()
            assert not any(call.done() for call in behind)
            assert await asyncio.gather(held, *behind) == [two] * 4
            # The other way round: what fits anywhere is behind nobody who fits one worker alone.
            held = asyncio.ensure_future(hold_slot.on(tags={"gpu"})(0.5))
            await asyncio.sleep(0.1)
            first = asyncio.ensure_future(say_slot.on(tags={"gpu"})())
            assert await say_slot() == one
            assert await asyncio.gather(held, first) == [two, two]

    with_fleet(tmp_path, work)


@isolated
def test_what_the_worker_says_counts(tmp_path: Path) -> None:
    """P8: a record is a hint; one without tags, or with wrong ones, misleads no call."""

    async def work(fleet: Fleet) -> None:
        one = await fleet.start("w1", "--tags", "gpu")
        two = await fleet.start("w2")
        lying = MemberRecord("w2", f"unix:{tmp_path}/w2.sock", tags=frozenset({"gpu"}))
        where: Any = [f"unix:{tmp_path}/w1.sock", lying]
        async with catena.WorkerPool(discovery=where, quorum=2) as pool:
            assert {await say_process.on(tags={"gpu"})() for _ in range(8)} == {one}
            assert {await say_process.on(pool)() for _ in range(8)} == {one, two}

    with_fleet(tmp_path, work)


@isolated
def test_without_a_worker_that_fits_the_error_names_the_tags(tmp_path: Path) -> None:
    """P8: where no other worker is expected, it says at once what is missing and what is there."""

    async def main() -> None:
        async with catena.WorkerPool(1) as pool:
            with pytest.raises(NoFittingWorker) as raised:
                await say_process.on(pool, tags={"gpu", "eu"})()
            assert (raised.value.tags, raised.value.known) == (("eu", "gpu"), ())
            assert "no worker has the tags eu and gpu; those that there are have no tags" in str(
                raised.value
            )
            for routine in (say_slot, name_twice):
                call: Any = routine.on(tags={"gpu"})()
                with pytest.raises(NoFittingWorker):
                    await (anext(call) if routine is name_twice else call)
            with pytest.raises(NoFittingWorker):
                await catena.to_thread(say_process.on(tags={"gpu"}).blocking)

    run(main())


@isolated
@pytest.mark.parametrize("kind", ["coroutine", "plain", "stream"])
def test_a_long_wait_for_a_worker_is_announced(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P13: once for all calls of a pool that wait; it says what they wait for."""
    monkeypatch.setattr(long_waits, "LONG", 0.3)

    def call(**tags: Any) -> asyncio.Future[Any]:
        if kind == "stream":
            return asyncio.ensure_future(anext(name_twice.on(**tags)()))
        return asyncio.ensure_future((say_slot if kind == "plain" else say_process).on(**tags)())

    async def main() -> None:
        where = f"dir:{tmp_path}"
        async with catena.WorkerPool(discovery=where, quorum=0) as pool:
            with recording(CallWaited) as recorded:
                waiting = [call(tags={"gpu"}) for _ in range(3)]
                await asyncio.sleep(0.5)
            [waited] = recorded.of(CallWaited)
            assert waited.routine == f"tests.pool.tagged_routines.{_NAMES[kind]}"
            assert (waited.calls, waited.seconds >= 0.3) == (3, True)
            assert waited.cause == "no worker has the tag gpu; those that there are have no tags"
            with recording(CallWaited) as recorded:
                waiting += [asyncio.ensure_future(say_process.on(pool)())]
                await asyncio.sleep(0.7)
            # The same three, or the fourth, about once in each period.
            assert 1 <= len(recorded.of(CallWaited)) <= 3
            for one in waiting:
                one.cancel()
            await asyncio.wait(waiting)

    tmp_path.chmod(0o700)
    run(main())


_NAMES = {"coroutine": "say_process", "plain": "say_slot", "stream": "name_twice"}


@pytest.mark.parametrize(
    ("tags", "kind", "said"),
    [
        ("gpu", TypeError, "tags are a set of texts"),
        (7, TypeError, "tags are a set of texts"),
        ({7}, TypeError, "tags are texts, and 7 is none"),
        ({""}, ValueError, "printable characters"),
        ({"x" * 65}, ValueError, "1 to 64 printable characters"),
        ({"a\nb"}, ValueError, r"'a\\nb' is not made"),
        ({str(n) for n in range(65)}, ValueError, "65 tags are too many"),
        (None, TypeError, "a WorkerPool, tags, or both"),
    ],
)
def test_what_can_be_no_tags_is_refused(tags: Any, kind: type[Exception], said: str) -> None:
    """P8: where the routine is told where to go, and not where it is called."""
    with pytest.raises(kind, match=said):
        say_process.on(tags=tags)
