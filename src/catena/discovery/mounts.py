"""Whether a folder's file system is this machine's alone, so that it reports every change of it."""

from __future__ import annotations

import os
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_DEVICE = 2
"""Where in a line of the mounts the device stands."""

_LOCAL = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "tmpfs", "ramfs", "f2fs", "zfs", "overlay", "btrfs", "bcachefs"}
)
"""File systems that no other machine writes to."""


def is_local(device: int, mounts: Path = _MOUNTS) -> bool:
    """Say whether a file system, by its number as ``stat`` has it, is certainly this machine's.

    What is not known, such as a subvolume with a number of its own, counts as not local.
    """
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    return any(
        line.partition(" - ")[2].split(" ")[0] in _LOCAL
        for line in lines
        if line.split(" ")[_DEVICE : _DEVICE + 1] == [number]
    )
