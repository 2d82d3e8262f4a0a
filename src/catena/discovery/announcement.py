"""Announcing a worker in a folder: its record is there from one moment to another, never half.

A record is written as a dot-file, which nobody reads, renamed to its name, and removed. It is never
written again, because who polls a shared folder may miss that. A worker that comes back under its
old id puts a new file in the place of the old one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from catena.discovery.folder_reader import (
    SUFFIX,
    is_record_name,
    judge_file,
    open_folder,
    read_bytes,
)
from catena.discovery.processes import is_dead, mark_process
from catena.discovery.records import Announced, check_record, encode_record
from catena.ids import MemberRecord

_DRAFT = ".catena-"
"""How the names of dot-files begin that are to become records."""

_STALE_SECONDS = 60.0
"""How old such a file is at least when its announcer is taken for dead."""

_LOCK_SECONDS, _LOCK_LOOKS = 1.0, 50
"""How long an announcer waits for another one of this machine, and how often it looks meanwhile."""

_log = logging.getLogger("catena.discovery")


class Announcement:
    """A record that is in a folder until ``close``; also a context manager.

    It belongs to the process that made it: a forked child that closes it removes nothing. What
    another process put in the record's place stays.
    """

    def __init__(self, path: Path, inode: int, data: bytes) -> None:
        self.path = path
        self._inode = inode
        self._data = data
        self._owner = os.getpid()
        self._closed = False

    def __repr__(self) -> str:
        return f"<announcement {self.path}{', closed' if self._closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the record; doing it twice is fine. Raises OSError when it cannot be removed."""
        if self._closed or self._owner != os.getpid():
            return
        with suppress(FileNotFoundError):
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._remove_own(folder)
            finally:
                os.close(folder)
        self._closed = True

    def _remove_own(self, folder: int) -> None:
        """Remove the record if it is still the one that was put there. Raises OSError."""
        facts = os.stat(self.path.name, dir_fd=folder, follow_symlinks=False)
        # The number alone is not enough: that of a removed file is given to the next one.
        if facts.st_ino == self._inode and stat.S_ISREG(facts.st_mode):
            with suppress(ValueError):
                if read_bytes(folder, self.path.name) == self._data:
                    os.unlink(self.path.name, dir_fd=folder)


def announce(folder: Path | str, member: MemberRecord, *, shared: bool = False) -> Announcement:
    """Put a worker's record into a folder, which has to be there, until it is closed.

    Records of dead processes of this machine are removed on the way. ``shared`` allows a folder
    that is another user's, or that others may change.

    A record of the same id is replaced. This reads and writes files, so it blocks for a moment, a
    second at most when another process holds the folder's lock.

    Raises ValueError for a record without an id, or that cannot be right; PermissionError and other
    OSErrors when the folder may not be used or written to.
    """
    if not member.id:
        raise ValueError("a worker is announced by its id; this record has none")
    data = encode_record(Announced(check_record(member), mark_process()))
    path = Path(folder)
    opened = open_folder(path, shared=shared)
    try:
        _lock_briefly(opened)
        _remove_dead(opened, path)
        inode = _create_record(opened, f"{member.id}{SUFFIX}", data)
    finally:
        os.close(opened)
    return Announcement(path.absolute() / f"{member.id}{SUFFIX}", inode, data)


def _lock_briefly(folder: int) -> None:
    """Keep other announcers of this machine out until the folder is closed, if that is possible.

    One of them could otherwise take a new record for the dead one of the same name that it
    replaces. Whoever can read the folder can hold the lock, and some file systems have none, so it
    is waited for only so long.
    """
    for _ in range(_LOCK_LOOKS):
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_LOCK_SECONDS / _LOCK_LOOKS)


def _create_record(folder: int, name: str, data: bytes) -> int:
    """Write a record under a dot-name, rename it, and return its inode."""
    draft = f"{_DRAFT}{secrets.token_hex(8)}"
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(file)
            inode = os.fstat(file).st_ino
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
        raise
    return inode


def _remove_dead(folder: int, path: Path) -> None:
    """Remove the records whose process is dead, and drafts that were left."""
    for name in os.listdir(folder):
        if name.startswith(_DRAFT):
            _remove_stale_draft(folder, name)
        elif is_record_name(name) and _is_of_dead(folder, name):
            _remove_file(folder, name)
            _log.info("the record %s/%s was removed: its process is dead", path, name)


def _is_of_dead(folder: int, name: str) -> bool:
    """Say whether a file is a record whose process is certainly dead."""
    try:
        facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
        announced, _ = judge_file(folder, name, facts, shared=True)
    except FileNotFoundError:
        return False
    return announced is not None and announced.process is not None and is_dead(announced.process)


def _remove_stale_draft(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if abs(time.time() - facts.st_mtime) > _STALE_SECONDS:
            _remove_file(folder, name)


def _remove_file(folder: int, name: str) -> None:
    """Remove a file; where this user may not, or another announcer was quicker, it stays so."""
    with suppress(FileNotFoundError, PermissionError):
        os.unlink(name, dir_fd=folder)
