"""Reading a folder of records, of which any file may be a lie or a trap.

Only regular files with names like ``<id>.json`` are opened, through the folder that was checked,
and never through links. A record that is wrong is left out with one sentence in the log, and the
others count. What has not changed is not read again.
"""

from __future__ import annotations

import errno
import heapq
import logging
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from catena.discovery.processes import is_dead
from catena.discovery.records import MEMBER_LIMIT, RECORD_LIMIT, Announced, decode_record
from catena.escape import printable
from catena.ids import MemberRecord

SUFFIX = ".json"

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_SETTLED_SECONDS = 2.0
"""How old a file has to be for its times to show each later change; clocks of files are coarse."""

_FAULTS_OF_FILES = {errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO}
"""Errors of opening that say something of the file; others say that looking fails altogether."""

_log = logging.getLogger("catena.discovery")


class _Version(NamedTuple):
    """What of a file differs once it has been changed or replaced."""

    inode: int
    changed_ns: int
    size: int


class _Read(NamedTuple):
    """What was read of one version of a file: a record, or what is wrong with it."""

    version: _Version
    announced: Announced | None
    wrong: str
    settled: bool


class FolderReader:
    """Reads the records of one folder again and again; not for two threads at a time.

    With ``shared`` the folder, and the records, may be other users'.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self.path = path
        self.folder: tuple[int, int] | None = None
        """Device and inode of the folder that was read last."""
        self._shared = shared
        self._read: dict[str, _Read] = {}
        self._crowded = False

    def read_members(self) -> frozenset[MemberRecord]:
        """Return the members of all records whose process is not known to be dead.

        Raises OSError: the folder is not there, cannot be read, or may be changed by others.
        """
        folder = open_folder(self.path, shared=self._shared)
        try:
            facts = os.fstat(folder)
            self.folder = (facts.st_dev, facts.st_ino)
            read = {name: self._read_file(folder, name) for name in self._choose_names(folder)}
        finally:
            os.close(folder)
        self._read = {name: one for name, one in read.items() if one is not None}
        found = [one.announced for one in self._read.values() if one.announced is not None]
        return frozenset(
            one.member for one in found if one.process is None or not is_dead(one.process)
        )

    def _choose_names(self, folder: int) -> list[str]:
        """Return the names of the files that count: as many as there may be members."""
        with os.scandir(folder) as entries:
            names = (entry.name for entry in entries if is_record_name(entry.name))
            chosen = heapq.nsmallest(MEMBER_LIMIT + 1, names)
        crowded = len(chosen) > MEMBER_LIMIT
        if crowded and not self._crowded:
            _log.warning(
                "%s holds more than %d records; only the first %d by name count",
                self.path,
                MEMBER_LIMIT,
                MEMBER_LIMIT,
            )
        self._crowded = crowded
        return chosen[:MEMBER_LIMIT]

    def _read_file(self, folder: int, name: str) -> _Read | None:
        """Read a file unless it is known; None when it is gone."""
        before = self._read.get(name)
        try:
            facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
            version = _Version(facts.st_ino, facts.st_ctime_ns, facts.st_size)
            if before is not None and before.settled and before.version == version:
                return before
            # Judged before it is read: what changes while it is read is looked at again.
            settled = abs(time.time() - facts.st_ctime) > _SETTLED_SECONDS
            announced, wrong = judge_file(folder, name, facts, shared=self._shared)
        except FileNotFoundError:
            return None
        if wrong and (before is None or (before.version, before.wrong) != (version, wrong)):
            _log.warning("the record %s/%s is left out: %s", self.path, printable(name), wrong)
        return _Read(version, announced, wrong, settled)


def is_record_name(name: str) -> bool:
    """Say whether a file may be a record by its name; dot-files are records in the making."""
    return name.endswith(SUFFIX) and not name.startswith(".")


def judge_file(
    folder: int, name: str, facts: os.stat_result, *, shared: bool
) -> tuple[Announced | None, str]:
    """Return what a file of these facts says, or what is wrong with it.

    Raises OSError: FileNotFoundError when it is gone, others when nothing can be read.
    """
    wrong = _find_fault(facts, shared=shared)
    if wrong:
        return None, wrong
    try:
        announced = decode_record(read_bytes(folder, name))
    except OSError as error:
        if error.errno not in _FAULTS_OF_FILES:
            raise
        return None, f"it cannot be read: {error.strerror}"
    except ValueError as error:
        return None, str(error)
    if announced.member.id != name.removesuffix(SUFFIX):
        return None, f"its id is another one, '{printable(announced.member.id)}'"
    return announced, ""


def open_folder(path: Path, *, shared: bool) -> int:
    """Open a folder of records and return its descriptor, which the caller has to close.

    Raises OSError when that is not possible, PermissionError among them when the folder is another
    user's, or others may put files there or take them away, unless it is ``shared``.
    """
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        weakness = "" if shared else _find_weakness(os.fstat(folder))
    except BaseException:
        os.close(folder)
        raise
    if weakness:
        os.close(folder)
        raise PermissionError(
            f"{path} {weakness}, so its records prove nothing; `chmod go-w` makes it private, and"
            " dir+shared: takes it as it is"
        )
    return folder


def _find_fault(facts: os.stat_result, *, shared: bool) -> str:
    """Return what is wrong with a file by its facts, empty when nothing is."""
    if not stat.S_ISREG(facts.st_mode):
        return "it is not a regular file"
    if not shared and facts.st_uid not in (0, os.getuid()):
        return f"it belongs to user {facts.st_uid}"
    return "" if facts.st_size <= RECORD_LIMIT else f"it has more than {RECORD_LIMIT} bytes"


def _find_weakness(facts: os.stat_result) -> str:
    others = facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if facts.st_uid not in (0, os.getuid()):
        return f"belongs to user {facts.st_uid}"
    return "may be changed by other users" if others and not facts.st_mode & stat.S_ISVTX else ""


def read_bytes(folder: int, name: str) -> bytes:
    """Return a file's first bytes, one more than it may have. Raises OSError and ValueError."""
    file = os.open(name, _FLAGS, dir_fd=folder)
    try:
        # It may have been replaced since its facts were read.
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise ValueError("it is not a regular file")
        with suppress(BlockingIOError):
            return _read_to_limit(file)
        raise ValueError("it cannot be read without waiting")
    finally:
        os.close(file)


def _read_to_limit(file: int) -> bytes:
    read = b""
    while len(read) <= RECORD_LIMIT and (more := os.read(file, RECORD_LIMIT + 1 - len(read))):
        read += more
    return read
