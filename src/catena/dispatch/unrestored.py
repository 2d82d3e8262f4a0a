"""A proxy that a worker was sent and could not restore: it is bound, and its calls fail.

P6: a routine that makes no calls does not fail for it. One that does learns why.
"""

from __future__ import annotations

import asyncio
import copy
from typing import NoReturn

from catena.errors import CatenaError, SerializationError, VersionRefused
from catena.events import announced
from catena.leases import Leases
from catena.security.credentials import Credentials
from catena.tags import Tags
from catena.wording import reason


class UnrestoredProxy:
    """The way to nowhere: whoever dispatches through it is raised the ``cause``."""

    max_waiting: int | None = None

    def __init__(self, cause: Exception) -> None:
        self.id = b""
        self.leases = Leases()
        self.loop = asyncio.get_running_loop()
        # Its traceback holds what the frame has brought.
        self._cause = cause.with_traceback(None)

    def check_process(self, routine: str) -> None:
        """It leads nowhere in any process."""

    def under(self, credentials: Credentials) -> UnrestoredProxy:
        """It leads nowhere under any credentials."""
        return self

    def fitting(self, tags: Tags) -> UnrestoredProxy:
        """It leads to no worker, whatever tags that may have."""
        return self

    def pick_connection(self) -> None:
        """There is no connection."""

    async def reach_worker(self, routine: str) -> NoReturn:
        """Raise why it could not be restored: VersionRefused, or SerializationError."""
        if isinstance(self._cause, VersionRefused):
            raise announced(copy.copy(self._cause))
        said = self._cause.text() if isinstance(self._cause, CatenaError) else reason(self._cause)
        error = SerializationError(what="the proxy", routine=routine, cause=said, doing="read")
        raise announced(error) from copy.copy(self._cause)

    async def reach_all(self, routine: str) -> NoReturn:
        """Raise why it could not be restored."""
        await self.reach_worker(routine)

    def __repr__(self) -> str:
        return f"<Proxy that could not be restored: {reason(self._cause)}>"
