"""Background tasks: routines that run later, elsewhere, in the context of their submission.

The engine is pydocket, which keeps the tasks in Redis; it is an extra, and loaded when a queue is
made. What surrounds a submission is stored beside the task, and mounted before it runs.
"""

from __future__ import annotations

import importlib as _importlib
import typing as _typing

from catena.background.dependencies import Depends
from catena.background.mounting import current_task, current_task_key
from catena.background.snapshot import TaskContextSnapshot

if _typing.TYPE_CHECKING:
    from catena.background.queue import BackgroundQueue
    from catena.background.worker import BackgroundWorker

__all__ = [
    "BackgroundQueue",
    "BackgroundWorker",
    "Depends",
    "TaskContextSnapshot",
    "current_task",
    "current_task_key",
]

_LATER = {"BackgroundQueue": "queue", "BackgroundWorker": "worker"}

if not _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load what needs the engine when it is first used."""
        if name in _LATER:
            return getattr(_importlib.import_module(f"catena.background.{_LATER[name]}"), name)
        raise AttributeError(f"module 'catena.background' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted(__all__)
