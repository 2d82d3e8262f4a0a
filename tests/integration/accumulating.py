"""Dispatches with set, reset and fork, again and again, and that nothing is left of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable

import catena
from tests.integration import routines
from tests.integration.halves import halves

__all__ = ["ROUND", "accumulate", "prepare"]

ROUND = 8
"""How many dispatches one round makes."""

word: catena.ContextVar[str] = catena.ContextVar("word", default="")
notes: catena.ContextVar[list[int]] = catena.ContextVar("notes")


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

    Raises AssertionError when something has grown.
    """

    async def in_a_task(number: int, met: Counter[str]) -> None:
        await asyncio.create_task(one_round(number, met))

    async def begin() -> None:
        await prepare()

    met, before = halves(
        in_a_task, size=ROUND, count=count, seed=seed, prepare=begin, progress=progress
    )
    met["states named here"] = before.here[1]["SentState"]
    met["states kept there"] = before.there[1]["KeptState"]
    return met
