"""Members that somebody states: a list, which may be replaced by another one.

It is the medium for who knows the workers by means of their own, and for tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from catena.discovery.records import check_record
from catena.ids import MemberRecord


class ListedMembers:
    """A medium with the stated members, as targets or as records.

    Raises ValueError for a record that cannot be right, such as one with a target that is none.
    """

    title = "the list of members"

    def __init__(self, members: Iterable[str | MemberRecord]) -> None:
        self._members = _read_list(members)
        self._changed = asyncio.Event()

    def replace(self, members: Iterable[str | MemberRecord]) -> None:
        """State other members; called on the event loop. Raises ValueError as above."""
        self._members = _read_list(members)
        self._changed.set()

    async def look(self) -> frozenset[MemberRecord]:
        """Return the members that were stated last."""
        self._changed.clear()
        return self._members

    async def wait(self) -> None:
        """Return when others have been stated."""
        await self._changed.wait()

    async def close(self) -> None:
        """Nothing is open."""


def _read_list(members: Iterable[str | MemberRecord]) -> frozenset[MemberRecord]:
    return frozenset(
        check_record(MemberRecord("", one) if isinstance(one, str) else one) for one in members
    )
