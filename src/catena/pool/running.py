"""What a pool has while it is open: its workers, the way to them, and what looks after both."""

from __future__ import annotations

import os
import secrets

from catena.ids import new_id
from catena.pool.arguments import Where
from catena.pool.following import Follower
from catena.pool.heartbeat import Heartbeat
from catena.pool.output import OutputRelay
from catena.pool.settings import Settings
from catena.pool.silence import SilenceKeeper
from catena.pool.upkeep import Upkeep
from catena.pool.workers import LocalWorkers, raise_failures
from catena.proxy.balance import Proxy
from catena.proxy.watch import Watch
from catena.wire.codec import MemberFacts


class RunningPool:
    """The workers of one pool from ``start`` to ``stop``, and all that is made for them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._secret = secrets.token_bytes(32)
        self.workers = LocalWorkers(
            {**settings.worker, "secret": self._secret.hex()},
            OutputRelay(prefix=settings.prefix, records=settings.forwards_records),
            start_timeout=settings.start_timeout,
            stop_timeout=settings.stop_timeout,
        )
        self.proxy: Proxy | None = None
        self.upkeep: Upkeep | None = None
        self.follower: Follower | None = None

    async def start(self, many: int, heartbeat: Heartbeat) -> Proxy:
        """Start so many workers, which each beat looks after; return the way to them.

        Raises an ExceptionGroup of WorkerStartError; ``stop`` takes away what was made until then.
        """
        settings, workers = self._settings, self.workers
        started = await workers.start(many)
        proxy = self.proxy = Proxy(
            new_id(),
            [MemberFacts(worker.id, worker.target) for worker in started],
            f"parent-{os.getpid()}",
            secret=self._secret,
            strict=settings.strict,
            watched=True,
            max_waiting=settings.max_waiting,
            trust=settings.trust,
        )
        raise_failures(await proxy.connect_all())
        settings.restarts.begin_again()
        self.upkeep = Upkeep(
            workers, proxy, settings.restarts, settings.recycling, settings.drain_timeout
        )
        keeper = SilenceKeeper(workers.find)
        watch = Watch(proxy.list_watched, keeper, settings.unresponsive_after)
        upkeep = self.upkeep
        heartbeat.on_beat = lambda: (watch.look(), upkeep.look_for_overtime())
        if settings.discovery is not None:
            await self._find_workers(settings.discovery, proxy)
        return proxy

    async def _find_workers(self, where: Where, proxy: Proxy) -> None:
        """Follow the workers that are found; wait until there are as many as were asked for."""
        from catena.discovery import source_of  # noqa: PLC0415 - only where it is asked for

        settings = self._settings
        follower = self.follower = Follower(source_of(where), proxy, settings.max_found)
        raise_failures(await follower.await_quorum(settings.quorum, settings.quorum_timeout))

    def list_found(self) -> list[str]:
        """Return the ids of the workers that were found."""
        members = [] if self.proxy is None else self.proxy.members
        return [one.worker for one in members if one.found]

    async def stop(self) -> None:
        """End the links, and then the workers."""
        try:
            if self.follower is not None:
                await self.follower.close()
            if self.upkeep is not None:
                await self.upkeep.stop()
            if self.proxy is not None:
                await self.proxy.close()
        finally:
            await self.workers.stop()
