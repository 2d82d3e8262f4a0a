"""Routes: how a task's nested calls reach the pool of its submitter, found again by its worker.

What is stored is how the pool is found, never a connection, nor the address of a worker that may be
gone when the task runs. The worker opens such a pool once, when the first call needs it, and all
tasks with the same route share it. A task holds a lease from its first call until it is unmounted;
a pool that nobody leases is closed when many others are needed, or when the worker ends.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Mapping
from typing import Any

from catena.background.mounting import current_task
from catena.dispatch.dispatcher import Dispatcher
from catena.dispatch.open_pools import find_route
from catena.errors import NoPool
from catena.events import Lease, announced
from catena.ids import new_id
from catena.pool.pool import WorkerPool
from catena.security.credentials import Credentials
from catena.tags import Tags
from catena.wording import reason

POOLS_MOST = 16
"""How many pools are open at most, as long as not more of them are leased."""


def describe_route() -> Mapping[str, Any]:
    """Return how the pool is found that calls go to here, as JSON has it; empty where it cannot be.

    A task that submits another one hands on the route that it came with.
    """
    found = find_route()
    task = current_task()
    if found or task is None or task.snapshot is None:
        return found
    return task.snapshot.route


class RoutedPool:
    """One pool that tasks of this worker reach, and how many of them lease it."""

    def __init__(self, route: Mapping[str, Any]) -> None:
        self.leases = 0
        self._route = route
        self._pool: WorkerPool | None = None
        self._opening: asyncio.Task[WorkerPool] | None = None

    @property
    def way(self) -> Dispatcher | None:
        """The way to its workers, None before they are reached."""
        return None if self._pool is None else self._pool.way

    async def open(self, routine: str) -> Dispatcher:
        """Open it, once for all who ask at the same time. Raises NoPool."""
        if self._opening is None:
            # In an empty Context: a pool must not hold on to the variables of the task.
            self._opening = asyncio.get_running_loop().create_task(
                self._open(), context=contextvars.Context()
            )
        opening = self._opening
        try:
            pool = await asyncio.shield(opening)
        except Exception as error:
            if self._opening is opening:
                self._opening = None
            where = self._route.get("discovery", "nowhere")
            why = f"the pool of the task's submitter is not found at {where}: {reason(error)}"
            raise announced(NoPool(routine=routine, reason=why)) from error
        self._pool = pool
        return pool.dispatcher

    async def _open(self) -> WorkerPool:
        asked = dict(self._route)
        pool = WorkerPool(
            discovery=str(asked["discovery"]),
            credentials=asked.get("credentials"),
            name=str(asked.get("name", "")),
            insecure=bool(asked.get("insecure")),
        )
        return await pool.open()

    async def close(self) -> None:
        """Close it, also while it opens."""
        opening, self._opening = self._opening, None
        if opening is not None:
            if not opening.done():
                opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()


class RouteTable:
    """The pools of one worker, by their routes; the one that was asked for last stands last."""

    def __init__(self) -> None:
        self._pools: dict[str, RoutedPool] = {}

    def find(self, route: Mapping[str, Any]) -> RoutedPool:
        """Return the pool at the end of a route, which need not be open."""
        name = json.dumps(dict(route), sort_keys=True)
        pool = self._pools[name] = self._pools.pop(name, None) or RoutedPool(route)
        return pool

    async def close_surplus(self) -> None:
        """Close the pools that were not asked for lately and that nobody leases, if too many."""
        for name, pool in list(self._pools.items()):
            if len(self._pools) <= POOLS_MOST:
                return
            if not pool.leases and self._pools.pop(name, None) is not None:
                await pool.close()

    async def close(self) -> None:
        """Close every pool."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.close()


class RouteLease:
    """What one task has of a pool: nothing before its first call, a lease from then on."""

    def __init__(self, table: RouteTable, route: Mapping[str, Any]) -> None:
        self._table = table
        self._route = route
        self._pool: RoutedPool | None = None
        self._observed: Lease | None = None

    @property
    def way(self) -> Dispatcher | None:
        """The way to the pool, None before the first call of this task."""
        return None if self._pool is None else self._pool.way

    async def take(self, routine: str) -> Dispatcher:
        """Hold the lease from now on, and return the way to the pool. Raises NoPool."""
        pool = self._pool
        if pool is None:
            pool = self._pool = self._table.find(self._route)
            pool.leases += 1
            self._announce(is_cached=pool.way is not None)
            await self._table.close_surplus()
        return await pool.open(routine)

    def release(self) -> None:
        """Hold it no more; later calls do nothing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.leases -= 1
        if self._observed is not None:
            self._observed.end()

    def _announce(self, *, is_cached: bool) -> None:
        task = current_task()
        if task is not None and Lease.observers:
            chain = b"" if task.snapshot is None else task.snapshot.chain_id
            self._observed = Lease(
                *(new_id(), b"", "snapshot", is_cached, 0, chain), routine=task.function
            )
            self._observed.begin()


class RoutedWay:
    """A dispatcher to the pool of a task's submitter, which is looked for by the first call."""

    max_waiting: int | None = None

    def __init__(
        self,
        lease: RouteLease,
        loop: asyncio.AbstractEventLoop,
        credentials: Credentials | None = None,
        tags: Tags | None = None,
    ) -> None:
        self.loop = loop
        self._lease = lease
        self._credentials = credentials
        self._tags = tags

    def check_process(self, routine: str) -> None:
        """Do nothing: a pool that is not open yet belongs to this process."""

    def under(self, credentials: Credentials, /) -> RoutedWay:
        """Return the way to the same workers under these credentials."""
        return RoutedWay(self._lease, self.loop, credentials, self._tags)

    def fitting(self, tags: Tags, /) -> RoutedWay:
        """Return the way to those of the workers that have all these tags."""
        return RoutedWay(self._lease, self.loop, self._credentials, tags)

    def pick_connection(self) -> Any:
        """Return the connection to use for the next call, None when there is none yet."""
        way = self._lease.way
        return None if way is None else self._narrow(way).pick_connection()

    async def reach_worker(self, routine: str) -> Any:
        """Find the pool if need be, and connect to a worker. Raises NoPool, WorkerLost."""
        return await self._narrow(await self._lease.take(routine)).reach_worker(routine)

    async def reach_all(self, routine: str) -> list[Any]:
        """Find the pool if need be, and connect to its workers. Raises NoPool, WorkerLost."""
        return await self._narrow(await self._lease.take(routine)).reach_all(routine)

    def _narrow(self, way: Dispatcher) -> Dispatcher:
        if self._credentials is not None:
            way = way.under(self._credentials)
        return way if self._tags is None else way.fitting(self._tags)
