"""The port through which a routine is submitted as a task; a queue implements it and binds it.

A queue is found as a pool is: the one that is bound in the context, or else the process's default.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import update_wrapper
from typing import Any, Literal, NamedTuple, ParamSpec, Protocol, TypeVar

from catena.dispatch.declaration import Declaration
from catena.errors import NoQueue

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)

TaskState = Literal["scheduled", "queued", "running", "completed", "failed", "cancelled"]
"""Where a task is: due later, due now, run by a worker, or over."""


class TaskProgress(NamedTuple):
    """How far a task says that it is: so many of so many, None where it has not said anything."""

    current: int | None = None
    total: int = 1
    message: str | None = None


class TaskHandle(Protocol[T_co]):
    """A task that was submitted, seen from anywhere."""

    @property
    def key(self) -> str:
        """The task's key."""
        ...

    @property
    def is_new(self) -> bool:
        """Whether this submission added the task; false where one with its key was there."""
        ...

    async def result(self, timeout: float | None = None) -> T_co:
        """Wait for the end, at most ``timeout`` seconds, and return what the routine returned.

        Raises what the routine raised, TimeoutError, TaskCancelled and QueueUnreachable.
        """
        ...

    async def state(self) -> TaskState:
        """Return where the task is now. Raises QueueUnreachable."""
        ...

    async def progress(self) -> TaskProgress:
        """Return how far it says that it is. Raises QueueUnreachable."""
        ...

    async def cancel(self) -> None:
        """Cancel it: before it runs, or while it does. Raises QueueUnreachable."""
        ...


class Submits(Protocol[P, R_co]):
    """What a routine is submitted by, once it is said where, when and under which key."""

    def submit(
        self: Submits[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, TaskHandle[T]]:
        """Have the routine run as a background task, and return its handle.

        Raises NoQueue, TaskRefused, QueueUnreachable, and what a capture raises.
        """
        ...


class TaskOrder(NamedTuple):
    """A task as it is asked for: when it becomes due (None for now), and under which key.

    With ``replace`` it takes the place of the task that has the key.
    """

    declared: Declaration
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    when: datetime | timedelta | None = None
    key: str | None = None
    replace: bool = False


class TaskQueue(Protocol):
    """A queue, as far as routines know it."""

    async def submit_task(self, order: TaskOrder, /) -> TaskHandle[Any]:
        """Add a task with the context of the running code, and return its handle."""
        ...


queue: contextvars.ContextVar[TaskQueue | None] = contextvars.ContextVar(
    "catena.queue", default=None
)
"""The queue that is bound in the current scope."""

_default: TaskQueue | None = None


@contextmanager
def bind_queue(bound: TaskQueue) -> Generator[None]:
    """Have what is submitted within the block go to a queue, and restore what was bound."""
    outer = queue.get()
    queue.set(bound)
    try:
        yield
    finally:
        # The block may be left in another Context than it was entered in.
        if queue.get() is bound:
            queue.set(outer)


def claim_default_queue(claiming: TaskQueue) -> None:
    """Make a queue the process's default. Raises RuntimeError while another one is."""
    global _default  # noqa: PLW0603 - the process's own
    if _default is not None and _default is not claiming:
        raise RuntimeError(f"this process has a default queue already: {_default!r}")
    _default = claiming


def release_default_queue(released: TaskQueue) -> None:
    """Have no default queue any more, if it was this one."""
    global _default  # noqa: PLW0603 - the process's own
    if _default is released:
        _default = None


def find_queue(routine: str) -> TaskQueue:
    """Return the queue of the current scope. Raises NoQueue."""
    found = queue.get() or _default
    if found is None:
        raise NoQueue(routine=routine)
    return found


def is_queued(given: tuple[Any, ...], asked: dict[str, Any]) -> bool:
    """Say whether the arguments of a routine's ``on`` are about a queue, and not about a pool."""
    return bool(asked.keys() & {"when", "key", "replace"}) or (
        bool(given) and hasattr(given[0], "submit_task")
    )


def submit_routine(declared: Declaration, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
    """Check the arguments of a task, and return what adds it where it is awaited."""
    declared.check(*args, **kwargs)
    return _submit(None, TaskOrder(declared, args, kwargs))


def make_submitter(
    declared: Declaration,
    to: TaskQueue | None = None,
    /,
    *,
    when: datetime | timedelta | None = None,
    key: str | None = None,
    replace: bool = False,
) -> Callable[..., Any]:
    """Return a routine as what is submitted to a queue, at a time, under a key.

    Raises TypeError and ValueError for arguments that say no such thing.
    """
    _check_route(to, when, key, replace=replace)

    def submit(*args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        declared.check(*args, **kwargs)
        return _submit(to, TaskOrder(declared, args, kwargs, when, key, replace))

    def call(*_: Any, **__: Any) -> Any:
        raise TypeError(f"{declared.name} goes to a queue here: write `.submit(...)`")

    made: Any = update_wrapper(call, declared.function)
    made.submit = update_wrapper(submit, declared.function)
    return call


async def _submit(to: TaskQueue | None, order: TaskOrder) -> TaskHandle[Any]:
    return await (to or find_queue(order.declared.name)).submit_task(order)


def _check_route(to: object, when: object, key: object, *, replace: bool) -> None:
    if to is not None and not hasattr(to, "submit_task"):
        raise TypeError(f"when, key and replace are for a BackgroundQueue, not {type(to).__name__}")
    if when is not None and not isinstance(when, datetime | timedelta):
        raise TypeError(f"when is a datetime or a timedelta, not {type(when).__name__}")
    if isinstance(when, datetime) and when.tzinfo is None:
        raise ValueError(f"when needs a time zone, {when.isoformat()} has none")
    if key is not None and not (isinstance(key, str) and key):
        raise ValueError(f"key is a text that is not empty, not {key!r}")
    if replace and key is None:
        raise ValueError("replace needs the key of the task whose place is taken")
