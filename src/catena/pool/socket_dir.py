"""The directory of a pool's sockets: private, short enough for their paths, never left over.

The owner holds a lock on a file inside for as long as it lives. A directory whose lock is free, and
whose sockets nobody serves, was left by a dead owner; the next pool of the same user removes it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from pathlib import Path

from catena.pool.held import hold_descriptor, let_go

PATH_LIMIT = 100
"""Bytes of a socket's path: Linux allows 107, macOS 103."""

_PREFIX = "catena-"
_OURS = re.compile(rf"{_PREFIX}\d+-\w{{8}}")
"""A pool's directory by its name: its owner's process, and what ``mkdtemp`` adds."""
_ROOM = len("/catena-4194304-abcdefgh/999.sock")
_LOCK = "lock"
_YOUNG = 60.0
"""Seconds in which a directory without a lock may still be in the making."""

_log = logging.getLogger("catena")


class SocketDirectory:
    """A new directory that only this user can enter, locked by this process.

    Raises OSError when none can be made in any of the usual places.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_choose_base()))
        check_private(self.path)
        # What cleans temporary files by age passes over a directory that is locked itself.
        self._locks = [_take_lock(self.path, os.O_RDONLY)]
        # Locked before it bears the name by which others look for it.
        draft = self.path / "lock.new"
        self._locks.append(_take_lock(draft, os.O_CREAT | os.O_RDWR))
        draft.rename(self.path / _LOCK)

    def socket_path(self, number: int) -> Path:
        """Return the path of the numbered worker's socket; under 100 bytes."""
        return self.path / f"{number}.sock"

    def remove(self) -> None:
        """Remove the directory and all that is in it; doing it twice is fine."""
        shutil.rmtree(self.path, ignore_errors=True)
        locks, self._locks = self._locks, []
        for lock in locks:
            let_go(lock)


def is_ours(path: Path) -> bool:
    """Say whether a directory is a pool's, by its name."""
    return _OURS.fullmatch(path.name) is not None


def remove_stale() -> list[Path]:
    """Remove the directories of this user whose owners are dead, and return them."""
    found = (path for base in _list_bases() for path in base.glob(f"{_PREFIX}*"))
    # Somebody else's directory has no lock either, and would be taken for one that was left.
    return [path for path in found if is_ours(path) and remove_abandoned(path)]


def remove_abandoned(path: Path) -> bool:
    """Remove a pool's directory if its owner is dead; say whether it was."""
    if not _is_abandoned(path):
        return False
    shutil.rmtree(path, ignore_errors=True)
    return True


def _choose_base() -> Path:
    refused: list[str] = []
    for base in _list_bases():
        if len(os.fsencode(base)) + _ROOM >= PATH_LIMIT or not os.access(base, os.W_OK | os.X_OK):
            continue
        # gRPC's client takes a comma for the end of a path, however it is written.
        if "," in str(base):
            continue
        weak = find_weak(base)
        if weak is None:
            return base
        refused.append(f"{weak} may be changed by other users")
        _log.warning("no sockets are made in %s: %s", base, refused[-1])
    tried = ", ".join(map(str, _list_bases()))
    raise OSError("; ".join((f"no directory for sockets: tried {tried}", *refused)))


def _list_bases() -> list[Path]:
    # mkdtemp makes what only its owner can enter, wherever that is.
    found = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108
    return list(dict.fromkeys(path.resolve() for path in found if path.is_dir()))


def find_weak(base: Path) -> Path | None:
    """Return the first directory on the way to a base in which another user may replace the next.

    Each has to be owned by the superuser or this user, and writable by nobody else unless its
    sticky bit keeps names from all but their owners.
    """
    for path in (base, *base.parents):
        facts = path.stat()
        shared = facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not facts.st_mode & stat.S_ISVTX
        if facts.st_uid not in (0, os.getuid()) or shared:
            return path
    return None


def check_private(path: Path) -> None:
    """Refuse a directory that somebody else could enter. Raises PermissionError."""
    facts = path.lstat()
    private = stat.S_ISDIR(facts.st_mode) and stat.S_IMODE(facts.st_mode) & 0o077 == 0
    if facts.st_uid != os.getuid() or not private:
        raise PermissionError(f"{path} can be entered by others")


def _take_lock(path: Path, flags: int) -> int:
    lock = hold_descriptor(os.open(path, flags, 0o600))
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _is_abandoned(path: Path) -> bool:
    try:
        facts = path.lstat()
        if facts.st_uid != os.getuid() or not stat.S_ISDIR(facts.st_mode):
            return False
        if not _is_free(path, os.O_RDONLY | os.O_NOFOLLOW) or not _is_free(path / _LOCK, os.O_RDWR):
            return False
    except FileNotFoundError:
        # Just being made, or left before it was locked; or the lock was taken away by a cleaner.
        if not path.is_dir() or time.time() - path.lstat().st_mtime <= _YOUNG:
            return False
    except OSError:
        return False
    return not any(_is_served(socket) for socket in path.glob("*.sock"))


def _is_free(path: Path, flags: int) -> bool:
    """Say whether nobody holds a lock. Raises OSError, FileNotFoundError among them."""
    lock = os.open(path, flags)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(lock)


def _is_served(path: Path) -> bool:
    """Say whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            # Its queue is full, so there is one.
            return True
        except OSError:
            return False
    return True
