"""What Catena dispatches in the benchmark."""

from __future__ import annotations

from collections.abc import AsyncIterator

import catena

from .common import here as this_process, in_context

mark: catena.ContextVar[int] = catena.ContextVar("mark", namespace="benchmark")


@catena.routine
async def echo(value: int) -> int:
    """The value, there and back."""
    in_context(mark.get())
    return value


@catena.routine
async def count(stop: int) -> AsyncIterator[int]:
    """The numbers below `stop`, in order."""
    for value in range(stop):
        in_context(mark.get())
        yield value


@catena.routine
async def here() -> tuple[int, str]:
    """Which process answers, and on which loop."""
    in_context(mark.get())
    return this_process()
