"""Trust: what a process shows to workers on other machines, and by which name it knows them.

The name of a worker comes from here and from the worker's id, and never from what it says itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from catena.security.credentials import Credentials
from catena.security.names import dns_name


@dataclass(frozen=True, slots=True)
class Trust:
    """Credentials to call with, None without any, and the pool whose workers are called.

    Each worker has to prove that it is ``<id>.<pool>.catena``, or ``<pool>.catena`` where several
    share a certificate, or where its id is not known beforehand. Where it is ``insecure``, nobody
    proves anything.
    """

    credentials: Credentials | None = None
    pool: str = ""
    insecure: bool = False

    def name_for(self, worker: str) -> str:
        """Return the name that a worker has to prove, empty where none is known.

        Without an id that is the pool's.
        """
        return dns_name(self.pool, worker) if self.pool else ""

    def as_facts(self) -> dict[str, Any]:
        """Return it as JSON has it, for a process of the same user on the same machine."""
        folder = None if self.credentials is None else str(self.credentials.folder)
        return {"folder": folder, "pool": self.pool, "insecure": self.insecure}

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Trust:
        """Return what ``as_facts`` was made of."""
        folder = facts["folder"]
        credentials = None if folder is None else Credentials(folder)
        return cls(credentials, facts["pool"], insecure=facts["insecure"])


NO_TRUST = Trust()
"""Nothing is shown, and nobody on another machine is called."""
