"""Dispatches again and again, and what is left of them on both sides, counted half-way and after.

One round is always the same dispatches, so that after a whole number of rounds there must be
exactly as many live objects as before. What a link remembers is full after the warm-up.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import catena
from catena.context.binding import Binding
from catena.context.chain import Chain, State
from catena.context.home import Home, Pin
from catena.context.ledger import CallLedger, Ledger, tokens
from catena.context.var import Token
from catena.dispatch.caller.call import Call
from catena.dispatch.worker.session import Session
from catena.transfer.states.kept import KeptState
from catena.transfer.states.sent import STATES, SentState
from tests.integration import routines
from tests.integration.pools import pooled

__all__ = ["TOLERANCE", "WARM_UP", "Left", "Round", "counted", "halves", "settled", "unchanged"]

KINDS = (
    *(Chain, Token, State, Binding, Home, Pin, SentState, KeptState, Call, Session),
    *(Ledger, CallLedger),
)

WARM_UP = 2 * STATES
"""Rounds until the tables of a link are full on both sides: each names at least one state."""

TOLERANCE = 4 << 20
"""By how many bytes memory may differ between the end of the first half and of the second."""

Round = Callable[[int, Counter[str]], Awaitable[None]]
"""Makes the dispatches of a round, given its number, and notes what was met."""


class Left(NamedTuple):
    """What is there at one moment, here and on the worker."""

    here: tuple[Any, ...]
    there: tuple[Any, ...]
    memory: tuple[int, int]


def census() -> tuple[Any, ...]:
    """Return the counts of this process: the statistics, live objects by kind, ids in ledgers."""
    gc.collect()
    objects = gc.get_objects()
    found: Counter[type] = Counter(map(type, objects))
    kinds = {kind.__name__: found[kind] for kind in KINDS}
    ledgers = [one for one in objects if type(one) is Ledger]
    ids = sum(
        len(getattr(one, name))
        for one in ledgers
        for name in ("live", "crossing", "fresh", "spent")
    )
    return catena.statistics(), kinds, {"ids in ledgers": ids, "crossed tokens": len(tokens)}


@catena.routine
async def census_there() -> tuple[Any, ...]:
    """Return the counts of the worker."""
    return census()


async def settled() -> None:
    """Let the link's tasks have their turn: a call's last objects go with that."""
    await asyncio.sleep(0.05)


async def counted(outside: contextvars.Context) -> Left:
    """Count on both sides, in a Context without a chain."""

    async def count() -> Left:
        here, there = census(), await census_there()
        if sys.platform != "linux":
            return Left(here, there, (0, 0))
        return Left(here, there, (routines.resident_here(), await routines.resident()))

    await settled()
    return await asyncio.create_task(count(), context=outside.copy())


def unchanged(before: Left, after: Left) -> None:
    """Assert that there is as much of everything as before, on both sides."""
    assert after.here == before.here, f"here: {before.here} has become {after.here}"
    assert after.there == before.there, f"there: {before.there} has become {after.there}"


def no_growth(early: Left, late: Left, met: Counter[str], *, counts: bool) -> None:
    """Note by how many KiB memory differs; where it ``counts``, assert that it does not grow."""
    for side, before, after in zip(("here", "there"), early.memory, late.memory, strict=True):
        met[f"KiB more {side}"] = (after - before) >> 10
        assert not counts or after - before <= TOLERANCE, f"{after - before} bytes more {side}"


def halves(
    one_round: Round,
    *,
    size: int,
    count: int,
    seed: int,
    prepare: Callable[[], Awaitable[None]],
    progress: Callable[[int], None] | None = None,
) -> tuple[Counter[str], Left]:
    """Make so many dispatches after the warm-up, ``size`` in each round.

    Returns what the rounds met, and by how many KiB memory has grown; and what was there before.
    Raises AssertionError when a count of live objects has changed, and in a run of 10,000 or more
    when memory has by more than ``TOLERANCE`` in the second half.
    """
    met: Counter[str] = Counter()
    half = max(1, count // size // 2)

    async def rounds(begin: int, many: int) -> None:
        for number in range(begin, begin + many):
            await one_round(number, met)
            if progress is not None:
                progress(met["dispatches"])

    async def work(_: catena.WorkerPool) -> Left:
        outside = contextvars.copy_context()
        await prepare()
        await rounds(seed, WARM_UP)
        met.clear()
        left = [await counted(outside)]
        for part in range(2):
            await rounds(seed + WARM_UP + part * half, half)
            left.append(await counted(outside))
        unchanged(left[0], left[1])
        unchanged(left[0], left[2])
        no_growth(left[1], left[2], met, counts=count >= 10_000)
        return left[0]

    before = pooled(work, spawn=1, seconds=60 + (count + WARM_UP * size) / 50)
    return met, before
