"""The client program of Catena."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import catena

from . import catena_routines as routines
from .client import Options, System, client
from .common import MARK

# "default" leaves a pool as a user finds it.
WORKER_LOOPS = {"default": "auto"}


@asynccontextmanager
async def opened(options: Options) -> AsyncIterator[System]:
    """The system with its workers answering; they are gone when the block is left."""
    loop = WORKER_LOOPS.get(options.loop, options.loop)
    async with catena.WorkerPool(spawn=options.workers, loop=loop):
        routines.mark.set(MARK)
        workers = {await routines.here() for _ in range(4 * options.workers)}
        yield System(routines.echo, routines.count, workers, "defaults")


if __name__ == "__main__":
    raise SystemExit(client(opened))
