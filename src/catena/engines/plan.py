"""A worker that an engine is to start: everything that the engine's end has to know of it.

It is pickled and sent there. The key of the worker's credentials is in it, but not shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from catena.ids import MemberRecord
from catena.security.credentials import CredentialFiles
from catena.security.names import dns_name


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """One worker of a pool of that name; ``catena.WorkerServer`` explains the options.

    Its credentials are the ``files`` that were made for it, or those in the folder ``certs`` where
    it runs. That folder is not made for one worker, so there the pool's name is what it proves.
    ``start_timeout`` is how many seconds it may take until it listens.
    """

    id: str
    pool: str
    files: CredentialFiles | None = field(default=None, repr=False)
    certs: str = ""
    tags: frozenset[str] = frozenset()
    imports: tuple[str, ...] = ()
    slots: int = 1
    max_calls_in_flight: int | None = None
    refuse: str | None = None
    lifespan: str | None = None
    strict: bool = False
    start_timeout: float = 30.0
    drain_timeout: float = 30.0

    def list_arguments(self, host: str, certs: Path, fd: int) -> list[str]:
        """Return the arguments of ``catena worker`` that listens at any port of a host.

        It takes its credentials from ``certs``, says at the descriptor where it is, and ends when
        its standard input does.
        """
        most = self.max_calls_in_flight
        given = {
            "--listen": f"{host}:0",
            "--id": self.id,
            "--pool": self.pool,
            "--certs": str(certs),
            "--announce": f"fd:{fd}",
            "--stop-on": "stdin-eof",
            "--tags": ",".join(sorted(self.tags)),
            "--slots": str(self.slots),
            "--drain-timeout": f"{self.drain_timeout:g}",
            "--max-calls-in-flight": None if most is None else str(most),
            "--refuse": self.refuse,
            "--lifespan": self.lifespan,
        }
        found = [word for name, value in given.items() if value for word in (name, value)]
        found += [word for module in self.imports for word in ("--import", module)]
        return [*found, "--strict"] if self.strict else found

    def make_record(self, target: str) -> MemberRecord:
        """Return the record of the worker that listens there, with its very certificate."""
        if self.files is None:
            return MemberRecord(self.id, target, dns_name(self.pool), self.tags)
        return MemberRecord(
            self.id, target, dns_name(self.pool, self.id), self.tags, self.files.cert
        )
