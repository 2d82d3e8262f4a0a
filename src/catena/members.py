"""The ports by which a pool gets workers that it does not start itself.

A ``MemberSource`` finds workers that are there; a ``Launcher`` also has them started, by an engine
that places and supervises them. What either says is a hint: the pool makes a member of a record
when the link to it has shown that the right worker is there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from catena.ids import MemberRecord


class MemberSource(Protocol):
    """Finds workers: yields all that are known now, and all again on each change.

    It is a hint, never an authority: a record may be late, wrong or a lie, and a worker may be
    there without one. What is true the link to a worker shows.
    """

    def members(self) -> AsyncIterator[frozenset[MemberRecord]]:
        """Return an iterator over the sets of members.

        The first set comes at once and may be empty, each later one differs from that before. It
        ends when the source is closed, and never by itself. Cancelling what waits for the next set
        loses nothing. Several may read one source, each with an iterator of its own.
        """
        ...

    async def close(self) -> None:
        """End all iterators and let go of what it reads from; doing it twice is fine."""
        ...


class Launcher(MemberSource, Protocol):
    """Has workers started, and yields those that there are; ``WorkerPool(launcher=...)`` uses it.

    One that gives its workers certificates of its own making has an attribute ``trust``, too, which
    says from ``launch`` to ``close`` how they are called. Closing ends the workers, and returns
    when they have ended, within a time of its own; ``launch`` begins anew after it. A pool whose
    event loop has ended closes it on another loop.
    """

    count: int
    """How many workers a pool begins with."""

    async def launch(self, count: int) -> None:
        """Have so many workers, and return when they are asked for; none of them has to be up yet.

        Where there are more already, some end when they have finished their calls. Raises what it
        wants where that cannot be asked for, and nobody will come up.
        """
        ...
