"""Handles: a task that was submitted, seen from anywhere that reaches its queue."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Generic, TypeVar, cast

from catena.background.docket_loading import (
    Docket,
    DocketExecution,
    ExecutionCancelled,
    ExecutionState,
    RedisError,
)
from catena.background.store import reaching
from catena.dispatch.queueing import TaskProgress, TaskState
from catena.errors import QueueUnreachable, SnapshotError, TaskCancelled
from catena.events import announced
from catena.wording import reason

T = TypeVar("T")

_OVER = (ExecutionState.COMPLETED, ExecutionState.FAILED, ExecutionState.CANCELLED)


class DocketTask(Generic[T]):
    """The handle of a task that a docket keeps. ``is_new`` says that this submission added it."""

    def __init__(self, docket: Docket, execution: DocketExecution, *, is_new: bool) -> None:
        self._docket = docket
        self._execution = execution
        self.is_new = is_new

    @property
    def key(self) -> str:
        """The task's key, by which its queue finds it."""
        return self._execution.key

    @property
    def function(self) -> str:
        """The name of the routine that it runs."""
        return self._execution.function_name

    async def result(self, timeout: float | None = None) -> T:
        """Wait for the end, at most ``timeout`` seconds, and return what the routine returned.

        None is returned where that was None, or is no longer kept. Raises what the routine raised,
        SnapshotError where its context could not be mounted, TimeoutError when the time is up,
        TaskCancelled, and QueueUnreachable.
        """
        limit = None if timeout is None else timedelta(seconds=timeout)
        try:
            return cast("T", await self._execution.get_result(timeout=limit))
        except ExecutionCancelled:
            raise TaskCancelled(task=self.key, routine=self.function) from None
        except ExceptionGroup as group:
            raise _refusal_in(group) or group from None
        except RedisError as error:
            if self._execution.state in _OVER:
                # It may be the task's own.
                raise
            failed = QueueUnreachable(
                queue=self._docket.name, doing="give a result", cause=reason(error)
            )
            raise announced(failed) from error

    async def state(self) -> TaskState:
        """Return where the task is now. Raises QueueUnreachable."""
        await self._sync()
        return self._execution.state.value

    async def progress(self) -> TaskProgress:
        """Return how far it says that it is. Raises QueueUnreachable."""
        await self._sync()
        said = self._execution.progress
        return TaskProgress(said.current, said.total, said.message)

    async def cancel(self) -> None:
        """Cancel it: it does not begin, or is cancelled where it waits.

        The engine passes that on to a worker as far as it can: a message that is lost changes
        nothing, and ``state`` says so. Raises QueueUnreachable.
        """
        async with reaching(self._docket.name, "cancel a task"):
            await self._docket.cancel(self.key)

    async def _sync(self) -> None:
        async with reaching(self._docket.name, "say how a task is"):
            await self._execution.sync()

    def __repr__(self) -> str:
        return f"<DocketTask {self.function} key={self.key!r}>"


def _refusal_in(group: BaseExceptionGroup[Any]) -> SnapshotError | None:
    """Return why a task's context was not mounted, where the engine's group says that."""
    for one in group.exceptions:
        if isinstance(one, SnapshotError):
            return one
    return None
