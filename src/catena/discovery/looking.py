"""The one source there is: it looks at a medium again and again, and hands on what has changed.

Whatever is hard about that is here and in no medium. The first set comes at once, changes that come
together make one set, a medium that fails is looked at again after pauses that grow, and meanwhile
the members that were known last stay.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from catena.discovery.medium import Medium
from catena.ids import MemberRecord
from catena.wording import reason

TOGETHER_SECONDS = 0.05
"""Changes that come within this time of each other make one new set."""

PATIENCE_SECONDS = 1.0
"""How long the first look may take before an empty set is handed on in its place."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds, of the pauses between looks at a medium that fails."""

_log = logging.getLogger("catena.discovery")


class LookingSource:
    """A ``MemberSource`` over any medium; it belongs to the event loop that first reads it.

    ``sleep`` and ``draw`` (a random number from 0 to 1) are arguments for the sake of tests.
    """

    def __init__(
        self,
        medium: Medium,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._medium = medium
        self._sleep = sleep
        self._draw = draw
        self._known: frozenset[MemberRecord] | None = None
        self._news = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._failing = False
        self._closed = False

    def __repr__(self) -> str:
        known = "nothing yet" if self._known is None else f"{len(self._known)} members"
        return f"<source of {self._medium.title}: {'closed' if self._closed else known}>"

    def members(self) -> AsyncIterator[frozenset[MemberRecord]]:
        """Return an iterator over the sets of members, now and on each change."""
        return _Iteration(self)

    async def close(self) -> None:
        """End all iterators and let go of the medium; doing it twice is fine."""
        self._closed = True
        self._announce_news()
        if self._following is not None and not self._following.done():
            self._following.cancel()
            await asyncio.wait({self._following})
        await self._medium.close()

    async def next_after(
        self, given: frozenset[MemberRecord] | None
    ) -> frozenset[MemberRecord] | None:
        """Return the members as soon as they differ from those given, None when it is closed.

        Raises what a medium raises that is no OSError: a mistake in the medium.
        """
        while not self._closed:
            news = self._news
            if self._known is not None and self._known != given:
                return self._known
            if self._following is None:
                # In an empty Context: what looks must not hold on to anybody's variables.
                self._following = asyncio.get_running_loop().create_task(
                    self._follow(), context=contextvars.Context()
                )
                self._following.add_done_callback(lambda _: self._announce_news())
            elif self._following.done():
                # By a mistake, which is raised here, or because its loop ends.
                return None if self._following.cancelled() else self._following.result()
            await news.wait()
        return None

    def _announce_news(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _publish(self, found: frozenset[MemberRecord]) -> None:
        if found != self._known:
            self._known = found
            self._announce_news()

    async def _follow(self) -> None:
        """Look for ever."""
        succeeded = await self._look_first()
        pauses = make_pauses(self._draw)
        while True:
            if succeeded:
                pauses = make_pauses(self._draw)
                await self._medium.wait()
                await self._sleep(TOGETHER_SECONDS)
            else:
                await self._sleep(next(pauses))
            succeeded = await self._look()

    async def _look_first(self) -> bool:
        """Look, but have an empty set handed on when that takes long, or fails."""
        look = asyncio.ensure_future(self._look())
        try:
            await asyncio.wait({look}, timeout=PATIENCE_SECONDS)
            if not look.done():
                self._publish(frozenset())
            succeeded = await look
        finally:
            look.cancel()
            await asyncio.wait({look})
        if self._known is None:
            self._publish(frozenset())
        return succeeded

    async def _look(self) -> bool:
        """Look once and hand on what was found; say whether that succeeded."""
        try:
            found = await self._medium.look()
        except OSError as error:
            if not self._failing:
                _log.warning(
                    "%s cannot be looked at, so the members that were known last stay; it is tried"
                    " again, with pauses of up to %.0f seconds: %s",
                    self._medium.title,
                    LONGEST_PAUSE,
                    reason(error),
                )
            self._failing = True
            return False
        if self._failing:
            _log.info("%s can be looked at again", self._medium.title)
        self._failing = False
        self._publish(found)
        return True


class _Iteration:
    """One reader of a source, and what it was given last."""

    def __init__(self, source: LookingSource) -> None:
        self._source = source
        self._given: frozenset[MemberRecord] | None = None

    def __aiter__(self) -> _Iteration:
        return self

    async def __anext__(self) -> frozenset[MemberRecord]:
        found = await self._source.next_after(self._given)
        if found is None:
            raise StopAsyncIteration
        self._given = found
        return found


def make_pauses(draw: Callable[[], float]) -> Iterator[float]:
    """Yield seconds that grow to the longest pause, each shortened at random by up to half.

    Without the randomness all that read one medium would come back to it at the same moment.
    """
    pause = SHORTEST_PAUSE
    while True:
        yield pause * (1 - draw() / 2)
        pause = min(2 * pause, LONGEST_PAUSE)
