"""The two ports of discovery: where members are found, and what a pool is given.

A ``Medium`` is a folder, a name service, a network or a list. It can be looked at, and waited for.
A ``MemberSource`` is what a pool reads: sets of records, without any of the medium's troubles.
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
        """End all iterators and let go of the medium; doing it twice is fine."""
        ...


class Medium(Protocol):
    """Where records of members are found."""

    @property
    def title(self) -> str:
        """What it is, for logs: ``the folder /shared/workers``."""
        ...

    async def look(self) -> frozenset[MemberRecord]:
        """Return the members that there are now. Raises OSError when that cannot be found out."""
        ...

    async def wait(self) -> None:
        """Return when another look may find something else than the last one that succeeded."""
        ...

    async def close(self) -> None:
        """Let go of whatever it has opened; doing it twice is fine."""
        ...
