"""When a worker that works is replaced: after so many calls, or above so much memory.

The limits differ a little from worker to worker, so that they do not all reach them at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import NamedTuple

_SPREAD = 0.2
"""By which share of a limit a worker may be replaced early."""


class Recycling(NamedTuple):
    """The limits: calls of this process, and bytes of resident memory; None for no limit."""

    max_calls: int | None = None
    max_memory: int | None = None

    def find_reason(self, worker: str, calls: int, memory: int) -> str:
        """Return why a worker that has reached so much is replaced, empty if it stays."""
        early = _SPREAD * Random(worker).random()  # noqa: S311 - nothing secret
        for limit, reached, text in (
            (self.max_calls, calls, "max_calls: it has answered {:,} calls"),
            (self.max_memory, memory, "max_memory: it holds {:,} bytes"),
        ):
            if limit is not None and reached >= max(limit * (1 - early), 1):
                return text.format(reached)
        return ""


def read_memory(pid: int) -> int:
    """Return how many bytes of memory a process has resident, 0 where that is not known."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def memory_is_known() -> bool:
    """Return whether this system shows how much memory a process has resident."""
    return read_memory(os.getpid()) > 0
