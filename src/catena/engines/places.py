"""Places: which of an engine's processes hold a worker, and which are free.

It is used on one event loop at a time and knows no engine. A place that is given away stays taken
until it is freed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping


class Places:
    """The places that there are, by their addresses, and who has which."""

    def __init__(self) -> None:
        self._hosts: dict[str, str] = {}
        self._taken: dict[str, str] = {}
        self._lost: set[str] = set()
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def replace(self, hosts: Mapping[str, str]) -> None:
        """State which places there are, with their hosts.

        One that was lost does not come back: whoever listed it did not know yet.
        """
        self._hosts = {
            place: host for place, host in sorted(hosts.items()) if place not in self._lost
        }
        self._signal()

    def begin_anew(self, hosts: Mapping[str, str]) -> None:
        """State which places there are now; all that there were are lost."""
        before, self._hosts = self._hosts, {}
        if before:
            self._signal()
        self._lost.clear()
        self.replace(hosts)

    def welcome(self, place: str) -> None:
        """Note that there may be a place again at an address where one was lost."""
        self._lost.discard(place)

    def lose(self, place: str) -> None:
        """State that a place is gone."""
        self._lost.add(place)
        self._hosts.pop(place, None)
        self._signal()

    def has(self, place: str) -> bool:
        """Say whether there is such a place."""
        return place in self._hosts

    def find(self, id: str) -> str | None:
        """Return the place that a worker has, None without one."""
        place = self._taken.get(id)
        return place if place in self._hosts else None

    async def take(self, id: str) -> str:
        """Give a worker a place, on the host with the fewest; waits until one is free."""
        while True:
            place = self._choose()
            if place is not None:
                self._taken[id] = place
                return place
            await self._wait()

    def free(self, id: str) -> None:
        """Take a worker's place back."""
        if self._taken.pop(id, None) is not None:
            self._signal()

    async def await_lost(self, place: str) -> None:
        """Wait until a place is gone."""
        while place in self._hosts:
            await self._wait()

    def _choose(self) -> str | None:
        taken = {*self._taken.values()}
        free = [place for place in self._hosts if place not in taken]
        used = Counter(self._hosts.get(place) for place in taken)
        return min(free, key=lambda place: used[self._hosts[place]], default=None)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Whoever waits on a loop that has ended waits for nothing more.
            self._loop, self._changed = loop, asyncio.Event()
        await self._changed.wait()

    def _signal(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
