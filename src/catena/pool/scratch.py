"""The directory of a pool's sockets: private, short enough for their paths, never left over.

The owner holds a lock on a file inside for as long as it lives. A directory whose lock is free was
left by a dead owner, and the next pool of the same user removes it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from pathlib import Path

__all__ = ["PATH_LIMIT", "Scratch", "remove_abandoned", "sweep"]

PATH_LIMIT = 100
"""Bytes of a socket's path: Linux allows 107, macOS 103."""

_PREFIX = "catena-"
_OURS = re.compile(rf"{_PREFIX}\d+-\w{{8}}")
"""A pool's directory by its name: its owner's process, and what ``mkdtemp`` adds."""
_ROOM = len("/catena-4194304-abcdefgh/999.sock")
_LOCK = "lock"


class Scratch:
    """A new directory that only this user can enter, locked by this process.

    Raises OSError when none can be made in any of the usual places.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_base()))
        _check(self.path)
        # Locked before it bears the name by which others look for it.
        draft = self.path / "lock.new"
        self._lock = os.open(draft, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        draft.rename(self.path / _LOCK)

    def socket(self, number: int) -> Path:
        """Return the path of the numbered worker's socket; under 100 bytes."""
        return self.path / f"{number}.sock"

    def remove(self) -> None:
        """Remove the directory and all that is in it; doing it twice is fine."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def sweep() -> list[Path]:
    """Remove the directories of this user whose owners are dead, and return them."""
    found = (path for base in _bases() for path in base.glob(f"{_PREFIX}*"))
    # Somebody else's directory has no lock either, and would be taken for one that was left.
    return [path for path in found if _OURS.fullmatch(path.name) and remove_abandoned(path)]


def remove_abandoned(path: Path) -> bool:
    """Remove a pool's directory if its owner is dead; say whether it was."""
    if not _abandoned(path):
        return False
    shutil.rmtree(path, ignore_errors=True)
    return True


def _base() -> Path:
    for base in _bases():
        if len(os.fsencode(base)) + _ROOM < PATH_LIMIT and os.access(base, os.W_OK | os.X_OK):
            return base
    raise OSError(f"no directory for sockets: tried {', '.join(map(str, _bases()))}")


def _bases() -> list[Path]:
    # mkdtemp makes what only its owner can enter, wherever that is.
    found = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108
    return list(dict.fromkeys(path.resolve() for path in found if path.is_dir()))


def _check(path: Path) -> None:
    """Refuse a directory that somebody else could enter. Raises PermissionError."""
    facts = path.lstat()
    private = stat.S_ISDIR(facts.st_mode) and stat.S_IMODE(facts.st_mode) & 0o077 == 0
    if facts.st_uid != os.getuid() or not private:
        raise PermissionError(f"{path} can be entered by others")


def _abandoned(path: Path) -> bool:
    try:
        facts = path.lstat()
        if facts.st_uid != os.getuid() or not stat.S_ISDIR(facts.st_mode):
            return False
        lock = os.open(path / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        # Just being made, or left before it was locked.
        return path.is_dir() and time.time() - path.lstat().st_mtime > 60
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(lock)
