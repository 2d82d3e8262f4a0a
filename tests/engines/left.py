"""What workers leave behind: processes and folders, found by what only they have."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

__all__ = [
    "NEEDS_PROC",
    "Seen",
    "find_parent",
    "find_processes",
    "list_children",
    "read_command",
    "until",
]


NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")


def read_command(pid: int) -> list[str]:
    """Return the words of a process's command, none when it has ended."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
    return [os.fsdecode(word) for word in words]


def find_processes(*words: str) -> set[int]:
    """Return the processes, except for this one, in whose command all the words stand."""
    pids = {int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal()}
    pids.discard(os.getpid())
    commands = {pid: " ".join(read_command(pid)) for pid in pids}
    return {pid for pid, command in commands.items() if all(word in command for word in words)}


def find_parent(pid: int) -> int:
    """Return the process that has started another one."""
    status = Path(f"/proc/{pid}/stat").read_text()
    return int(status.rpartition(")")[2].split()[1])


def list_children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(one) for thread in threads for one in (thread / "children").read_text().split()]


def until(holds: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


class Seen:
    """The workers of an engine that were there, with all that may be left of them."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.workers: set[int] = set()
        self._folders: set[Path] = set()

    def look(self) -> set[int]:
        """Return the workers that there are, and keep in mind what belongs to them."""
        found = find_processes("--stop-on stdin-eof", f"--id {self._kind}-")
        self.workers |= found
        for pid in found:
            words = read_command(pid)
            if "--certs" in words:
                self._folders.add(Path(words[words.index("--certs") + 1]))
        return found

    def await_nothing(self) -> None:
        """Wait until no worker is there, and no folder of one that was seen."""
        until(lambda: not self.look())
        until(lambda: not any(one.exists() for one in self._folders))
        until(lambda: not any(find_processes("catena-cleaner", str(one)) for one in self._folders))
