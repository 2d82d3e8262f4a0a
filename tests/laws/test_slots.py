"""A law of slots: whatever calls do, each gets its turn, and all slots are free in the end."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from hypothesis import strategies as st

import catena
from catena.dispatch.dispatcher import dispatcher
from tests.dispatch.ends import Through
from tests.dispatch.slot_ends import pool
from tests.laws.law import Seen, law
from tests.support import run

SECONDS = 3.0
"""How long the calls of an example may take, which wait for nothing but turns of the loop."""


class Step(NamedTuple):
    """One call: made by one of two callers, so long, and cancelled after so many turns, or not."""

    other: bool
    wide: bool
    turns: int
    nested: int
    cancelled: int | None


@catena.routine(slots=1)
async def narrow(turns: int, nested: int) -> int:
    """Take one slot for some turns of the loop, and make calls that need one."""
    return await _work(turns, nested)


@catena.routine(slots=2)
async def wide(turns: int, nested: int) -> int:
    """Take two slots."""
    return await _work(turns, nested)


async def _work(turns: int, nested: int) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    return 1 + (await narrow(turns, nested - 1) if nested else 0)


steps = st.lists(
    st.builds(
        Step,
        st.booleans(),
        st.booleans(),
        st.integers(0, 6),
        st.integers(0, 2),
        st.none() | st.integers(0, 40),
    ),
    min_size=1,
    max_size=10,
)


@law(
    steps,
    st.integers(2, 3),
    st.integers(1, 2),
    examples=60,
    floors={"cancelled": 20, "returned": 60, "wide": 40, "nested": 40, "of another caller": 40},
)
def test_every_call_gets_its_turn(seen: Seen, script: list[Step], slots: int, workers: int) -> None:
    """P13: no call waits for ever, no slot is lost, nobody is left in a line."""
    run(_play(seen, script, slots, workers))


async def _play(seen: Seen, script: list[Step], slots: int, workers: int) -> None:
    async with pool(slots, workers, seconds=SECONDS) as made:
        other = await made.connect(Through())
        calls = [asyncio.ensure_future(_make(step, other)) for step in script]
        done, left = await asyncio.wait(calls, timeout=SECONDS)
        for call in left:
            call.cancel()
        assert not left, f"{len(left)} calls wait for ever"
        for step, call in zip(script, calls, strict=True):
            seen["wide"] += step.wide
            seen["nested"] += step.nested > 0
            seen["of another caller"] += step.other
            seen["cancelled" if call.cancelled() else "returned"] += 1
            assert call.cancelled() or call.result() == 1 + step.nested
        assert len(done) == len(script)


async def _make(step: Step, other: Through) -> int:
    if step.other:
        dispatcher.set(other)
    routine = wide if step.wide else narrow
    call = asyncio.ensure_future(routine(step.turns, step.nested))
    if step.cancelled is not None:
        for _ in range(step.cancelled):
            await asyncio.sleep(0)
        call.cancel()
    return await call
