"""The workers that hostile peers attack, and the credentials of good and bad callers.

Both are ``catena worker`` in a process of its own: one listens at a port with TLS, one at a Unix
socket.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from catena.security.credentials import Credentials
from tests.security.making import Authority, write_folder

__all__ = ["POOL", "Fleet", "started"]

POOL = "shop"
ROOT = Path(__file__).parents[2]
SECONDS = 30.0
_SECURED, _LOCAL = "secured", "local"


class Fleet(NamedTuple):
    """Where the two workers listen, and the credentials folders by whose they are."""

    folder: Path
    secured: str
    local: str
    certs: Path

    def credentials(self, whose: str) -> Credentials:
        """Return the credentials of a caller: alice, mallory, late or foreign."""
        return Credentials(self.certs / whose)

    @property
    def verify(self) -> str:
        """The name that the worker with TLS has to prove."""
        return f"{_SECURED}.{POOL}.catena"

    def read_log(self) -> str:
        """Return the last lines of what the workers have logged."""
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(line for one in files for line in one.read_text().splitlines()[-12:])


@contextmanager
def started() -> Iterator[Fleet]:
    """Start both workers; end them when the block is left, and leave nothing."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        folder = Path(name)
        certs = folder / "certs"
        _issue(certs)
        processes = [_start(folder, certs, one) for one in (_SECURED, _LOCAL)]
        try:
            targets = [_read_target(one) for one in processes]
            yield Fleet(folder, targets[0], targets[1], certs)
        finally:
            for one in processes:
                one.kill()
                one.communicate(timeout=SECONDS)


def _issue(certs: Path) -> None:
    """Make the worker's credentials, a good caller's, and three that are no good."""
    authority = Authority()
    authority.fill(certs / _SECURED, f"{_SECURED}.{POOL}.catena")
    authority.fill(certs / "alice", f"alice.{POOL}.catena")
    authority.fill(certs / "mallory", "mallory.bank.catena")
    authority.fill(certs / "late", f"alice.{POOL}.catena", days=-0.5)
    Authority("another").fill(certs / "foreign", f"alice.{POOL}.catena")
    write_folder(certs / "foreign", ca=authority.pem)


def _start(folder: Path, certs: Path, name: str) -> subprocess.Popen[str]:
    where = (
        ["127.0.0.1:0", "--certs", str(certs / name), "--pool", POOL]
        if name == _SECURED
        else [f"unix:{folder}/{name}.sock"]
    )
    command = [sys.executable, "-m", "catena", "worker", "--listen", *where, "--id", name]
    with (folder / f"{name}.log").open("w") as log:
        return subprocess.Popen(
            [*command, "--announce", "stdout", "--import", "tests.hostile.worker"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def _read_target(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "a worker did not start"
    return json.loads(line)["target"]
