"""What wool dispatches in the benchmark: the same bodies as Catena's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import wool

from .common import here as this_process, in_context

mark: wool.ContextVar[int] = wool.ContextVar("mark", namespace="benchmark")


@wool.routine
async def echo(value: int) -> int:
    """The value, there and back."""
    in_context(mark.get())
    return value


@wool.routine
async def count(stop: int) -> AsyncIterator[int]:
    """The numbers below `stop`, in order."""
    for value in range(stop):
        in_context(mark.get())
        yield value


@wool.routine
async def here() -> tuple[int, str]:
    """Which process answers, and on which loop."""
    in_context(mark.get())
    return this_process()
