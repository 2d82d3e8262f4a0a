"""Changes only: what each frame of a call tells of its chain, counted in entries and in bytes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from catena.errors import SerializationError, SerializationWarning
from catena.transfer.manifest import Entry, EntryKind
from catena.wire.frames import ExceptionFrame
from tests.dispatch.changing import adding, count, other, set_and_fail, set_and_undo
from tests.dispatch.tapped import bytes_of, changed, tapped
from tests.support import isolated, run

MANY = 50
many = [catena.ContextVar[Any](f"many{n}", namespace="tests.deltas") for n in range(MANY)]
begun: list[str] = []


def bind_many() -> None:
    """Bind fifty variables of some size."""
    for number, var in enumerate(many):
        var.set(f"value {number} " * 10)


@catena.routine
async def counting(to: int) -> AsyncGenerator[Any, None]:
    """Set one variable each step; yield the other one."""
    for number in range(to):
        count.set(number)
        yield other.get()


@catena.routine
async def looking(to: int) -> AsyncGenerator[Any, None]:
    """Yield the other variable at each step; change nothing."""
    for _ in range(to):
        yield other.get()


@catena.routine
async def hold_what_stays() -> AsyncGenerator[Any, None]:
    """Bind what cannot be written, then yield its kind and the counter, at each step."""
    other.set(threading.Lock())
    while True:
        yield type(other.get()).__name__, count.get(None)


@catena.routine
async def kind_of_other() -> str:
    """Return the kind of the other variable's value."""
    return type(other.get(None)).__name__


@catena.routine
async def set_when_cancelled() -> None:
    """Wait; change one variable when cancelled."""
    begun.append("begun")
    try:
        await asyncio.Event().wait()
    finally:
        other.set("tidied")


def told(entries: list[Entry]) -> list[tuple[str, EntryKind]]:
    """Return the names and kinds of entries."""
    return [(entry.key[1], entry.kind) for entry in entries]


def sizes(frames: list[Any]) -> list[int]:
    """Return the bytes of each frame."""
    return [bytes_of(frame) for frame in frames]


@isolated
def test_the_first_drive_is_whole_and_later_ones_are_deltas() -> None:
    """M9: fifty bound variables are told once; a step tells what was set since the last frame."""

    async def main() -> None:
        async with tapped() as ends:
            bind_many()
            stream = looking(4)
            assert await anext(stream) == "-"
            assert await anext(stream) == "-"
            other.set("new")
            assert await anext(stream) == "new"
            await stream.aclose()
            first, second, third, _ = ends.told
            assert (first.whole, second.whole, third.whole) == (True, False, False)
            assert len(changed(first)) == MANY
            assert changed(second) == []
            assert told(changed(third)) == [("other", EntryKind.VALUE)]
            assert [one.manifest for one in ends.answers[:3]] == [None, None, None]

    run(main())


@isolated
def test_whole_again_after_another_chain_has_driven() -> None:
    """M9: the first frame after the driving chain id changed is whole, in both directions."""

    async def main() -> None:
        async with tapped() as ends:
            bind_many()
            stream = looking(9)
            await anext(stream)

            async def drive() -> Any:
                other.set("theirs")
                await anext(stream)
                return await anext(stream)

            assert await asyncio.create_task(drive()) == "theirs"
            assert await anext(stream) == "-"
            await anext(stream)
            assert [one.whole for one in ends.told] == [True, True, False, True, False]
            assert [len(changed(one)) for one in ends.told] == [MANY, MANY + 1, 0, MANY, 0]
            assert len({one.chain_id for one in ends.told}) == 2
            await stream.aclose()

    run(main())


@pytest.mark.parametrize("bound", [0, MANY])
@isolated
def test_a_step_costs_what_it_changes(bound: int) -> None:
    """M9: a stream that sets one variable each step costs O(1) bytes a step, whatever is bound."""

    async def main() -> None:
        async with tapped() as ends:
            other.set("armed")
            if bound:
                bind_many()
            stream = counting(100)
            assert [await anext(stream) for _ in range(60)] == ["armed"] * 60
            assert count.get() == 59
            drives, answers = sizes(ends.drives)[1:], sizes(ends.answers)[1:]
            assert len(set(drives)) == len(set(answers)) == 1
            assert drives[0] < 60
            assert answers[0] < 120
            await stream.aclose()

    run(main())


@isolated
def test_a_step_costs_what_the_caller_changes() -> None:
    """M9: the same holds for a caller that sets one variable before each step."""

    async def main() -> None:
        async with tapped() as ends:
            bind_many()
            stream = looking(100)
            for number in range(30):
                other.set(number)
                assert await anext(stream) == number
            assert len(set(sizes(ends.drives)[1:])) == 1
            assert sizes(ends.drives)[1] < 120
            assert all(one.manifest is None for one in ends.answers)
            await stream.aclose()

    run(main())


@isolated
def test_resets_are_told_in_both_directions() -> None:
    """M9: an entry that says reset unbinds the variable on the other side, and is told once."""

    async def main() -> None:
        async with tapped() as ends:
            count.set(1)
            stream = set_and_undo()
            assert await anext(stream) == "there"
            assert other.get() == "there"
            assert await anext(stream) == "-"
            assert other.get() == "-"
            with other.set("here"):
                assert await anext(stream) == "here"
            undone = [told(changed(one.manifest)) for one in ends.answers]
            assert undone == [[("other", EntryKind.VALUE)], [("other", EntryKind.RESET)], []]
            ends.forget()
            stream = looking(3)
            token = other.set("mine")
            assert await anext(stream) == "mine"
            other.reset(token)
            assert await anext(stream) == "-"
            assert await anext(stream) == "-"
            told_here = [told(changed(one)) for one in ends.told[1:]]
            assert told_here == [[("other", EntryKind.RESET)], []]
            await stream.aclose()

    run(main())


@isolated
def test_what_is_lost_on_the_way_there_is_not_reported_back() -> None:
    """M9: a lost entry unbinds on the worker, and the caller keeps what it had."""

    async def main() -> None:
        async with tapped() as ends:
            lock = threading.Lock()
            other.set(lock)
            count.set(7)
            with pytest.warns(SerializationWarning, match="other could not be sent"):
                assert await kind_of_other() == "NoneType"
            assert other.get() is lock
            assert told(changed(ends.told[0])) == [
                ("count", EntryKind.VALUE),
                ("other", EntryKind.LOST),
            ]
            assert ends.answers[0].manifest is None

    run(main())


@isolated
def test_what_is_lost_on_the_way_back_is_not_reported_there() -> None:
    """M9: the caller keeps what it had, and the next drive does not unbind it on the worker."""

    async def main() -> None:
        async with tapped() as ends:
            other.set("mine")
            stream = hold_what_stays()
            with pytest.warns(SerializationWarning, match="other could not be sent"):
                assert await anext(stream) == ("lock", None)
            count.set(1)
            assert await anext(stream) == ("lock", 1)
            assert await anext(stream) == ("lock", 1)
            assert other.get() == "mine"
            assert [told(changed(one)) for one in ends.told[1:]] == [
                [("count", EntryKind.VALUE)],
                [],
            ]
            other.set("again")
            assert await anext(stream) == ("str", 1)
            await stream.aclose()

    run(main())


@isolated
def test_a_step_that_was_never_sent_told_nothing() -> None:
    """M9: what changed before a value that cannot be sent is told with the next step."""

    async def main() -> None:
        async with tapped():
            other.set("before")
            stream = looking(9)
            assert await anext(stream) == "before"
            other.set("after")
            with pytest.raises(SerializationError, match="the sent value"):
                await stream.asend(threading.Lock())
            assert await anext(stream) == "after"
            await stream.aclose()

    run(main())


@isolated
def test_two_streams_on_one_chain_keep_a_baseline_each() -> None:
    """M9: each sees the other's writes at its next step, as one entry, and no frame is whole."""

    async def main() -> None:
        async with tapped() as ends:
            bind_many()
            streams = [adding(9), adding(9)]
            seen = [await anext(stream) for _ in range(4) for stream in streams]
            assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
            later = ends.told[2:]
            assert not any(one.whole for one in later)
            assert [told(changed(one)) for one in later] == [[("count", EntryKind.VALUE)]] * 6
            for stream in streams:
                await stream.aclose()

    run(main())


@isolated
def test_a_call_during_a_stream_is_seen_at_its_next_step() -> None:
    """M9: a call on the same chain is a baseline of its own, and its writes reach the stream."""

    async def main() -> None:
        async with tapped() as ends:
            bind_many()
            stream = looking(4)
            await anext(stream)
            with pytest.raises(KeyError):
                await set_and_fail()
            assert await anext(stream) == "failed"
            assert told(changed(ends.told[-1])) == [("other", EntryKind.VALUE)]
            await stream.aclose()

    run(main())


@isolated
def test_an_exception_carries_the_changes() -> None:
    """M9: an exception frame tells what the routine changed, and nothing else."""

    async def main() -> None:
        async with tapped() as ends:
            bind_many()
            with pytest.raises(KeyError, match="there"):
                await set_and_fail()
            assert other.get() == "failed"
            (answer,) = ends.answers
            assert isinstance(answer, ExceptionFrame)
            assert told(changed(answer.manifest)) == [("other", EntryKind.VALUE)]

    run(main())


@isolated
def test_a_cancelled_call_mounts_its_last_frame() -> None:
    """M9: what a routine changed while it was cancelled comes as a change, and is mounted."""

    async def main() -> None:
        begun.clear()

        async def cancel(task: asyncio.Task[Any]) -> None:
            while not begun:
                await asyncio.sleep(0)
            task.cancel()

        async with tapped() as ends:
            bind_many()
            task = asyncio.current_task()
            assert task is not None
            canceller = asyncio.create_task(cancel(task))
            with pytest.raises(asyncio.CancelledError):
                await set_when_cancelled()
            task.uncancel()
            await canceller
            assert other.get() == "tidied"
            assert [var.get() for var in many] == [f"value {n} " * 10 for n in range(MANY)]
            assert told(changed(ends.answers[0].manifest)) == [("other", EntryKind.VALUE)]

    run(main())
