"""What a test of this folder has: a network, authorities, workers that it starts, and callers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from catena.security.authority import Authority, issue_pair, make_authority, write_pair
from catena.security.names import name_caller, name_worker
from tests.network.caller import ROOT, Caller
from tests.network.hosts import DEADLINE, Network
from tests.network.names import NameServer

PORT = 7800


@dataclass(frozen=True)
class Worker:
    """A worker's process on a host."""

    id: str
    host: str
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self.process.pid

    def await_start(self) -> Self:
        """Wait until it listens."""
        assert json.loads(self.process.stdout.readline())["id"] == self.id
        return self

    def end(self) -> None:
        """Have it end as a supervisor would, and wait for that."""
        self.process.terminate()
        assert self.process.wait(DEADLINE) == 0

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(DEADLINE)


class Stage:
    """A network, and what is on it; everything is gone when the test is over."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.folder = folder
        self.diary = folder / "diary"
        shared = folder / "workers"
        shared.mkdir(mode=0o700)
        # A folder that all hosts see.
        self.place = f"dir:{shared}"
        self._authorities: dict[str, Authority] = {}
        self._numbers = iter(range(11, 250))

    def add_hosts(self, *names: str) -> None:
        """Add hosts, each with an address."""
        for name in names:
            self.network.add_host(name, next(self._numbers))

    def start_worker(
        self, id: str, host: str = "", *options: str, address: str = "", **holder: Any
    ) -> Worker:
        """Start a worker, on the host of its name by default, and wait until it listens."""
        return self._begin_worker(id, host or id, options, address=address, **holder).await_start()

    def start_workers(self, *ids: str, options: Sequence[str] = (), **holder: Any) -> list[Worker]:
        """Start several, each on the host of its name, at the same time."""
        workers = [self._begin_worker(id, id, options, **holder) for id in ids]
        return [one.await_start() for one in workers]

    def _begin_worker(self, id: str, host: str, options: Sequence[str], **facts: Any) -> Worker:
        command = self.make_worker(id, host, *options, **facts)
        process = self.network.start(host, *command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        return Worker(id, host, process)

    def make_worker(
        self,
        id: str,
        host: str,
        *options: str,
        pool: str = "shop",
        shared: bool = False,
        address: str = "",
    ) -> list[str]:
        """Return the command of a worker, certified by its id, or by the pool's ``shared`` name."""
        certs = self.issue(pool, name_worker(pool, "" if shared else id))
        listen = f"{address or self.network.addresses[host]}:{PORT}"
        command = [sys.executable, "-m", "catena", "worker", "--listen", listen, "--id", id]
        command += ["--certs", certs, "--pool", pool, "--announce", "stdout"]
        return [*command, "--import", "tests.network.routines", *options]

    def start_caller(self, host: str = "caller") -> Caller:
        """Start a process that calls."""
        return Caller(self.network, host)

    def start_name_server(self, host: str = "names", *askers: str) -> NameServer:
        """Start a name server on a host, which others ask."""
        for asker in askers or ("caller",):
            self.network.ask_name_server(asker, host)
        return NameServer(self.network, host, self.folder)

    def find(self, where: Any, pool: str = "shop", **options: Any) -> dict[str, Any]:
        """Return a pool's options: where it finds workers, and a caller's credentials."""
        certs = self.issue_caller(pool, pool)
        return {"discovery": where, "credentials": certs, "name": pool, **options}

    def issue_caller(self, pool: str, authority: str) -> str:
        """Make a folder of credentials of somebody who calls a pool, and return it."""
        return self.issue(authority, name_caller(pool, "alice"))

    def issue(self, authority: str, holder: Any) -> str:
        """Make a folder of credentials of a pool's own authority, and return it."""
        now = datetime.now(UTC)
        if authority not in self._authorities:
            self._authorities[authority] = make_authority(now, 1)
        folder = self.folder / f"certs-{next(self._numbers)}"
        write_pair(folder, issue_pair(self._authorities[authority], holder, now, 1))
        return str(folder)

    def read_diary(self) -> list[str]:
        """Return what routines have written, one line each."""
        return self.diary.read_text().splitlines() if self.diary.exists() else []


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Make a stage with nothing on it yet, and leave nothing of it behind."""
    network = Network()
    try:
        yield Stage(network, folder)
    finally:
        network.close()
        assert (network.list_spaces(), network.list_pids()) == ([], [])
