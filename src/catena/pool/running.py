"""What a pool has while it is open: its workers, the way to them, and what looks after both."""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import AsyncExitStack

from catena.errors import WorkerStartError
from catena.ids import MemberRecord, new_id
from catena.members import Launcher, MemberSource
from catena.pool.following import Follower, Followers
from catena.pool.heartbeat import Heartbeat
from catena.pool.output import OutputRelay
from catena.pool.pool_record import PoolRecord
from catena.pool.record_folder import read_pools
from catena.pool.settings import Settings
from catena.pool.silence import SilenceKeeper
from catena.pool.upkeep import Upkeep
from catena.pool.workers import LocalWorkers, raise_failures
from catena.proxy.balance import Proxy
from catena.proxy.watch import Watch
from catena.wire.codec import MemberFacts

_CLOSING_SECONDS = 60.0
"""How long a source of workers may take to close: a launcher ends its workers then."""


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
        self.followers: Followers | None = None
        self._launched: Follower | None = None
        self._record: PoolRecord | None = None
        # What is followed, to be closed at the end.
        self._sources: list[MemberSource] = []

    async def start(self, many: int, heartbeat: Heartbeat) -> Proxy:
        """Start so many workers, which each beat looks after; return the way to them.

        Raises an ExceptionGroup of WorkerStartError; ``stop`` takes away what was made until then.
        """
        settings, workers = self._settings, self.workers
        if settings.launcher is not None:
            self._sources.append(settings.launcher)
            await self._launch(settings.launcher, settings.launcher.count)
        trust = settings.find_trust()
        workers.give_trust(trust)
        started = await workers.start(many)
        proxy = self.proxy = Proxy(
            new_id(),
            [MemberFacts(worker.id, worker.target) for worker in started],
            f"parent-{os.getpid()}",
            secret=self._secret,
            strict=settings.strict,
            watched=True,
            max_waiting=settings.max_waiting,
            trust=trust,
        )
        raise_failures(await proxy.connect_all())
        settings.restarts.begin_again()
        self.upkeep = Upkeep(
            workers, proxy, settings.restarts, settings.recycling, settings.drain_timeout
        )
        record = await self._begin_beating(heartbeat, proxy, self.upkeep)
        await self._follow_others(proxy)
        record.look()
        return proxy

    async def _begin_beating(
        self, heartbeat: Heartbeat, proxy: Proxy, upkeep: Upkeep
    ) -> PoolRecord:
        """Have each beat look after the workers, and keep the record of the pool true."""
        keeper = SilenceKeeper(self.workers.find)
        watch = Watch(proxy.list_watched, keeper, self._settings.unresponsive_after)
        # Reading them removes those of processes that are dead.
        await asyncio.to_thread(read_pools)
        record = self._record = PoolRecord(proxy, self._list_unreached)
        heartbeat.on_beat = lambda: (watch.look(), upkeep.look_for_overtime(), record.look())
        return record

    def _list_unreached(self) -> list[tuple[MemberRecord, str]]:
        return [] if self.followers is None else self.followers.list_unreached()

    async def _launch(self, launcher: Launcher, many: int) -> None:
        """Have so many workers launched. Raises what the launcher does, and WorkerStartError."""
        seconds = self._settings.quorum_timeout
        try:
            async with asyncio.timeout(seconds):
                await launcher.launch(many)
        except TimeoutError:
            cause = f"the launcher did not take on {many} workers within {seconds:g} s"
            raise_failures([WorkerStartError(worker="any", cause=cause)])

    async def _follow_others(self, proxy: Proxy) -> None:
        """Follow the workers that others start; wait until there are as many as were asked for."""
        settings, followers = self._settings, Followers(proxy)
        self.followers, quorum = followers, 0
        if settings.launcher is not None:
            self._launched = followers.follow(settings.launcher, launched=True)
            quorum += settings.launcher.count
        if settings.discovery is not None:
            from catena.discovery import source_of  # noqa: PLC0415 - only where it is asked for

            source = source_of(settings.discovery)
            self._sources.append(source)
            followers.follow(source, settings.max_found)
            quorum += 1
        wanted = quorum if settings.quorum is None else settings.quorum
        await followers.await_members(wanted, settings.quorum_timeout)

    @property
    def has_launcher(self) -> bool:
        """Whether workers are launched for it."""
        return self._launched is not None

    async def launch(self, many: int) -> None:
        """Have so many launched workers, and wait until they are there.

        Raises what the launcher does, and an ExceptionGroup of WorkerStartError.
        """
        launcher, followers = self._settings.launcher, self.followers
        if launcher is not None and followers is not None:
            await self._launch(launcher, many)
            await followers.await_members(many, self._settings.quorum_timeout, self._launched)

    def list_found(self) -> list[str]:
        """Return the ids of the workers that were found."""
        members = [] if self.proxy is None else self.proxy.members
        return [one.worker for one in members if one.found]

    async def stop(self) -> None:
        """End the links, and then the workers."""
        async with AsyncExitStack() as stack:
            # From the last to the first.
            stack.push_async_callback(self.workers.stop)
            for source in self._sources:
                stack.push_async_callback(_close_source, source)
            if self.proxy is not None:
                stack.push_async_callback(self.proxy.close)
            if self.upkeep is not None:
                stack.push_async_callback(self.upkeep.stop)
            if self.followers is not None:
                stack.push_async_callback(self.followers.stop)
            stack.callback(self.remove_record)

    def remove_record(self) -> None:
        """Take away the record by which commands find the pool."""
        if self._record is not None:
            self._record.remove()

    def stop_blocking(self) -> None:
        """End the workers where the pool's event loop has ended: this blocks the thread."""
        self.remove_record()
        try:
            if self._launched is not None and self._settings.launcher is not None:
                asyncio.run(_close_source(self._settings.launcher))
        finally:
            self.workers.stop_blocking()


async def _close_source(source: MemberSource) -> None:
    """Let go of what was followed; workers that were launched end. Raises TimeoutError."""
    async with asyncio.timeout(_CLOSING_SECONDS):
        await source.close()
