"""An unchanged chain is named, not sent: what a link has carried, on both of its sides."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import catena
from catena.transfer.manifest import ChainManifest
from catena.wire.frames import Ack, Frame, Nack, NackCode, Task
from tests.dispatch.ends import caller_and_hand
from tests.dispatch.tapped import Tapped, bytes_of, changed, tapped
from tests.support import isolated, run

word: catena.ContextVar[str] = catena.ContextVar("word", namespace="tests.named", default="-")
box: catena.ContextVar[Any] = catena.ContextVar("box", namespace="tests.named")
many = [catena.ContextVar[Any](f"many{n}", namespace="tests.named") for n in range(20)]
held: list[Any] = []
"""What routines were handed, kept alive so that no two objects ever have one address."""


@pytest.fixture(autouse=True)
def _nothing_held() -> None:
    held.clear()


@catena.routine
async def look() -> str:
    """Return the word."""
    return word.get()


@catena.routine
async def sums() -> int:
    """Return the sum of everything that the dictionaries hold; change nothing."""
    return sum(sum(var.get().values()) for var in many)


@catena.routine
async def mark() -> tuple[int, Any]:
    """Return how many marks the worker finds in the box; leave one everywhere in it."""
    outer = box.get()
    inner = outer["pair"][1]
    before = len(outer) + len(inner)
    held.extend((outer, inner))
    outer[f"mark {len(held)}"] = True
    inner.append("mark")
    await asyncio.sleep(0)
    return before, len(inner)


def kept(ends: Tapped) -> Any:
    """Return the one table of kept states of the worker."""
    return ends.sessions._states._kept


async def apart(routine: Any) -> Any:
    """Call a routine in a task of its own, whose writes stay there."""
    return await asyncio.create_task(routine())


@isolated
def test_a_state_is_named_when_it_is_sent_again() -> None:
    """Move 8: what is sent again is named, and from then on the number is all that is sent."""

    async def main() -> None:
        async with tapped() as ends:
            word.set("red")
            assert [await look() for _ in range(4)] == ["red"] * 4
            first, second, *others = ends.told
            assert (first.base, first.name, second.base) == (0, 0, 0)
            assert second.name
            assert len(changed(first)) == len(changed(second)) == 1
            for one in others:
                assert one == ChainManifest(first.chain_id, first.parent_id, base=second.name)

    run(main())


@isolated
def test_what_is_set_before_each_call_is_never_named() -> None:
    """Move 8: nobody keeps a state that is sent once, and nothing is compared with another."""

    async def main() -> None:
        async with tapped() as ends:
            for number in range(5):
                word.set(f"{number}")
                assert await look() == f"{number}"
            assert [(one.base, one.name, len(changed(one))) for one in ends.told] == [(0, 0, 1)] * 5
            assert (len(ends.caller.states), len(kept(ends))) == (0, 0)

    run(main())


@isolated
def test_one_of_many_that_is_set_before_each_call_goes_alone() -> None:
    """Move 8: many variables are named at once, and later calls differ from them by one."""

    async def main() -> None:
        async with tapped() as ends:
            for var in many:
                var.set({"n": 0})
            for number in range(5):
                many[3].set({"n": number})
                assert await sums() == number
            first, *others = ends.told
            assert (first.base, len(changed(first))) == (0, len(many))
            assert first.name
            assert [(one.base, one.name) for one in others] == [(first.name, 0)] * 4
            assert [[entry.key[1] for entry in changed(one)] for one in others] == [["many3"]] * 4
            assert len(kept(ends)) == 1

    run(main())


@isolated
def test_one_large_value_is_named_at_once() -> None:
    """Move 8: what takes many bytes goes once, although another variable is set each time."""

    async def main() -> None:
        async with tapped() as ends:
            box.set("x" * 10_000)
            for number in range(3):
                word.set(f"{number}")
                assert await look() == f"{number}"
            assert [bool(one.name) for one in ends.told] == [True, False, False]
            assert [len(changed(one)) for one in ends.told] == [2, 1, 1]

    run(main())


@isolated
def test_a_state_is_not_named_before_its_call_was_accepted() -> None:
    """Move 8: a number is used once the Ack proves that the worker has the state."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            word.set("red")
            calls: list[asyncio.Task[Any]] = []

            async def next_told() -> ChainManifest:
                calls.append(asyncio.create_task(look()))
                await hand.frame()
                drive: Any = await hand.frame()
                return drive.manifest

            first, second, third = [await next_told() for _ in range(3)]
            assert (first.name, bool(second.name)) == (0, True)
            assert (third.base, third.name) == (first.base, 0)
            assert third.entries == second.entries
            # The first one brings the proxy as well.
            assert first.entries.endswith(second.entries)
            await hand.send(Ack(1), Ack(2))
            fourth = await next_told()
            assert (fourth.base, fourth.entries) == (second.name, b"")
            for task in calls:
                task.cancel()
            await hand.send(*(Nack(call, NackCode.UNLOADABLE, "no") for call in (3, 4)))
            await asyncio.wait(calls)

    run(main())


@isolated
def test_a_hundred_first_calls_at_once_bring_one_name() -> None:
    """Move 8: concurrent first calls all bring it whole, and at most one of them names it."""

    async def main() -> None:
        async with tapped() as ends:
            word.set("red")
            assert await asyncio.gather(*(look() for _ in range(100))) == ["red"] * 100
            assert not any(one.base for one in ends.told)
            assert sum(bool(one.name) for one in ends.told) == 1
            assert len(kept(ends)) == 1
            ends.forget()
            assert await look() == "red"
            assert ends.told[0].base
            assert not ends.told[0].entries

    run(main())


@isolated
def test_one_of_many_that_changed_is_sent_alone() -> None:
    """Move 8: the second state is told by its difference from the one that was carried."""

    async def main() -> None:
        async with tapped() as ends:
            for number, var in enumerate(many):
                var.set({"n": number})
            assert await sums() == 190
            many[3].set({"n": 1003})
            assert await sums() == 1190
            _, second = ends.told
            assert second.base
            assert [entry.key[1] for entry in changed(second)] == ["many3"]

    run(main())


@isolated
def test_a_variable_that_was_reset_is_told_beside_the_number() -> None:
    """Move 8: what the named state has and this one has no more is a reset."""

    async def main() -> None:
        async with tapped() as ends:
            box.set("bound")
            with word.set("red"):
                assert [await look() for _ in range(2)] == ["red"] * 2
            assert [await look() for _ in range(3)] == ["-"] * 3
            assert [len(changed(one)) for one in ends.told] == [2, 2, 1, 1, 0]

    run(main())


@isolated
def test_forks_share_the_named_state() -> None:
    """Move 8: tasks that changed nothing name their parent's state, each on a chain of its own."""

    async def main() -> None:
        async with tapped() as ends:
            word.set("red")
            await look()
            await look()
            name = ends.told[1].name
            ends.forget()
            await asyncio.gather(*(look() for _ in range(20)))
            assert {one.base for one in ends.told} == {name}
            assert not any(changed(one) or one.name for one in ends.told)
            assert len({one.chain_id for one in ends.told}) == 20

    run(main())


@isolated
def test_calls_at_once_never_share_what_can_change() -> None:
    """Move 8: fifty calls that name one state are handed fifty objects, all as they were sent."""

    async def main() -> None:
        async with tapped() as ends:
            box.set({"pair": (1, [])})
            word.set("red")
            await apart(look)
            await apart(look)
            ends.forget()
            seen = await asyncio.gather(*(mark() for _ in range(50)))
            assert seen == [(1, 1)] * 50
            assert all(one.base and not one.entries for one in ends.told)
            assert len({id(one) for one in held}) == 100
            assert box.get() == {"pair": (1, [])}

    run(main())


@isolated
def test_calls_in_sequence_never_share_what_can_change() -> None:
    """Move 8: a later call sees nothing of what an earlier one did to its objects."""

    async def main() -> None:
        async with tapped() as ends:
            box.set({"pair": (1, [])})
            assert [await apart(mark) for _ in range(10)] == [(1, 1)] * 10
            assert [bool(one.base) for one in ends.told] == [False] * 2 + [True] * 8
            assert len({id(one) for one in held}) == 20
            assert box.get() == {"pair": (1, [])}

    run(main())


@isolated
def test_a_value_that_the_caller_changed_in_place_is_sent() -> None:
    """C15: the state is the same object, its value is not: the entry goes out beside the number."""

    async def main() -> None:
        async with tapped() as ends:
            for number, var in enumerate(many):
                var.set({"n": number})
            assert await sums() == 190
            many[5].get()["n"] = 1005
            assert await sums() == 1190
            assert await sums() == 1190
            assert [entry.key[1] for entry in changed(ends.told[1])] == ["many5"]
            assert not changed(ends.told[2])
            many[5].get()["n"] = 5
            assert await sums() == 190

    run(main())


@isolated
def test_an_unchanged_chain_of_dictionaries_takes_few_bytes() -> None:
    """Move 8: at most those of a call with nothing bound, and 16 for each variable."""

    async def main() -> None:
        async with tapped() as ends:
            assert await look() == "-"
            assert await look() == "-"
            bare = _last_bytes(ends)
            for number, var in enumerate(many):
                var.set({"n": number, "text": "x" * 1024})
            for _ in range(3):
                assert await look() == "-"
            assert _last_bytes(ends) <= bare + 16 * len(many)

    run(main())


def _last_bytes(ends: Tapped) -> int:
    """Return the bytes of the last call's Task, with its drive, and of its answer."""
    tasks: list[Frame] = [one for one in ends.sent if isinstance(one, Task)]
    return bytes_of(tasks[-1]) + bytes_of(ends.answers[-1])
