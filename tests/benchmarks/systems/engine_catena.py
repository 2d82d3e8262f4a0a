"""Catena among the engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import catena

from . import engine_work as work
from .client import Options
from .engines_client import Engine


@catena.routine
async def echo(value: Any) -> Any:
    """The value, there and back."""
    return work.echo(value)


@catena.routine
def burn(seconds: float) -> None:
    """Keep a processor busy."""
    work.burn(seconds)


@catena.routine
async def here() -> tuple[int, str]:
    """Which process answers, and on which loop."""
    return work.here()


@asynccontextmanager
async def opened(options: Options) -> AsyncIterator[Engine]:
    """A pool."""
    async with catena.WorkerPool(options.workers):
        workers = {await here() for _ in range(4 * options.workers)}
        yield Engine(echo, burn, workers, "context both ways")
