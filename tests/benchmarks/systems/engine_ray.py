"""Ray: asynchronous actors for small calls, tasks for what keeps a processor busy."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from tempfile import TemporaryDirectory
from typing import Any

from . import engine_work as work
from .client import Options
from .engines_client import Engine

# Before Ray is imported: on this machine's loopback alone, and quiet.
os.environ |= {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
}

import ray


class Server:
    """An actor that answers many calls at a time."""

    async def echo(self, value: Any) -> Any:
        """The value, there and back."""
        return work.echo(value)

    async def here(self) -> tuple[int, str]:
        """Which process answers, and on which loop."""
        return work.here()


@asynccontextmanager
async def opened(options: Options) -> AsyncIterator[Engine]:
    """A Ray of this client alone, with as many actors, and as many processors for tasks."""
    with TemporaryDirectory(prefix="ray") as folder:
        ray.init(
            num_cpus=options.workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=folder,
        )
        try:
            server = ray.remote(num_cpus=0, max_concurrency=1000)(Server)
            actors = [server.remote() for _ in range(options.workers)]
            turns = cycle(actors)
            burn: Any = ray.remote(num_cpus=1)(work.burn)
            workers = {await actor.here.remote() for actor in actors}

            async def echo(value: Any) -> Any:
                return await next(turns).echo.remote(value)

            async def burn_for(seconds: float) -> None:
                await burn.remote(seconds)

            # Processes for tasks start at the first one.
            await asyncio.gather(*(burn_for(0.05) for _ in range(2 * options.workers)))
            yield Engine(echo, burn_for, workers, "async actors; tasks for the jobs; no context")
        finally:
            ray.shutdown()
