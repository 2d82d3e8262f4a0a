"""Workers with slots, in one process with their callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.caller.line import line_of
from catena.dispatch.dispatcher import dispatcher
from catena.dispatch.worker.sessions import Sessions
from catena.dispatch.worker.slots import Slots
from tests.dispatch.ends import PROXY, Through
from tests.link.ends import linked, settle

__all__ = ["Pool", "pool"]


class Pool:
    """Workers in this process, and callers of each."""

    def __init__(self, slots: int, workers: int) -> None:
        self.slots = [Slots(slots) for _ in range(workers)]
        self.through = Through()
        self.links: list[Any] = []

    async def connect(self, through: Through, *, nested: bool = False) -> Through:
        """Lead a way to all workers."""
        for number, slots in enumerate(self.slots):
            near, far = await linked()
            for link, count in ((near, slots.total), (far, int(nested))):
                assert link.peer is not None
                link.peer = link.peer._replace(slots=count, peer=f"w{number}")
            caller = WorkerConnection(near, PROXY)
            sessions = Sessions(far, f"w{number}", self._find, slots=slots)
            near.start(caller)
            far.start(sessions)
            through.callers.append(caller)
            self.links += [near, far]
        return through

    def _find(self, encoded: bytes, _: bytes) -> Any:
        return self.inner if encoded else None

    async def open(self) -> None:
        """Lead a way from here, and one for the calls of the workers."""
        self.inner = await self.connect(Through(), nested=True)
        await self.connect(self.through)

    async def check_free(self, seconds: float) -> None:
        """Check that every slot is free again soon, and nobody waits."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while any(one.taken for one in self.slots):
            assert loop.time() < until, f"slots taken for good: {[one.taken for one in self.slots]}"
            await asyncio.sleep(0.002)
        assert not len(line_of(self.through))
        assert not len(line_of(self.inner))


@asynccontextmanager
async def pool(slots: int = 1, workers: int = 1, *, seconds: float = 10) -> AsyncIterator[Pool]:
    """Dispatch to workers with slots while the block runs; they are all free in the end."""
    made = Pool(slots, workers)
    await made.open()
    token = dispatcher.set(made.through)
    try:
        yield made
        await made.check_free(seconds)
    finally:
        dispatcher.reset(token)
        for link in made.links:
            await link.close()
        await settle()
