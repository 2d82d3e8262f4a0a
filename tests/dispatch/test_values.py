"""Chain values travel on every frame, both ways, and no two calls share what can be changed."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

import catena
from catena.dispatch.statistics import statistics
from catena.errors import SerializationWarning
from catena.events import Dispatch, Execution
from catena.testing import recording
from tests.dispatch.ends import connected
from tests.support import LOOPS, isolated, run

name: catena.ContextVar[str] = catena.ContextVar("name", namespace="tests.values", default="none")
held: catena.ContextVar[Any] = catena.ContextVar("held", namespace="tests.values")
only: catena.ContextVar[str] = catena.ContextVar(
    "only", namespace="tests.values", propagate="forward"
)
seen: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


@catena.routine
async def swap(new: str) -> str:
    """Return the name and set another one."""
    old = name.get()
    name.set(new)
    return old


@catena.routine
async def nested(new: str) -> tuple[str, str]:
    """Call on, and tell what was there before and after."""
    return await swap(new), name.get()


@catena.routine
async def renaming() -> Any:
    """Tell the name at each step, and set another one."""
    n = 0
    while True:
        yield name.get()
        n += 1
        name.set(f"step {n}")


@catena.routine
async def fails() -> None:
    """Set the name and raise."""
    name.set("failed")
    raise KeyError("k")


@catena.routine
async def appends(x: int) -> list[int]:
    """Change in place what the variable holds, and keep it."""
    inner = held.get()
    inner.append(x)
    seen.append(inner)
    await asyncio.sleep(0.01)
    return list(inner)


@catena.routine
async def keeps(inner: list[int]) -> list[int]:
    """Change and keep an argument."""
    inner.append(0)
    seen.append(inner)
    return inner


@catena.routine
async def forwards() -> str:
    """Read a forward variable and set it."""
    got = only.get()
    only.set("there")
    return got


@catena.routine
async def resetting() -> Any:
    """Set before a yield, reset after it."""
    token = name.set("inside")
    yield name.get()
    name.reset(token)
    yield name.get()


@catena.routine
async def timing() -> Any:
    """Keep a timeout open over a yield."""
    async with asyncio.timeout(5):
        yield 1
        yield 2


@catena.routine
async def unsendable() -> str:
    """Leave a value that stays here."""
    held.set(x for x in ())
    name.set("sent")
    return "result"


@pytest.mark.parametrize("loop", LOOPS)
@isolated
def test_values_travel_both_ways(loop: str) -> None:
    """M7: what the caller has is there, what the routine set is here, over two hops as well."""

    async def main() -> None:
        name.set("mine")
        async with connected():
            assert await swap("theirs") == "mine"
            assert name.get() == "theirs"
            assert await nested("deep") == ("theirs", "deep")
            assert name.get() == "deep"

    run(main(), loop=loop)


@isolated
def test_an_unarmed_call_stays_unarmed_until_the_routine_sets() -> None:
    """C4: without a chain nothing goes out; what the routine sets arrives all the same."""

    async def main() -> None:
        async with connected():
            assert await swap("theirs") == "none"
            assert name.get() == "theirs"

    run(main())


@isolated
def test_an_exception_brings_its_chain() -> None:
    """M7: what a routine set before it raised is seen by its caller."""

    async def main() -> None:
        async with connected():
            with pytest.raises(KeyError):
                await fails()
            assert name.get() == "failed"

    run(main())


@isolated
def test_a_stream_exchanges_values_at_every_step() -> None:
    """M7: each drive takes the caller's values along and each yield brings the generator's."""

    async def main() -> None:
        name.set("first")
        async with connected():
            stream: Any = renaming()
            assert await anext(stream) == "first"
            assert name.get() == "first"
            assert await anext(stream) == "step 1"
            assert name.get() == "step 1"
            name.set("between")
            assert await stream.asend(None) == "step 2"
            await stream.aclose()
            assert name.get() == "step 2"

    run(main())


@isolated
def test_a_token_and_a_timeout_live_over_a_yield() -> None:
    """M8: the steps of one chain run in one Context and one task, as in a local generator."""

    async def main() -> None:
        async with connected():
            name.set("outside")
            stream: Any = resetting()
            assert await anext(stream) == "inside"
            assert await anext(stream) == "outside"
            assert [value async for value in stream] == []
            assert [value async for value in timing()] == [1, 2]

    run(main())


@isolated
def test_two_tasks_that_drive_one_stream_stay_apart() -> None:
    """M8: each chain that drives a stream sees and writes its own values."""

    async def main() -> None:
        async with connected():
            stream: Any = renaming()

            async def step(mine: str) -> tuple[str, str]:
                name.set(mine)
                return await anext(stream), name.get()

            await anext(stream)
            for n, mine in enumerate(("a", "b", "a"), 1):
                got = await asyncio.create_task(step(mine))
                assert got == (f"step {n}", f"step {n}")
            assert name.get() == "none"
            await stream.aclose()

    run(main())


@isolated
def test_calls_at_the_same_time_stay_apart() -> None:
    """C5: each task's call sees its own values and writes back to its own chain."""

    async def main() -> None:
        name.set("parent")
        async with connected():

            async def one(n: int) -> bool:
                name.set(f"in {n}")
                got = await swap(f"out {n}")
                return (got, name.get()) == (f"in {n}", f"out {n}")

            assert all(await asyncio.gather(*map(one, range(50))))
            assert name.get() == "parent"

    run(main())


@isolated
def test_two_calls_never_share_a_mutable_value() -> None:
    """C15: a list in a variable is another list for each call, and for the caller."""

    async def main() -> None:
        mine = [1]
        held.set(mine)
        async with connected():
            results = await asyncio.gather(*(appends(n) for n in (2, 3)))
            assert sorted(results) == [[1, 2], [1, 3]]
            assert seen[0] is not seen[1]
            assert mine == [1]
            assert held.get() is mine
            assert await appends(4) == [1, 4]
            assert held.get() == [1, 4]
            assert await appends(5) == [1, 4, 5]
            assert mine == [1]
            assert len({id(one) for one in seen}) == 4

    run(main())


def test_two_calls_never_share_an_argument() -> None:
    """D2: arguments and results are copies, also of the same call made twice."""

    async def main() -> None:
        mine = [1]
        async with connected():
            one, other = await keeps(mine), await keeps(mine)
        assert one == other == [1, 0]
        assert len({id(each) for each in (mine, one, other, *seen)}) == 5

    run(main())


@isolated
def test_a_forward_variable_never_comes_back() -> None:
    """C13: it goes to the worker, and what is set there stays there."""

    async def main() -> None:
        only.set("here")
        async with connected():
            assert await forwards() == "here"
            assert only.get() == "here"

    run(main())


@isolated
def test_a_value_that_cannot_be_sent_costs_its_own_entry() -> None:
    """M2: the others travel, the caller keeps what it had, and a warning names the variable."""

    async def main() -> None:
        held.set("mine")
        async with connected():
            with pytest.warns(SerializationWarning, match="tests.values:held could not be sent"):
                assert await unsendable() == "result"
            assert (held.get(), name.get()) == ("mine", "sent")

    run(main())


@isolated
def test_nothing_is_left_when_nothing_is_under_way() -> None:
    """T8: after calls, streams, errors and cancels the counts of our live objects are zero."""

    async def main() -> None:
        async with connected():
            name.set("x")
            await asyncio.gather(*(swap(str(n)) for n in range(100)))
            with pytest.raises(KeyError):
                await fails()
            async for _ in timing():
                pass
            stream: Any = renaming()
            await anext(stream)
            await stream.aclose()
            left: Any = renaming()
            await anext(left)
            del left
            gc.collect()
            await asyncio.sleep(0.05)
            now = statistics()
            assert (now.calls, now.sessions, now.streams, now.transfers) == (0, 0, 0, 0)

    gc.collect()
    before = statistics()
    run(main())
    gc.collect()
    after = statistics()
    assert after.chains <= before.chains
    assert after.tokens <= before.tokens
    assert after.links == before.links


def test_a_call_is_seen_at_both_ends() -> None:
    """D2: a dispatch and its execution are announced once each, with worker, call and outcome."""

    async def main() -> None:
        async with connected():
            with recording(Dispatch, Execution) as recorded:
                await swap("x")
                with pytest.raises(KeyError):
                    await fails()
                assert [value async for value in timing()] == [1, 2]
        for kind in (Dispatch, Execution):
            events = recorded.of(kind)
            assert [one.routine.rpartition(".")[2] for one in events] == ["swap", "fails", "timing"]
            assert [one.stream for one in events] == [False, False, True]
            ends = [recorded.outcome(one) for one in events]
            assert [one and one.end for one in ends] == ["done", "failed", "done"]
        assert [one.attempt and one.attempt.endpoints.worker for one in recorded.of(Dispatch)] == [
            "far"
        ] * 3
        assert [one.call for one in recorded.of(Dispatch)] == [1, 2, 3]

    run(main())


def test_a_collected_stream_is_an_abandoned_dispatch() -> None:
    """D2: who listens learns that a stream was given up."""

    async def main() -> None:
        async with connected():
            with recording(Dispatch) as recorded:
                stream: Any = timing()
                await anext(stream)
                del stream
                gc.collect()
                await asyncio.sleep(0.01)
            outcome = recorded.outcome(recorded.events[0])
            assert outcome is not None
            assert outcome.end == "abandoned"

    run(main())
