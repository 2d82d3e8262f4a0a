"""Watching the workers of a queue: those that cannot mount snapshots are announced.

Workers of Catena say so in their heartbeats, among the tasks that they know, by a name that is no
task. Submitters look for it now and then, beside their submissions and never during one.
"""

from __future__ import annotations

import asyncio
import contextvars
import time

from catena.background.docket_loading import Docket
from catena.background.store import reaching
from catena.errors import QueueUnreachable
from catena.events import WorkerWithoutContext
from catena.events.bus import announce

MOUNTS_SNAPSHOTS = "catena.background:mounts-snapshots"
"""By this name workers say that they mount snapshots."""

PAUSE_SECONDS = 60.0
"""How long a submitter does not look again."""


async def stand_for_marker() -> None:
    """Do nothing: this is the function that goes by the name which workers say."""


class WorkerWatch:
    """Looks at the workers of a queue on behalf of those who submit to it."""

    def __init__(self, docket: Docket) -> None:
        self._docket = docket
        self._due = 0.0
        self._looking: asyncio.Task[None] | None = None

    def look_soon(self) -> None:
        """Look at the workers in a while of this loop, unless somebody has just done so."""
        now = time.monotonic()
        if now < self._due or not WorkerWithoutContext.listeners:
            return
        self._due = now + PAUSE_SECONDS
        self._looking = asyncio.get_running_loop().create_task(
            self._look(), context=contextvars.Context()
        )

    async def find_lacking(self) -> tuple[str, ...]:
        """Return the names of the workers that do not mount snapshots, sorted.

        Raises QueueUnreachable.
        """
        async with reaching(self._docket.name, "list its workers"):
            everybody = {one.name for one in await self._docket.workers()}
            able = {one.name for one in await self._docket.task_workers(MOUNTS_SNAPSHOTS)}
        return tuple(sorted(everybody - able))

    async def stop(self) -> None:
        """Look no more."""
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _look(self) -> None:
        try:
            lacking = await self.find_lacking()
        except QueueUnreachable:
            # Whoever submits the next task hears of it; this was only a look beside it.
            self._due = 0.0
            return
        if lacking and WorkerWithoutContext.listeners:
            announce(WorkerWithoutContext(self._docket.name, lacking))
