"""A store of snapshots for tests: it answers at once, or fails, and counts what it is asked."""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import catena
from catena.background.mounting import RunningTask
from catena.background.snapshot import TaskContextSnapshot
from tests.support import variable

color = variable("color", default="none")


def capture(
    task_key: str, value: str, more: Mapping[catena.ContextVar[Any], Any] | None = None
) -> TaskContextSnapshot:
    """Return what surrounds a submission where the variable has a value, and more of them have."""

    def submit() -> TaskContextSnapshot:
        color.set(value)
        for var, other in (more or {}).items():
            var.set(other)
        return TaskContextSnapshot.capture(task_key, "tests.work")

    return contextvars.Context().run(submit)


@dataclass
class Store:
    """A source of snapshots, by the keys of their tasks."""

    snapshots: dict[str, TaskContextSnapshot] = field(
        default_factory=dict[str, TaskContextSnapshot]
    )
    asked: list[str] = field(default_factory=list[str])
    error: Exception | None = None

    def add(self, task_key: str, value: str, **options: Any) -> RunningTask:
        """Store a snapshot with a value, and return its task as an engine knows it."""
        snapshot = self.snapshots[task_key] = capture(task_key, value, **options)
        return RunningTask(task_key, "tests.work", "orders", submission=snapshot.submission)

    def read(self, task: RunningTask, /) -> str | None:
        """Return what is stored, or raise."""
        self.asked.append(task.key)
        if self.error is not None:
            raise self.error
        found = self.snapshots.get(task.key)
        return None if found is None else found.to_json()

    def open(self, text: str, task: RunningTask, /) -> TaskContextSnapshot:
        """Open a snapshot as a queue does."""
        return TaskContextSnapshot.from_json(text, task_key=task.key, submission=task.submission)
