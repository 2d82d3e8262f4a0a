"""The client program of wool.

wool has no setting for the loop of its workers. It spawns them by `multiprocessing`, which imports
this module there as `__mp_main__` before the worker asks for its loops: that is where uvloop is
given to them, when the run asks for it.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import wool

from . import wool_routines as routines
from .client import Options, System, client
from .common import MARK


@asynccontextmanager
async def opened(options: Options) -> AsyncIterator[System]:
    """The system with its workers answering; they are gone when the block is left."""
    # All workers must be there before the first call, or one of them would carry the start alone.
    async with wool.WorkerPool(spawn=options.workers, quorum=options.workers, lazy=False):
        routines.mark.set(MARK)
        workers = {await routines.here() for _ in range(4 * options.workers)}
        yield System(routines.echo, routines.count, workers, _limits())


def _limits() -> str:
    streams = wool.ChannelOptions().max_concurrent_streams
    return f"defaults: {streams} calls at a time per worker, TCP on loopback"


def _give_uvloop() -> None:
    import uvloop

    with warnings.catch_warnings():
        # Policies are deprecated from Python 3.14 on; wool's workers know no other way.
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


if __name__ == "__mp_main__" and sys.argv[sys.argv.index("--loop") + 1] == "uvloop":
    _give_uvloop()

if __name__ == "__main__":
    raise SystemExit(client(opened))
