"""What happens to background tasks: they are submitted, run, and their snapshots may be refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from catena.errors import SnapshotError
from catena.events.bus import Event, Operation
from catena.events.carrier import NO_CARRIER, Carrier
from catena.ids import Key


class TaskSubmission(Operation):
    """A routine is submitted to a queue, to be run as a task: from the capture until it is added.

    ``function`` is the routine's name, ``queue`` that of the queue, ``task_key`` the task's key.
    ``chain_id`` is the chain that its runs fork from, empty without one; ``size`` is how many bytes
    its snapshot takes; ``is_new`` is false where a task with this key was there already; both are
    known at the end. ``is_delayed`` says that it becomes due later. An observer may assign
    ``carrier``, which the snapshot keeps, and ``span``, for its own use.
    """

    chain_id: bytes = b""
    size: int = 0
    is_new: bool = True
    carrier: Carrier | None = None
    span: Any = None
    context: Any = None
    system: ClassVar[str] = "docket"
    operation: ClassVar[str] = "send"

    def __init__(self, function: str, queue: str, task_key: str, *, is_delayed: bool) -> None:
        self.function = function
        self.queue = queue
        self.task_key = task_key
        self.is_delayed = is_delayed

    @property
    def outcome(self) -> str:
        """Whether the task was ``added``, or there was one ``present`` with its key."""
        return "added" if self.is_new else "present"

    def __repr__(self) -> str:
        return f"<TaskSubmission {self.function} {self.task_key}>"


class TaskRun(Operation):
    """A task runs in a worker, from before its context is mounted until that is unmounted.

    ``attempt`` counts from 1. ``chain_id`` is the run's own chain and ``parent_id`` the
    submission's, both empty without one; ``carrier`` is what an observer left at the submission,
    ``age`` the seconds since then, None for a task without a snapshot; ``producer`` the version
    that submitted it, empty then. ``nearly_lost`` says that little was left of the time for which
    its snapshot is kept. With ``is_child`` the trace of the submission goes on in the run.
    ``outcome`` is known at the end: ``parked`` says that the engine has put the task off.

    Nobody else runs in the run's Context, so what an observer leaves there need not be undone. It
    may assign ``span`` and ``context``, for its own use.
    """

    outcome: str = ""
    span: Any = None
    context: Any = None
    system: ClassVar[str] = "docket"
    operation: ClassVar[str] = "process"

    def __init__(  # noqa: PLR0913 - each is a fact of its own
        self,
        function: str,
        queue: str,
        task_key: str,
        attempt: int,
        *,
        chain_id: bytes = b"",
        parent_id: bytes = b"",
        carrier: Carrier = NO_CARRIER,
        age: float | None = None,
        producer: str = "",
        is_child: bool = False,
        nearly_lost: bool = False,
    ) -> None:
        self.function = function
        self.queue = queue
        self.task_key = task_key
        self.attempt = attempt
        self.chain_id = chain_id
        self.parent_id = parent_id
        self.carrier = carrier
        self.age = age
        self.producer = producer
        self.is_child = is_child
        self.nearly_lost = nearly_lost

    @property
    def release(self) -> str:
        """The submitter's version without its last number, ``none`` without a snapshot."""
        return ".".join(self.producer.split(".")[:2]) or "none"

    def __repr__(self) -> str:
        return f"<TaskRun {self.function} {self.task_key} attempt={self.attempt}>"


@dataclass(frozen=True, slots=True)
class SnapshotRefused(Event):
    """The snapshot of a task cannot be used: it is gone, another task's, forged, or unknown.

    Where that is ``tolerated`` the task runs without context; else it fails with the ``error``.
    """

    error: SnapshotError
    function: str
    queue: str
    tolerated: bool

    @property
    def task_key(self) -> str:
        """The key of the task."""
        return self.error.task

    @property
    def unexpected(self) -> bool:
        """Whether the task fails."""
        return not self.tolerated

    @property
    def fault(self) -> str:
        """What is wrong with it, in one word."""
        return self.error.fault

    @property
    def follows(self) -> str:
        """What happens now, in words."""
        return "the task runs without context" if self.tolerated else "the task fails"


@dataclass(frozen=True, slots=True)
class ValueExpired(Event):
    """A stored value was no longer valid when its task began, and was left out."""

    key: Key
    task_key: str
    function: str


@dataclass(frozen=True, slots=True)
class WorkerWithoutContext(Event):
    """Workers of a queue do not say that they can mount snapshots: a task may run without."""

    queue: str
    workers: tuple[str, ...]
