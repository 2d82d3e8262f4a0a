"""``BackgroundWorker``: runs the tasks of a queue in this process, each in its own context.

The engine's worker does the work. What is Catena's is one dependency, which the engine enters
before a task's own dependencies and leaves after them: it loads the task's snapshot and mounts it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from catena.background.docket_loading import (
    AdmissionBlocked,
    CurrentExecution,
    Depends,
    DocketExecution,
    Worker,
    current_execution,
)
from catena.background.mounting import RunningTask, mount_task, refuse_snapshot
from catena.background.queue import MARK, BackgroundQueue
from catena.background.routes import RoutedWay, RouteLease, RouteTable
from catena.background.snapshot import TaskContextSnapshot
from catena.background.store import StoredTask
from catena.background.watching import MOUNTS_SNAPSHOTS, stand_for_marker
from catena.context.tasks.displacement import install_task_factory
from catena.dispatch.dispatcher import bind_way, dispatcher
from catena.errors import QueueUnreachable, SnapshotError, TaskRefused
from catena.events.bus import poll
from catena.task_errors import SnapshotFault

_log = logging.getLogger("catena.background")

_POLL_SECONDS = 1.0
"""How often telemetry looks for an SDK."""
_MOST = 0.8
"""A snapshot is nearly lost when so large a part of its lifetime has passed."""


class BackgroundWorker:
    """Runs the tasks of an open queue, ``slots`` of them at a time, while its block lasts.

    Leaving the block waits for the tasks that run. A worker runs what was submitted in its own
    process, and what ``queue.import_tasks`` has imported. ``name`` is its name among the workers of
    the queue, by default its host and process. A worker that has been silent for
    ``redelivery_timeout`` seconds has its tasks taken over by another one. A worker whose slots are
    all taken looks each ``check_interval`` seconds whether one is free; so many short tasks want
    many slots, or a short interval.

    Raises ValueError for a wrong option.
    """

    def __init__(
        self,
        queue: BackgroundQueue,
        *,
        slots: int = 10,
        name: str | None = None,
        redelivery_timeout: float = 300.0,
        check_interval: float = 0.1,
    ) -> None:
        if not (type(slots) is int and slots >= 1):
            raise ValueError(f"slots must be a whole number of at least 1, it is {slots!r}")
        if not redelivery_timeout > 0:
            raise ValueError(f"redelivery_timeout must be more than 0, it is {redelivery_timeout}")
        if not check_interval > 0:
            raise ValueError(f"check_interval must be more than 0, it is {check_interval}")
        self._queue = queue
        self._slots = slots
        self._name = name
        self._redelivery = timedelta(seconds=redelivery_timeout)
        self._interval = timedelta(seconds=check_interval)
        self._running: asyncio.Task[None] | None = None
        self._routes = RouteTable()

    async def run_until_finished(self) -> None:
        """Run tasks until none is left, those that are due later included."""
        await self._start(lambda worker: worker.run_until_finished())

    async def __aenter__(self) -> Self:
        self._running = self._start(lambda worker: worker.run_forever())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        # The engine takes it for the request to stop, and finishes the tasks that it has.
        running.cancel()
        await asyncio.wait([running])
        if not running.cancelled():
            running.result()

    async def wait(self) -> None:
        """Wait until the worker has ended, which is a failure unless its block is left.

        Raises RuntimeError where the block has not been entered.
        """
        if self._running is None:
            raise RuntimeError("the worker does not run: enter its block first")
        await asyncio.shield(self._running)

    def _start(self, run: Callable[[Worker], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run the engine's worker in an empty Context, in which nothing but the pool is bound."""
        context = contextvars.Context()
        context.run(dispatcher.set, dispatcher.get(None))
        return asyncio.get_running_loop().create_task(self._serve(run), context=context)

    async def _serve(self, run: Callable[[Worker], Coroutine[Any, Any, None]]) -> None:
        install_task_factory()
        self._queue.docket.register(stand_for_marker, names=[MOUNTS_SNAPSHOTS])
        worker = Worker(
            self._queue.docket,
            name=self._name,
            concurrency=self._slots,
            redelivery_timeout=self._redelivery,
            minimum_check_interval=self._interval,
            fallback_task=_refuse_unknown,
            dependencies=[Depends(self._mount)],
        )
        polling = asyncio.create_task(_keep_polling())
        try:
            await self._open_connections()
            async with worker:
                await run(worker)
        finally:
            polling.cancel()
            await self._routes.close()

    async def _open_connections(self) -> None:
        try:
            await self._queue.store.open_connections(self._slots)
        except* QueueUnreachable:
            # The engine's worker waits until the server is there, and says so.
            _log.warning("queue %s cannot be reached yet", self._queue.name)

    @asynccontextmanager
    async def _mount(self) -> AsyncGenerator[None]:
        """Have a task run in its context: what the engine enters first, for each of its runs."""
        options = self._queue.options
        task = await self._find_context(current_execution.get())
        is_child = options.trace == "parent"
        with (
            mount_task(task, strict=options.strict, is_child=is_child, parks=(AdmissionBlocked,)),
            self._bind_route(task),
        ):
            yield

    @contextmanager
    def _bind_route(self, task: RunningTask) -> Generator[None]:
        """Have nested calls go to the pool of the submitter, where that can be found again."""
        route = None if task.snapshot is None else task.snapshot.route
        if not route:
            yield
            return
        lease = RouteLease(self._routes, route)
        try:
            with bind_way(RoutedWay(lease, asyncio.get_running_loop())):
                yield
        finally:
            lease.release()

    async def _find_context(self, execution: DocketExecution) -> RunningTask:
        """Return a task with its snapshot. Raises SnapshotError where it is not to run without."""
        options = self._queue.options
        function = self._queue.find_function(execution.function_name)
        name = execution.function_name if function is None else function.name
        submission: str = getattr(execution.kwargs, MARK, "")
        task = RunningTask(execution.key, name, self._queue.name, execution.attempt, submission)
        is_repetition = function is not None and execution.function_name != function.name
        stored = StoredTask(
            execution.key,
            submission,
            execution.generation,
            function is not None and function.repeats and (is_repetition or bool(submission)),
        )
        wait = 0.0 if function is None else function.longest_wait
        found = await self._queue.store.load_snapshot(stored, options.lifetime + wait)
        if not found.text:
            if not (function is not None and function.is_automatic and is_repetition):
                is_marked = bool(found.submission) or is_repetition
                refuse_snapshot(_describe_lack(task, is_marked=is_marked), task, options.tolerate)
            return task
        try:
            snapshot = TaskContextSnapshot.from_json(
                found.text, key=options.secrets, task_key=task.key, submission=found.submission
            )
        except SnapshotError as error:
            refuse_snapshot(error, task, options.tolerate)
            return task
        # Its lifetime began anew when the task became due, or was put off until then.
        waited = time.time() - execution.when.timestamp()
        nearly_lost = waited > _MOST * options.lifetime
        return task._replace(
            submission=found.submission, snapshot=snapshot, nearly_lost=nearly_lost
        )


def _describe_lack(task: RunningTask, *, is_marked: bool) -> SnapshotError:
    fault: SnapshotFault = "missing" if is_marked else "unmarked"
    cause = (
        "it is not in the store any more, or has never been there"
        if is_marked
        else "the task was added without Catena"
    )
    return SnapshotError(task=task.key, fault=fault, cause=cause)


async def _refuse_unknown(
    *_: Any,
    execution: DocketExecution = CurrentExecution(),  # noqa: B008 - so the engine hands it in
    **__: Any,
) -> None:
    """Stand in for a routine that this worker does not know; the engine would drop the task."""
    cause = "this worker does not know it; start it with --import and the module of the routine"
    raise TaskRefused(routine=execution.function_name, cause=cause)


async def _keep_polling() -> None:
    while True:
        poll()
        await asyncio.sleep(_POLL_SECONDS)
