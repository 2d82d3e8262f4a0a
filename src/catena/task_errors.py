"""Errors of background tasks; ``catena.errors``, where they are known by, re-exports them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from catena.escape import printable
from catena.facts import OURS, CatenaError

SnapshotFault = Literal[
    "unmarked",
    "missing",
    "stale",
    "legacy",
    "newer",
    "unauthenticated",
    "undecryptable",
    "unreadable",
]
"""What is wrong with a snapshot.

The submitter of an ``unmarked`` task stored none; a ``missing`` one was stored and is gone; a
``stale`` one is another task's; a ``legacy`` one has a schema that is no longer read, a ``newer``
one a schema that is not known yet.
"""


@dataclass(kw_only=True, eq=False, repr=False)
class NoQueue(CatenaError):
    """A routine was submitted where no queue is bound, and the process has no default one."""

    __module__ = OURS

    routine: str
    reason: str = ""

    def text(self) -> str:
        """The sentence that the facts make."""
        why = self.reason or (
            "no queue is bound here; open one with `async with BackgroundQueue(url):`, or open it"
            " as `BackgroundQueue(url, default=True)`"
        )
        return f"routine {self.routine} cannot be submitted: {why}"


@dataclass(kw_only=True, eq=False, repr=False)
class QueueUnreachable(CatenaError, ConnectionError):
    """The store of a queue did not answer; ``doing`` says what was asked of it."""

    __module__ = OURS

    queue: str
    doing: str
    cause: str

    def text(self) -> str:
        """The sentence that the facts make."""
        return f"queue {self.queue} could not {self.doing}: {self.cause}"


@dataclass(kw_only=True, eq=False, repr=False)
class TaskRefused(CatenaError):
    """A routine cannot become a background task; ``cause`` says why."""

    __module__ = OURS

    routine: str
    cause: str

    def text(self) -> str:
        """The sentence that the facts make."""
        return f"routine {self.routine} cannot be a background task: {self.cause}"


@dataclass(kw_only=True, eq=False, repr=False)
class TaskCancelled(CatenaError):
    """The result of a task was asked for that was cancelled."""

    __module__ = OURS

    task: str
    routine: str = ""

    def text(self) -> str:
        """The sentence that the facts make."""
        of = f" of routine {self.routine}" if self.routine else ""
        return f"task {printable(self.task)}{of} was cancelled"


@dataclass(kw_only=True, eq=False, repr=False)
class SnapshotError(CatenaError):
    """The context of a background task cannot be mounted, and the task does not run without.

    ``fault`` says what is wrong with the snapshot, in one word, and ``cause`` in more.
    """

    __module__ = OURS

    task: str
    fault: SnapshotFault
    cause: str

    def text(self) -> str:
        """The sentence that the facts make."""
        task = printable(self.task)
        return f"the snapshot of task {task} cannot be used, it is {self.fault}: {self.cause}"
