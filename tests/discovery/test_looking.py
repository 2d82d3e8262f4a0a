"""A source over any medium: the first set at once, then changes only, and no end by itself."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from itertools import islice
from typing import Any

import pytest

from catena.discovery import looking
from catena.discovery.looking import (
    LONGEST_PAUSE,
    TOGETHER_SECONDS,
    LookingSource,
    make_pauses,
)
from tests.discovery.reading import (
    NOBODY,
    Clock,
    Script,
    logged,
    members,
    read_until,
    settle,
)
from tests.support import run


def test_the_first_set_comes_at_once_and_then_only_changes() -> None:
    """A reader gets what there is, even nobody, and the next set only when it differs."""

    async def scenario() -> None:
        medium = Script()
        source = LookingSource(medium, sleep=Clock().sleep)
        found = source.members()
        assert await anext(found) == NOBODY

        waiting = asyncio.ensure_future(anext(found))
        for now in (NOBODY, frozenset(), members(1)):
            medium.change(now)
            await settle()
        assert await waiting == members(1)
        assert medium.looks == 4
        await source.close()

    run(scenario())


def test_ten_joins_make_one_set() -> None:
    """What comes while a change settles belongs to the same set."""

    async def scenario() -> None:
        medium = Script()

        def join_nine(seconds: float) -> None:
            assert seconds == TOGETHER_SECONDS
            medium.change(members(*range(10)))

        source = LookingSource(medium, sleep=Clock(join_nine).sleep)
        found = source.members()
        assert await anext(found) == NOBODY
        medium.change(members(0))
        assert await anext(found) == members(*range(10))
        await source.close()

    run(scenario())


def test_what_was_undone_before_it_was_read_is_no_change() -> None:
    """A slow reader gets the newest set, and none that is the one it has."""

    async def scenario() -> None:
        medium = Script(members(1))
        source = LookingSource(medium, sleep=Clock().sleep)
        found = source.members()
        assert await anext(found) == members(1)
        for now in (members(1, 2), members(1)):
            medium.change(now)
            await settle()
        waiting = asyncio.ensure_future(anext(found))
        await settle()
        assert not waiting.done()
        for now in (members(2), members(3)):
            medium.change(now)
        assert await waiting == members(3)
        await source.close()

    run(scenario())


@pytest.mark.parametrize("error", [ConnectionError("broken"), TimeoutError("late")])
def test_a_medium_that_fails_leaves_the_members(error: OSError) -> None:
    """The members known last stay, one warning says so, and pauses grow to their limit."""

    async def scenario() -> None:
        medium, clock = Script(members(1)), Clock()
        source = LookingSource(medium, sleep=clock.sleep, draw=lambda: 0.0)
        found = source.members()
        assert await anext(found) == members(1)
        waiting = asyncio.ensure_future(anext(found))
        with logged() as said:
            medium.change(error)
            while len(clock.slept) < 10:
                await settle()
            assert not waiting.done()
            medium.change(members(2))
            assert await waiting == members(2)
        assert clock.slept[:9] == [TOGETHER_SECONDS, 0.5, 1, 2, 4, 8, 16, 30, 30]
        failed, again = said
        assert failed.startswith("the script cannot be looked at, so the members that were known")
        assert failed.endswith(f"{type(error).__name__}: {error}")
        assert again == "the script can be looked at again"

        medium.change(error)
        before = len(clock.slept)
        while len(clock.slept) < before + 2:
            await settle()
        assert clock.slept[before : before + 2] == [TOGETHER_SECONDS, 0.5]
        await source.close()

    run(scenario())


def test_a_medium_that_fails_from_the_start_has_nobody() -> None:
    """The first set is empty then, and it is tried again."""

    async def scenario() -> None:
        medium = Script(FileNotFoundError("gone"))
        source = LookingSource(medium, sleep=Clock().sleep)
        found = source.members()
        assert await anext(found) == NOBODY
        medium.now = members(1)
        assert await anext(found) == members(1)
        await source.close()

    run(scenario())


def test_pauses_grow_and_are_shortened_at_random() -> None:
    """Each pause is between half of its step and the whole."""
    assert [*islice(make_pauses(lambda: 1.0), 8)] == [0.25, 0.5, 1, 2, 4, 8, 15, 15]
    assert max(islice(make_pauses(lambda: 0.0), 20)) == LONGEST_PAUSE


def test_a_slow_first_look_gives_nobody_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first set is not waited for: what the look finds in the end comes as a change."""
    monkeypatch.setattr(looking, "PATIENCE_SECONDS", 0.0)

    async def scenario() -> None:
        medium = Script(members(1))
        medium.gate.clear()
        source = LookingSource(medium, sleep=Clock().sleep)
        found = source.members()
        assert await anext(found) == NOBODY
        medium.gate.set()
        assert await anext(found) == members(1)
        await source.close()

    run(scenario())


def test_a_mistake_in_a_medium_is_raised_to_its_readers() -> None:
    """What is no trouble of the medium is not tried again, and not lost."""

    async def scenario() -> None:
        medium = Script(members(1))
        source = LookingSource(medium, sleep=Clock().sleep)
        found = source.members()
        await anext(found)
        medium.change(ZeroDivisionError("a mistake"))
        for _ in range(2):
            with pytest.raises(ZeroDivisionError, match="a mistake"):
                await anext(found)
        await source.close()

    run(scenario())


def test_cancelling_a_reader_loses_nothing() -> None:
    """Who waits for the next set may stop waiting at any await, and get it later."""

    async def scenario() -> None:
        medium = Script(members(1))
        source = LookingSource(medium, sleep=Clock().sleep)
        found = source.members()
        for turns in range(12):
            await _cancel_after(turns, anext(found))
        medium.change(members(2))
        came = await read_until(found, members(2))
        assert came[-1] == members(2)
        await source.close()

    run(scenario())


async def _cancel_after(turns: int, waiting: Any) -> None:
    task = asyncio.ensure_future(waiting)
    await settle(turns)
    task.cancel()
    await asyncio.wait({task})


def test_several_readers_have_one_look() -> None:
    """Each has an iterator of its own, and the medium is looked at for all of them."""

    async def scenario() -> None:
        medium = Script(members(1))
        source = LookingSource(medium, sleep=Clock().sleep)
        first, second = source.members(), source.members()
        assert [await anext(first), await anext(second)] == [members(1)] * 2
        medium.change(members(2))
        assert await asyncio.gather(anext(first), anext(second)) == [members(2)] * 2
        assert medium.looks == 2
        assert "1 members" in repr(source)
        await source.close()
        assert "closed" in repr(source)

    run(scenario())


def test_closing_ends_all_readers_whatever_the_medium_does() -> None:
    """Readers that wait end, also when a look hangs; closing twice and reading after is fine."""

    async def scenario() -> None:
        medium = Script(members(1))
        source = LookingSource(medium, sleep=Clock().sleep)
        found = source.members()
        await anext(found)
        medium.gate.clear()
        medium.change(members(2))
        waiting = asyncio.ensure_future(anext(found))
        await settle()
        await source.close()
        for reader in (waiting, anext(found), anext(source.members())):
            with pytest.raises(StopAsyncIteration):
                await reader
        await source.close()
        assert medium.closed == 2

    run(scenario())


def test_closing_an_unread_source_opens_nothing() -> None:
    """A source that nobody has read looks at nothing."""

    async def scenario() -> None:
        medium = Script()
        await LookingSource(medium).close()
        assert medium.looks == 0

    run(scenario())


def test_a_loop_that_ends_is_not_held_up() -> None:
    """A source that was never closed ends with its loop, and its reader with it."""
    medium = Script(members(1))

    async def read(found: Any) -> None:
        async for _ in found:
            pass

    async def scenario() -> None:
        found = LookingSource(medium).members()
        await anext(found)
        waiting = asyncio.ensure_future(read(found))
        await settle()
        assert not waiting.done()

    run(scenario())
    assert medium.looks == 1


def test_what_looks_has_no_variables_of_its_reader() -> None:
    """The task that looks lives as long as the source: it must not keep a reader's Context."""
    seen: list[str] = []
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="nothing")

    class Looking(Script):
        async def look(self) -> Any:
            seen.append(mine.get())
            return await super().look()

    def scenario() -> Coroutine[Any, Any, None]:
        async def main() -> None:
            mine.set("a secret")
            source = LookingSource(Looking(members(1)))
            await anext(source.members())
            await source.close()

        return main()

    run(scenario())
    assert seen == ["nothing"]
