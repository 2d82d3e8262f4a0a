"""Pools on Dask, for the tests of workers there, and what they leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import catena
from catena import engines
from tests.engines.left import Seen
from tests.engines.routines import identify
from tests.support import run

__all__ = ["SECONDS", "Work", "await_count", "client_of", "find_pids", "list_plugins", "with_pool"]

SECONDS = 60

Work = Callable[[catena.WorkerPool], Awaitable[None]]


@contextmanager
def client_of(cluster: Any) -> Iterator[Any]:
    """Yield a client that blocks."""
    from distributed import Client

    with Client(cluster) as client:
        yield client


def with_pool(cluster: Any, work: Work, count: int = 2, **options: Any) -> None:
    """Run a test with a pool on Dask; no plugin, no process and no folder may be left."""
    seen = Seen("dask")

    async def main() -> None:
        async with catena.WorkerPool(launcher=engines.Dask(cluster, count, **options)) as pool:
            seen.look()
            await work(pool)
            seen.look()

    run(main(), SECONDS)
    assert len(seen.workers) >= count
    seen.await_nothing()
    with client_of(cluster) as client:
        client.wait_for_workers(2, timeout=SECONDS)
        assert list_plugins(client) == set()


def list_plugins(client: Any) -> set[str]:
    """Return the plugins of ours that Dask workers have."""
    found: dict[str, list[str]] = client.run(lambda dask_worker: [*dask_worker.plugins])
    return {name for names in found.values() for name in names if name.startswith("catena")}


async def await_count(many: int) -> set[int]:
    """Call until so many processes answer; return them."""
    while len(pids := await find_pids()) != many:
        await asyncio.sleep(0.02)
    return pids


async def find_pids(calls: int = 8) -> set[int]:
    """Return the processes that answer some calls."""
    return set(await asyncio.gather(*(identify() for _ in range(calls))))
