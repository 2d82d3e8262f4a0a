"""Which process announced a record, and whether it is dead: known on its own machine, on Linux.

A number alone is not enough, because numbers are used again, count anew after a boot, and mean
other processes in another container. In doubt a process counts as alive: the link to it will show.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from catena.discovery.records import ProcessMark

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
_STATE, _START = 0, 19
"""Where in /proc/PID/stat these stand, counted after the name of the program."""


class _Status(NamedTuple):
    """What the system says of a process: whether it has ended, and when it was started."""

    ended: bool
    started: int


def mark_process() -> ProcessMark | None:
    """Return the mark of this process, None where there is no /proc."""
    place, status = _find_place(), _read_status(os.getpid())
    if not place or status is None:
        return None
    return ProcessMark(os.getpid(), status.started, place)


def is_dead(mark: ProcessMark) -> bool:
    """Say whether a process is certainly dead: it is of this machine, and no more."""
    if not mark.place or mark.place != _find_place():
        return False
    try:
        os.kill(mark.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        # It is there, and somebody else's; what is read of it below may be hidden.
        pass
    status = _read_status(mark.pid)
    return status is not None and (status.ended or status.started != mark.started)


def _find_place() -> str:
    """Return a name for this boot and this namespace of process numbers, empty without one."""
    try:
        return f"{_BOOT.read_text('ascii').strip()} {_NAMESPACE.readlink()}"
    except OSError:
        return ""


def _read_status(pid: int) -> _Status | None:
    """Return what the system says of a process, None where that cannot be read."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The program's name may hold blanks and brackets; the last bracket ends it.
    fields = stat.rpartition(b")")[2].split()
    # Z and X: it has ended, and its parent has not asked for its exit yet.
    return _Status(fields[_STATE] in (b"Z", b"X"), int(fields[_START]))
