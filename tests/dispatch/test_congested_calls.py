"""Calls that wait for a congested link hold no bytes: they are pickled when their turn comes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import catena
from catena.link import congestion
from tests.dispatch.ends import connected
from tests.support import isolated, run

HIGH_WATER = 100_000
LENGTH = 60_000
pickled: list[int] = []


class Load:
    """Many bytes; it notes when it is pickled."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        pickled.append(self.number)
        return _unpack, (self.number, b"x" * LENGTH)


def _unpack(number: int, _: bytes) -> Load:
    return Load(number)


@catena.routine
async def name_load(load: Load, after: list[int]) -> tuple[int, list[int]]:
    """Return which load has come, and what came beside it."""
    return load.number, after


@isolated
def test_calls_that_wait_are_pickled_in_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """P13, P14: no more is pickled than the link takes; changes in place meanwhile are seen."""
    monkeypatch.setattr(congestion, "HIGH_WATER", HIGH_WATER)

    async def main() -> None:
        pickled.clear()
        async with connected():
            # What the link knows of the routine is sent with the first call.
            await name_load(Load(-1), [])
            changing: list[list[int]] = [[] for _ in range(40)]
            calls = [
                asyncio.ensure_future(name_load(Load(number), changing[number]))
                for number in range(40)
            ]
            await asyncio.sleep(0)
            # Two of them fill the link; each has been pickled as soon as it was made.
            assert pickled == [-1, 0, 1]
            for values in changing:
                values.append(7)
            found = await asyncio.gather(*calls)
        assert found == [(number, [] if number < 2 else [7]) for number in range(40)]
        assert sorted(pickled) == [*range(-1, 40)]

    run(main())


@isolated
def test_a_call_that_is_cancelled_while_it_waits_is_never_pickled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """P14: what was cancelled before it started never starts, and those behind it go on."""
    monkeypatch.setattr(congestion, "HIGH_WATER", HIGH_WATER)

    async def main() -> None:
        pickled.clear()
        async with connected():
            calls = [asyncio.ensure_future(name_load(Load(number), [])) for number in range(20)]
            await asyncio.sleep(0)
            for call in calls[5:10]:
                call.cancel()
            found = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(one) for one in found[5:10]] == [asyncio.CancelledError] * 5
        assert sorted(pickled) == [*range(5), *range(10, 20)]

    run(main())
