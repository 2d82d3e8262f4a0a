"""Where members are found: a folder, a name service, a network or a list.

A ``Medium`` can be looked at, and waited for. What a pool reads is a ``MemberSource``, which has
none of the medium's troubles.
"""

from __future__ import annotations

from typing import Protocol

from catena.ids import MemberRecord


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
