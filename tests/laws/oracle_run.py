"""The two sides of the token oracle: the stdlib in one process, and Catena through a pool."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import catena
from tests.laws import oracle_faults
from tests.laws.oracle_cargo import Box, Errand, Failing, Note, Parcel, Side
from tests.laws.oracle_frame import Frame
from tests.laws.oracle_scripts import Body

__all__ = ["CATENA", "STDLIB", "observed"]

# In a worker alone: whoever starts it says so in its environment.
oracle_faults.plant_what_is_asked_for()


@catena.routine
async def call(name: str, errand: Errand, *tokens: Any, box: Box, **named: Any) -> Parcel:
    """Run steps; return notes and tokens."""
    frame = Frame(SIDES[name], errand.place)
    try:
        frame.begin(errand, tokens, box, named)
        await frame.alone(errand.body)
    except Failing as error:
        error.notes = frame.notes + error.notes
        raise
    return frame.parcel("result", errand.gives)


@catena.routine
async def mint(name: str, var: int, value: Any) -> Any:
    """Return the token of a set, which nobody else holds."""
    return SIDES[name].variables[var].set(value)


@catena.routine
async def stream(
    name: str, errand: Errand, *tokens: Any, box: Box, **named: Any
) -> AsyncGenerator[Parcel, Parcel | None]:
    """Run a part for each step; yield notes and tokens."""
    frame = Frame(SIDES[name], errand.place)
    try:
        frame.begin(errand, tokens, box, named)
        for part in errand.body:
            await frame.run(part)
            try:
                sent = yield frame.parcel("yield", errand.gives)
            except Failing as error:
                frame.catch(error)
            else:
                if sent is not None:
                    frame.take(sent)
    except Failing as error:
        error.notes = frame.notes + error.notes
        raise
    finally:
        await frame.run(errand.closing)
        await frame.close()


STDLIB = Side(
    tuple(
        contextvars.ContextVar(one, **more)
        for one, more in (("a", {}), ("b", {"default": "default"}), ("c", {}))
    ),
    partial(call.local, "stdlib"),
    partial(mint.local, "stdlib"),
    partial(stream.local, "stdlib"),
)
CATENA = Side(
    tuple(
        catena.ContextVar(one, namespace="tests.oracle", **more)
        for one, more in (("a", {}), ("b", {"default": "default"}), ("c", {}))
    ),
    partial(call, "catena"),
    partial(mint, "catena"),
    partial(stream, "catena"),
)
SIDES = {"stdlib": STDLIB, "catena": CATENA}


async def observed(side: Side, script: Body, seconds: float) -> list[Note]:
    """Run a script in a task and a Context of its own; return what was noted.

    Raises TimeoutError after so many seconds.
    """

    async def alone() -> list[Note]:
        frame = Frame(side, ())
        async with asyncio.timeout(seconds):
            try:
                await frame.alone(script)
            except Failing as error:
                frame.notes += error.notes
        frame.look_around(closely=True)
        return frame.notes

    return await asyncio.create_task(alone(), context=contextvars.copy_context())
