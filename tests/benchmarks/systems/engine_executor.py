"""The standard library's ProcessPoolExecutor, awaited from the client's event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing import get_context

from . import engine_work as work
from .client import Options
from .engines_client import Engine


@asynccontextmanager
async def opened(options: Options) -> AsyncIterator[Engine]:
    """An executor whose processes are spawned, as Catena's are."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as executor:
        run = partial(loop.run_in_executor, executor)
        pids: set[int] = set()
        while len(pids) < options.workers:
            # A short job each: all processes must be there before the first call.
            burning = [run(work.burn, 0.05) for _ in range(options.workers)]
            pids |= set(await asyncio.gather(*(run(os.getpid) for _ in range(options.workers))))
            await asyncio.gather(*burning)
        yield Engine(
            partial(run, work.echo),
            partial(run, work.burn),
            {(pid, "none") for pid in pids},
            "no context, no streams, plain functions",
        )
