"""Which process writes: what each record of the audit says, so that many can share one file."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["origin", "serve_as"]

_worker = ""


def serve_as(worker: str) -> None:
    """Keep the id of the worker that this process is; an empty one says nothing new."""
    global _worker  # noqa: PLW0603 - a process is one worker at most
    _worker = worker or _worker


def origin() -> dict[str, Any]:
    """Return the process id and, in a worker, its id."""
    found: dict[str, Any] = {"process.pid": os.getpid()}
    if _worker:
        found["catena.worker.id"] = _worker
    return found
