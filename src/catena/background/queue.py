"""``BackgroundQueue``: where routines are submitted as tasks, and which Redis keeps them.

The engine is a docket of pydocket. Its one rule: a snapshot is stored before its task is added, and
the task takes along which submission it is of; so no task ever finds another one's context.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import importlib
import logging
from collections import OrderedDict
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Self

from catena.background.docket_loading import Disposition, Docket, DocketExecution
from catena.background.functions import (
    TaskFunction,
    find_routines,
    loaded_modules,
    make_task_function,
)
from catena.background.handles import DocketTask
from catena.background.mounting import TOLERABLE
from catena.background.routes import describe_route
from catena.background.sealing import Secrets
from catena.background.snapshot import TaskContextSnapshot
from catena.background.store import DocketStore, reaching
from catena.background.watching import WorkerWatch
from catena.dispatch.declaration import Declaration
from catena.dispatch.queueing import (
    TaskOrder,
    bind_queue,
    claim_default_queue,
    release_default_queue,
)
from catena.errors import NoQueue, TaskRefused
from catena.events import TaskSubmission
from catena.events.bus import poll
from catena.events.carrier import relayed
from catena.ids import new_id

Trace = Literal["link", "parent"]

MARK = "catena_submission"
"""The attribute of a task's keyword arguments that says which submission it is of."""

_log = logging.getLogger("catena.background")


class QueueOptions:
    """What a queue was asked for, checked."""

    def __init__(
        self,
        *,
        secret: bytes | Sequence[bytes] | None,
        encrypt: bool,
        strict: bool,
        lifetime: float,
        tolerate: Collection[str],
        trace: Trace,
    ) -> None:
        self.secrets = None if secret is None else Secrets(secret)
        if encrypt and secret is None:
            raise ValueError("encrypt=True needs a secret")
        if not lifetime > 0:
            raise ValueError(f"lifetime must be more than 0, it is {lifetime!r}")
        self.tolerate = frozenset(tolerate)
        if wrong := self.tolerate - TOLERABLE:
            allowed = ", ".join(sorted(TOLERABLE))
            raise ValueError(f"tolerate may name {allowed}, not {', '.join(sorted(wrong))}")
        if trace not in ("link", "parent"):
            raise ValueError(f"trace must be 'link' or 'parent', not {trace!r}")
        self.encrypt, self.strict, self.lifetime, self.trace = encrypt, strict, lifetime, trace


class BackgroundQueue:
    """Where routines are submitted to run as background tasks, in other processes and later.

    ``url`` is that of a Redis server (``redis://``, ``rediss://``, ``unix://``), or ``memory://``,
    whose tasks live and die with this process. ``name`` keeps several queues of one server apart.
    ``async with`` opens it and binds it for the block; a ``default`` one serves the whole process.

    With a ``secret``, bytes that submitters and workers share, the stored contexts have a MAC, and
    with ``encrypt`` they are encrypted; of several secrets the first one writes and all read.
    ``strict`` refuses a context with values that cannot be pickled. A context is kept for
    ``lifetime`` seconds after the task became due, and from each of its runs on; results are kept
    for ``keep_results`` seconds. ``tolerate`` says for which faults of a stored context a task runs
    without it; it fails for all others. With ``trace="parent"`` a task continues the trace of its
    submission, to which it is otherwise linked.

    Raises TypeError and ValueError for a wrong option.
    """

    def __init__(  # noqa: PLR0913 - each is an option of its own
        self,
        url: str,
        *,
        name: str = "catena",
        default: bool = False,
        secret: bytes | Sequence[bytes] | None = None,
        encrypt: bool = False,
        strict: bool = False,
        lifetime: float = 86_400.0,
        keep_results: float = 900.0,
        tolerate: Collection[str] = ("unmarked",),
        trace: Trace = "link",
    ) -> None:
        if not keep_results > 0:
            raise ValueError(f"keep_results must be more than 0, it is {keep_results!r}")
        self.options = QueueOptions(
            secret=secret,
            encrypt=encrypt,
            strict=strict,
            lifetime=lifetime,
            tolerate=tolerate,
            trace=trace,
        )
        self.url, self.name = url, name
        self.docket = Docket(name, url, execution_ttl=timedelta(seconds=keep_results))
        self.store = DocketStore(self.docket, is_local=self.is_local)
        self._default = default
        self._home: asyncio.AbstractEventLoop | None = None
        self._functions: dict[str, TaskFunction] = {}
        self._by_name: dict[str, TaskFunction] = {}
        self._watch = WorkerWatch(self.docket)
        self._binding = ExitStack()

    @property
    def is_open(self) -> bool:
        """Whether tasks can be submitted and run."""
        return self._home is not None

    @property
    def is_local(self) -> bool:
        """Whether its tasks live and die with this process."""
        return self.url.startswith("memory:")

    async def open(self) -> Self:
        """Connect to the server, and return the queue; it serves where it is bound.

        Raises QueueUnreachable, and RuntimeError when it is open, or when it is to be the default
        and the process has another one.
        """
        if self.is_open:
            raise RuntimeError(
                "this queue is open already; `with queue.bound():` binds it elsewhere"
            )
        if self._default:
            claim_default_queue(self)
        try:
            await _run_apart(self._connect())
        except BaseException:
            release_default_queue(self)
            raise
        self._home = asyncio.get_running_loop()
        if self.is_local:
            _log.warning("queue %s is memory://: its tasks die with this process", self.name)
        poll()
        return self

    async def close(self) -> None:
        """Disconnect. Tasks stay where they are, other than those of ``memory://``."""
        if self._home is None:
            return
        if self._home is not asyncio.get_running_loop():
            raise RuntimeError("a queue is closed on the event loop that it was opened on")
        self._home = None
        release_default_queue(self)
        await self._watch.stop()
        self.store.end_transfers()
        await _run_apart(self.docket.__aexit__(None, None, None))

    @contextmanager
    def bound(self) -> Generator[Self]:
        """Have what is submitted within the block go to this queue. Raises NoQueue."""
        self._check_open("")
        with bind_queue(self):
            yield self

    async def __aenter__(self) -> Self:
        await self.open()
        self._binding.enter_context(bind_queue(self))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._binding.close()
        await self.close()

    async def find(self, key: str) -> DocketTask[Any] | None:
        """Return the handle of the task with a key, None where there is none.

        Raises NoQueue and QueueUnreachable.
        """
        self._check_open("")
        async with reaching(self.name, "find a task"):
            execution = await self.docket.get_execution(key)
        return None if execution is None else DocketTask(self.docket, execution, is_new=False)

    def import_tasks(self, modules: Iterable[str]) -> list[str]:
        """Import modules, and know their routines as tasks; return the names of these.

        Raises whatever an import raises, and TaskRefused for a routine that cannot be a task.
        """
        names: list[str] = []
        for name in modules:
            importlib.import_module(name)
            for module in loaded_modules(name):
                found = [one for one in find_routines(module) if not one.stream]
                names += [self.know_routine(declared).name for declared in found]
        return sorted(names)

    def know_routine(self, declared: Declaration) -> TaskFunction:
        """Return a routine as a task, which workers of this queue in this process can run.

        Raises TaskRefused.
        """
        known = self._functions.get(declared.name)
        if known is not None and known.declared is declared:
            return known
        if known is not None and known.declared.function.__module__ == declared.function.__module__:
            # Its module was loaded anew.
            known = None
        if known is not None:
            cause = f"{known.declared.function!r} is a task of that name already"
            raise TaskRefused(routine=declared.name, cause=cause)
        function = make_task_function(declared, is_local=self.is_local)
        try:
            self.docket.register(function.run, names=function.names)
        except (TypeError, ValueError) as error:
            raise TaskRefused(routine=declared.name, cause=str(error)) from error
        self._functions[declared.name] = function
        self._by_name |= dict.fromkeys(function.names, function)
        return function

    def find_function(self, name: str) -> TaskFunction | None:
        """Return the task that goes by one of its names; None for one that is not of Catena."""
        return self._by_name.get(name)

    async def submit_task(self, order: TaskOrder) -> DocketTask[Any]:
        """Add a task with the context of the running code, and return its handle.

        Raises NoQueue, TaskRefused, QueueUnreachable, and what a capture raises.
        """
        name = order.declared.name
        self._check_open(name)
        function = self.know_routine(order.declared)
        key = order.key or new_id().hex()
        if not TaskSubmission.observers:
            return await self._submit(order, function, key, None)
        is_delayed = order.when is not None
        with TaskSubmission(name, self.name, key, is_delayed=is_delayed) as observed:
            return await self._submit(order, function, key, observed)

    async def _submit(
        self, order: TaskOrder, function: TaskFunction, key: str, observed: TaskSubmission | None
    ) -> DocketTask[Any]:
        options, now = self.options, datetime.now(UTC)
        when = _due_at(order.when, now)
        snapshot = TaskContextSnapshot.capture(
            key, function.name, strict=options.strict, encrypts=options.encrypt
        )
        carrier = relayed.get() if observed is None else observed.carrier or relayed.get()
        snapshot = dataclasses.replace(
            snapshot,
            manifest=snapshot.manifest.carrying(carrier) if carrier else snapshot.manifest,
            route=describe_route(),
        )
        text = snapshot.to_json(key=options.secrets, encrypt=options.encrypt)
        seconds = options.lifetime + max(0.0, (when - now).total_seconds())
        docket: Any = await self.store.join_snapshot(snapshot, text, seconds)
        execution = DocketExecution(
            docket,
            function.run,
            order.args,
            mark_arguments(order.kwargs, snapshot.submission),
            key,
            when,
            attempt=1,
            function_name=function.name,
        )
        task = await self._add(execution, replace=order.replace)
        if observed is not None:
            observed.chain_id, observed.size = snapshot.chain_id, len(text)
            observed.is_new = task.is_new
        if not task.is_new:
            await self.store.drop_snapshot(snapshot)
        self._watch.look_soon()
        return task

    async def _add(self, execution: DocketExecution, *, replace: bool) -> DocketTask[Any]:
        async with reaching(self.name, "add a task"):
            if self.docket.strike_list.is_stricken(execution):
                execution.disposition = Disposition.STRUCK
            else:
                await execution.schedule(replace=replace)
        if execution.disposition is Disposition.STRUCK:
            cause = "a strike of the queue forbids it"
            raise TaskRefused(routine=execution.function_name, cause=cause)
        is_new = execution.disposition is Disposition.SCHEDULED
        return DocketTask(self.docket, execution, is_new=is_new)

    async def _connect(self) -> None:
        async with reaching(self.name, "be opened"):
            await self.docket.__aenter__()

    def _check_open(self, routine: str) -> None:
        if self._home is None:
            raise NoQueue(routine=routine, reason=f"queue {self.name} is not open")
        if self._home is not asyncio.get_running_loop():
            why = f"queue {self.name} was opened on another event loop than the one that runs here"
            raise NoQueue(routine=routine, reason=why)

    def __repr__(self) -> str:
        return f"<BackgroundQueue {self.name}>"


def mark_arguments(kwargs: dict[str, Any], submission: str) -> OrderedDict[str, Any]:
    """Return keyword arguments that say which submission they are of, as far as Catena looks.

    For everybody else, workers without Catena among them, they are an ordinary OrderedDict.
    """
    marked: Any = OrderedDict(kwargs)
    setattr(marked, MARK, submission)
    return marked


def _due_at(when: datetime | timedelta | None, now: datetime) -> datetime:
    if when is None:
        return now
    return now + when if isinstance(when, timedelta) else when


async def _run_apart(work: Any) -> None:
    """Run what the engine starts in a Context of its own: it must not hold anybody's variables."""
    await asyncio.get_running_loop().create_task(work, context=contextvars.Context())
