"""Who the workers and the caller of one launched pool are: an authority that nobody else has.

The authority and its key are in the memory of the launcher's process alone. It makes a pair for
each worker, and one for the caller, whose folder is this user's and is gone when the pool closes.
"""

from __future__ import annotations

from datetime import UTC, datetime

from catena.engines.private_folder import PrivateFolder
from catena.security.authority import issue_pair, make_authority
from catena.security.credentials import CredentialFiles, Credentials
from catena.security.names import Holder, name_caller, name_worker
from catena.security.trust import Trust

_DAYS = 3650
"""Longer than any pool is open: nobody renews these pairs, and they end with the pool."""


class PoolIdentity:
    """An authority for a pool of that name; ``trust`` is how its caller meets the workers.

    Raises ModuleNotFoundError where cryptography is missing, and OSError.
    """

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self._authority = make_authority(datetime.now(UTC), _DAYS)
        self._folder = PrivateFolder(self._issue(name_caller(pool)))
        self.trust = Trust(Credentials(self._folder.path), pool)

    def issue_worker(self, id: str) -> CredentialFiles:
        """Return the files of a new pair for the worker of that id."""
        return self._issue(name_worker(self.pool, id))

    def _issue(self, holder: Holder) -> CredentialFiles:
        pair = issue_pair(self._authority, holder, datetime.now(UTC), _DAYS)
        return CredentialFiles(pair.authorities, pair.pem, pair.key)

    def close(self) -> None:
        """Take the caller's folder away; doing it twice is fine."""
        self._folder.remove()
