"""Workers that come and go: processes with certificates, which announce themselves in a folder.

Whom a pool has to use is known here: who lives, is recorded, and is who the record says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.security.making import Authority, write_folder

__all__ = ["POOL", "Fleet", "Worker"]

POOL = "shop"
ROOT = Path(__file__).parents[2]
SECONDS = 30.0


@dataclass(eq=False)
class Worker:
    """One process; ``barred`` are the times from and until which it may begin no call."""

    id: str
    process: Process
    target: str
    record: str
    ended_by: str = ""
    hidden: bool = False
    barred: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def bar(self) -> None:
        """Note that from now on it may begin no call."""
        self.barred.append((monotonic(), float("inf")))

    def admit(self) -> None:
        """Note that from now on it may begin calls again."""
        self.barred[-1] = (self.barred[-1][0], monotonic())


class Fleet:
    """The workers of a pool, of whom some have ended, and two that only say that they are."""

    def __init__(self, base: Path) -> None:
        self.folder = base / "workers"
        self.folder.mkdir(mode=0o700)
        self.witness = base / "witness"
        self.log = base / "log"
        self.certs = base / "certs"
        self._authority = Authority()
        self._authority.fill(self.certs / "alice", f"alice.{POOL}.catena")
        self._processes: list[Process] = []
        self._closed = False
        self.workers: list[Worker] = []
        self.others: dict[str, Worker] = {}

    @property
    def where(self) -> str:
        """The folder as a form of discovery."""
        return f"dir:{self.folder}"

    def list_alive(self) -> list[Worker]:
        """Return those that nobody has ended."""
        return [one for one in self.workers if not one.ended_by]

    def list_members(self) -> set[str]:
        """Return the ids of those that the pool has to use."""
        return {one.id for one in self.list_alive() if not one.hidden}

    async def start(self, id: str) -> Worker:
        """Start a worker, which announces itself; return it when it listens."""
        self._authority.fill(self.certs / id, f"{id}.{POOL}.catena")
        worker = await self._start(id, POOL, "--announce", self.where)
        self.workers.append(worker)
        return worker

    async def start_others(self) -> None:
        """Start a worker of another pool, and one of another authority; neither announces itself.

        Each bears the id that a lying record gives to it.
        """
        self._authority.fill(self.certs / "banker", "banker.bank.catena")
        Authority("another").fill(self.certs / "rogue", f"rogue.{POOL}.catena")
        write_folder(self.certs / "rogue", ca=self._authority.pem)
        for id, pool in (("banker", "bank"), ("rogue", POOL)):
            self.others[id] = await self._start(id, pool)

    async def _start(self, id: str, pool: str, *options: str) -> Worker:
        command = ["-m", "catena", "worker", "--listen", "127.0.0.1:0", "--id", id, "--pool", pool]
        with self.log.open("a") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, *command, "--certs", str(self.certs / id)),
                *("--import", "tests.joining.routines", *options, "--announce", "stdout"),
                cwd=ROOT,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=log,
            )
        self._processes.append(process)
        if self._closed:
            # It was on its way when a test failed.
            process.kill()
        assert process.stdout is not None
        async with asyncio.timeout(SECONDS):
            line = await process.stdout.readline()
        assert line, f"{id} did not start"
        file = self.folder / f"{id}.json"
        return Worker(id, process, json.loads(line)["target"], file.read_text() if options else "")

    # ---- what happens to them

    def stop(self, worker: Worker) -> None:
        """Have a worker finish its calls and end."""
        worker.ended_by = "SIGTERM"
        worker.bar()
        worker.process.send_signal(signal.SIGTERM)

    def kill(self, worker: Worker) -> None:
        """Kill a worker."""
        worker.ended_by = "SIGKILL"
        worker.process.kill()

    def hide(self, worker: Worker) -> None:
        """Take a worker's record away; it lives, and its calls go on."""
        (self.folder / f"{worker.id}.json").unlink()
        worker.hidden = True
        worker.bar()

    def show(self, worker: Worker) -> None:
        """Put its record back."""
        self.write(worker.id, worker.record)
        worker.hidden = False
        worker.admit()

    def write(self, name: str, text: str) -> None:
        """Put a record into the folder, whole."""
        draft = self.folder / ".draft"
        draft.write_text(text)
        draft.rename(self.folder / f"{name}.json")

    def has_record(self, name: str) -> bool:
        """Say whether there is a file of that name."""
        return (self.folder / f"{name}.json").exists()

    # ---- the end

    async def check_ends(self) -> None:
        """See how those ended that were stopped or killed: each as it has to."""
        for one in self.workers:
            if not one.ended_by:
                continue
            async with asyncio.timeout(SECONDS):
                code = await one.process.wait()
            expected = 0 if one.ended_by == "SIGTERM" else -signal.SIGKILL
            assert code == expected, f"{one.id} was ended by {one.ended_by} with {code}"

    async def close(self) -> None:
        """End all processes that are left."""
        self._closed = True
        for one in self._processes:
            with contextlib.suppress(ProcessLookupError):
                one.kill()
            await one.wait()
        shutil.rmtree(self.certs)
