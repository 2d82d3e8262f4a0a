"""Which process writes: what each record of the audit says, so that many can share one file."""

from __future__ import annotations

import os
from typing import Any

from catena.standing import worker_id


def describe_origin() -> dict[str, Any]:
    """Return the process id and, in a worker, its id."""
    found: dict[str, Any] = {"process.pid": os.getpid()}
    worker = worker_id()
    if worker:
        found["catena.worker.id"] = worker
    return found
