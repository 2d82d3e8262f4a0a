"""The folder in which open pools leave their records: private to its user, and never left over.

The first that can be used takes the records of this process, and all are read, because a process of
the same user may have another environment. A record whose process is dead is removed by whoever
reads it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import time
from pathlib import Path

from catena.escape import printable
from catena.pool.recorded import RECORD_LIMIT, RecordedPool, decode_pool
from catena.pool.socket_dir import check_private, find_weak

VARIABLE = "CATENA_RUNTIME_DIR"
"""The environment variable that names the one folder to be used."""

_ENDING, _DRAFT = ".json", ".new"
_YOUNG = 60.0
"""Seconds in which a draft may still be in the making."""


def list_folders() -> list[Path]:
    """Return the folders in which records may be, the best first."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return [Path(chosen).absolute()]
    user, runtime = os.getuid(), os.environ.get("XDG_RUNTIME_DIR", "")
    bases = [Path(runtime)] if Path(runtime).is_absolute() else []
    found = [base / "catena" for base in (*bases, Path(f"/run/user/{user}"))]
    return list(dict.fromkeys([*found, Path(tempfile.gettempdir()) / f"catena-pools-{user}"]))


def choose_folder() -> Path:
    """Return the first folder that can be used, made if it is missing. Raises OSError."""
    refused: list[str] = []
    for folder in list_folders():
        try:
            weak = find_weak(folder.parent.resolve(strict=True))
            if weak is not None:
                refused.append(f"{weak} may be changed by other users")
                continue
            folder.mkdir(mode=0o700, exist_ok=True)
            check_private(folder)
        except OSError as error:
            refused.append(str(error))
        else:
            return folder
    raise OSError("; ".join(refused))


def write_record(name: str, data: bytes) -> Path:
    """Write a record, whole or not at all, and return where it is. Raises OSError."""
    try:
        return _write_record(name, data)
    except FileNotFoundError:
        # The last of the others has just taken the folder away.
        return _write_record(name, data)


def remove_record(path: Path) -> None:
    """Take a record away, and its folder where that is of our making and empty now."""
    path.unlink(missing_ok=True)
    if VARIABLE not in os.environ:
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def _write_record(name: str, data: bytes) -> Path:
    path = choose_folder() / f"{name}{_ENDING}"
    draft = path.with_suffix(_DRAFT)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
            file.write(data)
        draft.rename(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return path


def read_pools() -> tuple[list[RecordedPool], list[str]]:
    """Return the pools that are open, and sentences about records that cannot be read.

    Records of processes that are dead are removed.
    """
    pools: list[RecordedPool] = []
    problems: list[str] = []
    for folder in list_folders():
        if not folder.is_dir():
            continue
        try:
            check_private(folder)
            paths = sorted(folder.iterdir())
        except OSError as error:
            problems.append(f"the folder {folder} is not read: {error}")
            continue
        for path in paths:
            try:
                pool = _read_record(path)
            except FileNotFoundError:
                # Its pool has just been closed.
                continue
            except (OSError, ValueError) as error:
                problems.append(f"the record {path} cannot be read: {printable(str(error))}")
            else:
                pools += [] if pool is None else [pool]
    return pools, problems


def _read_record(path: Path) -> RecordedPool | None:
    """Return the pool of a record, None where its process is dead. Raises OSError, ValueError."""
    if path.suffix == _DRAFT and time.time() - path.lstat().st_mtime > _YOUNG:
        path.unlink(missing_ok=True)
    if path.suffix != _ENDING:
        return None
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        facts = os.fstat(file.fileno())
        if facts.st_uid != os.getuid() or not stat.S_ISREG(facts.st_mode):
            raise PermissionError("it is not a file of this user")
        data = file.read(RECORD_LIMIT + 1)
    if len(data) > RECORD_LIMIT:
        raise ValueError(f"it has more than {RECORD_LIMIT} bytes")
    pool = decode_pool(data)
    if _is_dead(pool):
        remove_record(path)
        return None
    return pool


def _is_dead(pool: RecordedPool) -> bool:
    """Say whether the process of a pool is dead, as far as that can be known here."""
    from catena.discovery.processes import is_dead  # noqa: PLC0415 - a worker needs none of it
    from catena.discovery.records import ProcessMark  # noqa: PLC0415 - as above

    if pool.process is not None:
        return is_dead(ProcessMark(*pool.process))
    try:
        os.kill(pool.pid, 0)
    except (ProcessLookupError, PermissionError):
        # Or the number is that of another user's process now.
        return True
    return False
