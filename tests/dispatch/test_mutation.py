"""Values changed in place: both sides notice, and nobody pays for what nobody was handed."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from tests.dispatch.tapped import changed, tapped
from tests.support import isolated, run

box: catena.ContextVar[Any] = catena.ContextVar("box", namespace="tests.mutation")
second: catena.ContextVar[Any] = catena.ContextVar("second", namespace="tests.mutation")
side: contextvars.ContextVar[str] = contextvars.ContextVar("side", default="worker")
"""Where code runs: the tests say "caller"; what a link brings runs in a Context without it."""
encoded: list[str] = []


class Counted:
    """A value that can change, and notes on which side it is encoded."""

    def __init__(self, items: list[int]) -> None:
        self.items = items

    def __reduce__(self) -> Any:
        encoded.append(side.get())
        return Counted, (list(self.items),)


@pytest.fixture(autouse=True)
def _nothing_encoded() -> None:
    encoded.clear()


@catena.routine
async def touch_nothing() -> None:
    """Look at no variable."""


@catena.routine
async def read() -> Any:
    """Read the box twice."""
    box.get()
    return len(box.get().items)


@catena.routine
async def add(item: int) -> None:
    """Append to the list in the box."""
    box.get().append(item)


@catena.routine
async def add_in_a_task(item: int) -> None:
    """Let a task that the routine creates append to the list in the box."""

    async def work() -> None:
        box.get().append(item)

    await asyncio.create_task(work())


@catena.routine
async def add_deep(item: int, depth: int) -> list[int]:
    """Append on the way there, at the end, and on the way back."""
    box.get().append(item)
    if depth:
        inner = await add_deep(item + 1, depth - 1)
        assert inner == box.get()
    box.get().append(-item)
    return box.get()


@catena.routine
async def add_and_fail(item: int) -> None:
    """Append, then raise."""
    box.get().append(item)
    raise KeyError(item)


@catena.routine
async def change_and_undo() -> None:
    """Leave the list as it was, after it was otherwise for a while."""
    box.get().append(0)
    box.get().pop()


@catena.routine
async def add_to_the_old_value(item: int) -> None:
    """Append to the list that a token remembers, and put that list back."""
    token = box.set("for a while")
    token.old_value.append(item)
    box.reset(token)


@catena.routine
async def adding() -> AsyncGenerator[list[int], int]:
    """Append what is sent, between the yields; keep hold of the list as long as it is the same."""
    while True:
        item = yield list(box.get())
        box.get().append(item)


@isolated
def test_a_change_in_place_comes_back_as_a_rebinding() -> None:
    """C15: the caller finds an equal value in a new object; the one it had is as it was."""

    async def main() -> None:
        async with tapped() as ends:
            mine = [1]
            box.set(mine)
            second.set([0])
            for item in (2, 3):
                await add(item)
            assert box.get() == [1, 2, 3]
            assert box.get() is not mine
            assert mine == [1]
            assert [[one.key[1] for one in changed(a.manifest)] for a in ends.answers] == [
                ["box"],
                ["box"],
            ]

    run(main())


@isolated
def test_a_change_by_a_task_of_the_routine() -> None:
    """C15: a task that the routine created shares the object, as a local one would."""

    async def main() -> None:
        async with tapped():
            box.set([1])
            await add_in_a_task(2)
            assert box.get() == [1, 2]

    run(main())


@isolated
def test_a_change_of_what_a_token_remembers() -> None:
    """C15: a token's ``old_value`` hands the value out as ``get`` does."""

    async def main() -> None:
        async with tapped():
            box.set([1])
            await add_to_the_old_value(2)
            assert box.get() == [1, 2]

    run(main())


@isolated
def test_a_change_before_an_exception() -> None:
    """C15: an exception brings the change along."""

    async def main() -> None:
        async with tapped():
            box.set([1])
            with pytest.raises(KeyError):
                await add_and_fail(2)
            assert box.get() == [1, 2]

    run(main())


@isolated
def test_changes_between_yields_in_both_directions() -> None:
    """C15: each step brings the caller's change in and the generator's change out."""

    async def main() -> None:
        async with tapped() as ends:
            box.set([1])
            stream = adding()
            assert await anext(stream) == [1]
            assert await stream.asend(2) == [1, 2]
            assert box.get() == [1, 2]
            box.get().append(3)
            assert await stream.asend(4) == [1, 2, 3, 4]
            box.get().append(5)
            assert await stream.asend(6) == [1, 2, 3, 4, 5, 6] == box.get()
            assert [len(changed(one)) for one in ends.told] == [1, 0, 1, 1]
            await stream.aclose()

    run(main())


@isolated
def test_nested_two_deep_and_back() -> None:
    """C15: a list that three routines in a row append to, there and back, is the caller's."""

    async def main() -> None:
        async with tapped():
            box.set([0])
            expected = [0, 1, 2, 3, -3, -2, -1]
            assert await add_deep(1, 2) == expected
            assert box.get() == expected

    run(main())


@isolated
def test_what_was_never_read_there_is_not_encoded_there() -> None:
    """C15: a worker encodes only what ``get`` has handed out since the mount."""

    async def main() -> None:
        side.set("caller")
        async with tapped() as ends:
            box.set(Counted([1]))
            for _ in range(3):
                await touch_nothing()
            assert encoded == ["caller"] * 3
            encoded.clear()
            assert await read() == 1
            assert encoded == ["caller", "worker", "worker"]
            assert not any(one.manifest for one in ends.answers)

    run(main())


@isolated
def test_reading_without_changing_sends_nothing_back() -> None:
    """C15: equal encodings, made by the same process, are no change."""

    async def main() -> None:
        async with tapped() as ends:
            box.set([1, {"a": {2, 3}}])
            await change_and_undo()
            stream = adding()
            await anext(stream)
            await stream.aclose()
            assert [one.manifest for one in ends.answers] == [None] * 3

    run(main())


@isolated
def test_what_cannot_change_is_encoded_once() -> None:
    """C15: exact strings, numbers and tuples of them are compared by identity, never by bytes."""

    async def main() -> None:
        side.set("caller")
        async with tapped() as ends:
            mutable = Counted([1])
            box.set(("a", 1, (b"b", None, 2.5)))
            second.set((mutable, "in a tuple"))
            for _ in range(2):
                await touch_nothing()
            assert encoded == ["caller"] * 2
            mutable.items.append(2)
            await touch_nothing()
            assert [one.key[1] for one in changed(ends.told[-1])] == ["second"]

    run(main())
