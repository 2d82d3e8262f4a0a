"""Dask: an asynchronous client of a local cluster, with one thread a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from distributed import Client, LocalCluster

from . import engine_work as work
from .client import Options
from .engines_client import Engine


@asynccontextmanager
async def opened(options: Options) -> AsyncIterator[Engine]:
    """A cluster of processes, on loopback."""
    cluster = LocalCluster(
        n_workers=options.workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        asynchronous=True,
    )
    async with cluster, Client(cluster, asynchronous=True) as client:

        async def echo(value: Any) -> Any:
            # Two calls with the same arguments are one call for Dask, unless it is told otherwise.
            return await client.submit(work.echo, value, pure=False)

        async def burn(seconds: float) -> None:
            await client.submit(work.burn, seconds, pure=False)

        answers = await client.run(work.process_id)
        workers = {(pid, "tornado") for pid in answers.values()}
        yield Engine(echo, burn, workers, "a scheduler process between; no context")
