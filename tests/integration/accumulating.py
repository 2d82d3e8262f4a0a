"""Dispatches with set, reset and fork, again and again, and what is left of them on both sides.

One round is always the same dispatches, so that after a whole number of rounds there must be
exactly as many live objects as before. What a link remembers is full after the warm-up.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple

import catena
from catena.context.carried import CARRIED_STATES, Known
from catena.context.chain import Binding, Chain, State
from catena.context.current import Home, Pin
from catena.context.mount import Prepared
from catena.context.token import Token
from catena.dispatch.caller import Call
from catena.dispatch.session import Session
from tests.integration import routines
from tests.integration.pools import pooled

__all__ = ["ROUND", "TOLERANCE", "accumulate", "prepare"]

KINDS = (Chain, Token, State, Binding, Home, Pin, Known, Prepared, Call, Session)
ROUND = 8
"""How many dispatches one round makes."""

WARM_UP = CARRIED_STATES
"""Rounds until the tables of a link are full on both sides: each names at least two states."""

TOLERANCE = 4 << 20
"""By how many bytes memory may differ between the end of the first half and of the second."""

word: catena.ContextVar[str] = catena.ContextVar("word", default="")
notes: catena.ContextVar[list[int]] = catena.ContextVar("notes")


class Left(NamedTuple):
    """What is there at one moment, here and on the worker."""

    here: tuple[Any, ...]
    there: tuple[Any, ...]
    memory: tuple[int, int]


def census() -> tuple[Any, ...]:
    """Return the counts of this process: the statistics, and live objects by kind."""
    gc.collect()
    found: Counter[type] = Counter(map(type, gc.get_objects()))
    return catena.statistics(), {kind.__name__: found[kind] for kind in KINDS}


@catena.routine
async def census_there() -> tuple[Any, ...]:
    """Return the counts of the worker."""
    return census()


@catena.routine
async def write(text: str) -> int:
    """Set, reset, set for good, change in place."""
    token = word.set("for a moment")
    word.reset(token)
    word.set(text)
    found = notes.get([])
    if found:
        found[0] += 1
    return len(found)


@catena.routine
async def fork(text: str) -> str:
    """Let a task of its own set."""

    async def child() -> str:
        word.set(text)
        return word.get()

    return await asyncio.create_task(child())


@catena.routine
async def step() -> AsyncGenerator[str, None]:
    """Set before a yield and reset after it."""
    token = word.set("in a step")
    yield word.get()
    word.reset(token)


async def prepare() -> None:
    """Run in the pool before anything else; planted faults stand in its place."""


async def one_round(number: int, met: Counter[str]) -> None:
    """Make the dispatches of one round on a chain of its own."""

    async def forked() -> None:
        word.set(f"child {number}")
        await write(f"of the child {number}")

    token = word.set(f"{number}")
    notes.set([number])
    await write(f"{number}")
    await write(f"{number} again")
    word.reset(token)
    assert await write("after the reset") == 1
    await fork(f"{number}")
    async for _ in step():
        notes.set([number, number])
    await asyncio.gather(asyncio.create_task(forked()), asyncio.create_task(forked()))
    await routines.look()
    met.update(dispatches=ROUND, sets=4, resets=1, forks=2)


def accumulate(
    count: int, seed: int, progress: Callable[[int], None] | None = None
) -> Counter[str]:
    """Make so many dispatches after the warm-up; return what was met, memory in KiB included.

    Raises AssertionError when a count of live objects has changed, and in a run of 10,000 or more
    when memory has by more than ``TOLERANCE`` in the second half.
    """
    met: Counter[str] = Counter()
    half = max(1, count // ROUND // 2)

    async def rounds(begin: int, many: int) -> None:
        for number in range(begin, begin + many):
            await asyncio.create_task(one_round(number, met))
            if progress is not None:
                progress(met["dispatches"])

    async def work(_: catena.WorkerPool) -> None:
        outside = contextvars.copy_context()
        await prepare()
        await rounds(seed, WARM_UP)
        met.clear()
        left = [await _left(outside)]
        for part in range(2):
            await rounds(seed + WARM_UP + part * half, half)
            left.append(await _left(outside))
        met["states named here"] = left[0].here[1]["Known"]
        met["states kept there"] = left[0].there[1]["Prepared"]
        _same(left[0], left[1])
        _same(left[0], left[2])
        for side, early, late in zip(
            ("here", "there"), left[1].memory, left[2].memory, strict=True
        ):
            met[f"KiB more {side}"] = (late - early) >> 10
            if count >= 10_000:
                assert late - early <= TOLERANCE, f"{late - early} bytes more {side}"

    pooled(work, spawn=1, seconds=60 + (count + WARM_UP * ROUND) / 50)
    return met


async def _left(outside: contextvars.Context) -> Left:
    """Count on both sides, in a Context without a chain."""

    async def count() -> Left:
        here, there = census(), await census_there()
        if sys.platform != "linux":
            return Left(here, there, (0, 0))
        return Left(here, there, (routines.resident_here(), await routines.resident()))

    # A call's last objects go when the link's tasks have had their turn.
    await asyncio.sleep(0.05)
    return await asyncio.create_task(count(), context=outside.copy())


def _same(before: Left, after: Left) -> None:
    assert after.here == before.here, f"here: {before.here} has become {after.here}"
    assert after.there == before.there, f"there: {before.there} has become {after.there}"
