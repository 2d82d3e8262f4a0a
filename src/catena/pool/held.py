"""The file descriptors by which processes of a pool know that others live.

They are all registered here, so that no forked child keeps one: see ``catena.pool.forking``.
"""

from __future__ import annotations

import os

held: set[int] = set()


def hold_descriptor(fd: int) -> int:
    """Keep a file descriptor from children that are forked, and return it."""
    held.add(fd)
    return fd


def let_go(fd: int) -> None:
    """Close a file descriptor that was held."""
    held.discard(fd)
    os.close(fd)
