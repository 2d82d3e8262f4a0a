"""The faults that the count of background tasks has to find, each by its title."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from catena.background import mounting, worker
from catena.background.snapshot import TaskContextSnapshot
from tests.background.test_counting import (
    test_every_task_finds_its_own_secret_and_nothing_is_left as a_count,
)
from tests.laws.fault import keep

__all__ = ["CHECKS"]

CHECKS = (a_count,)

_kept: list[Any] = []
_read = TaskContextSnapshot.from_json


def _read_last(text: str, **asked: Any) -> TaskContextSnapshot:
    """Return the snapshot that was read before this one, whosever that was."""
    _kept.append(_read(text, **asked))
    return _kept[-2] if len(_kept) > 1 else _kept[-1]


def _mount_nothing(task: Any, **options: Any) -> Any:
    return mounting.mount_task(task._replace(snapshot=None), **options)


keep(
    "the mount clears nothing",
    patch.object(mounting, "clear_variables", lambda: None),
    a_count,
)
keep(
    "a task gets the snapshot of the one before",
    patch.object(TaskContextSnapshot, "from_json", _read_last),
    a_count,
)
keep(
    "a task's snapshot is not mounted",
    patch.object(worker, "mount_task", _mount_nothing),
    a_count,
)
