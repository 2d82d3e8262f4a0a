"""``WorkerPool``: the scope in which routines dispatch.

Entering starts the workers and binds the way to them; leaving takes all of it away again:
processes, sockets, directory, whatever happened inside.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, cast

from catena.dispatch.dispatcher import dispatcher
from catena.errors import ForkedPool, WorkerStartError
from catena.ids import new_id
from catena.pool import forking
from catena.pool.arguments import (
    Loop,
    checked_bootstrap,
    checked_loop,
    checked_number,
    checked_patience,
)
from catena.pool.bootstrap import check_started_as
from catena.pool.heartbeat import Heartbeat
from catena.pool.output import OutputRelay
from catena.pool.process import Worker
from catena.pool.socket_dir import SocketDirectory, remove_stale
from catena.proxy.balance import Proxy


class WorkerPool:
    """Worker processes on this machine that live as long as an ``async with`` block.

    ``spawn`` is the number of workers (by default one for each CPU). ``start_timeout`` is how many
    seconds they may take to come up, ``stop_timeout`` how many they may take to clean up before
    they are ended by force. ``loop`` is the event loop that they run: "uvloop", "asyncio", or
    "auto", the default, for which CATENA_LOOP may name one of the two, and which otherwise is
    uvloop where it is installed. With ``strict`` a chain with values that cannot be (un)pickled is
    refused with one ChainSerializationError for all of them, here and on the workers; otherwise
    each such value is left out with a SerializationWarning. ``bootstrap`` names a function, as
    "module:function", that every worker calls before it serves; if it returns a callable, that is
    called before the worker ends, with the seconds that it may take. Without it the environment
    variable CATENA_WORKER_BOOTSTRAP decides. ``gc_threshold`` is passed to ``gc.set_threshold`` on
    the workers: the garbage collector runs after so many new objects, with 0 never. None keeps
    Python's default; a larger number saves time, but reference cycles in your code live longer.

    Entering raises an ExceptionGroup of WorkerStartError, one for each reason for which workers did
    not come up; constructing raises TypeError and ValueError for a wrong option. A pool is entered
    once.
    """

    def __init__(  # noqa: PLR0913 - each is an option of its own
        self,
        spawn: int | None = None,
        *,
        start_timeout: float = 30.0,
        stop_timeout: float = 2.5,
        loop: Loop = "auto",
        strict: bool = False,
        bootstrap: str | None = None,
        gc_threshold: int | None = None,
    ) -> None:
        self._spawn = checked_number("spawn", spawn, least=1) or _count_processors()
        self._start_timeout = checked_patience("start_timeout", start_timeout)
        self._stop_timeout = checked_patience("stop_timeout", stop_timeout)
        self._strict = strict
        # What each worker is given, as JSON has it.
        self._options = {
            "loop": checked_loop(loop),
            "stop_timeout": self._stop_timeout,
            "strict": strict,
            "bootstrap": checked_bootstrap(bootstrap),
            "gc_threshold": checked_number("gc_threshold", gc_threshold, least=0),
        }
        self._workers: list[Worker] = []
        self._proxy: Proxy | None = None
        self._outer: object = None
        # The process that entered it; 0 before that.
        self._opened_by = 0
        # What takes away again what was made, the last first.
        self._stack = AsyncExitStack()

    @property
    def workers(self) -> tuple[str, ...]:
        """The ids of the workers, in their order; empty before the pool is entered."""
        return tuple(worker.id for worker in self._workers)

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each worker, by its id."""
        return {worker.id: worker.pid for worker in self._workers}

    if not TYPE_CHECKING:
        # Only at run time: a type checker says by itself that a pool has no `with`.
        def __enter__(self) -> NoReturn:
            raise TypeError(
                "a pool waits for its workers when it opens and when it closes: write"
                " `async with catena.WorkerPool(...):`"
            )

        def __exit__(self, *_: object) -> None: ...

    async def __aenter__(self) -> Self:
        if self._opened_by:
            raise RuntimeError("a WorkerPool is entered once; make another one")
        self._opened_by = os.getpid()
        if sys.platform not in ("linux", "darwin"):
            raise WorkerStartError(
                worker="any", cause=f"Catena runs on Linux and macOS, this is {sys.platform}"
            )
        check_started_as()
        self._stack.callback(forking.pool_opened())
        heartbeat = Heartbeat()
        heartbeat.start()
        self._stack.callback(heartbeat.stop)
        try:
            await self._start_workers()
        except BaseException:
            await self._stop_shielded()
            raise
        self._outer = dispatcher.get()
        dispatcher.set(self._proxy)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if dispatcher.get() is self._proxy:
            dispatcher.set(self._outer)  # type: ignore[arg-type]
        if self._opened_by == os.getpid():
            await self._stop_shielded()
        elif error is None:
            raise ForkedPool(opened_by=self._opened_by)

    async def _start_workers(self) -> None:
        await asyncio.to_thread(remove_stale)
        scratch = _make_directory()
        self._stack.callback(scratch.remove)
        relay = OutputRelay()
        self._stack.push_async_callback(asyncio.to_thread, relay.finish_copying, 1.0)
        secret = secrets.token_bytes(32)
        options = {**self._options, "secret": secret.hex()}
        label = scratch.path.name.rpartition("-")[2]
        self._workers = [
            Worker(f"{label}-{number}", scratch.socket_path(number), relay, options)
            for number in range(self._spawn)
        ]
        self._stack.push_async_callback(self._stop_workers)
        waits = (worker.start(self._start_timeout) for worker in self._workers)
        outcomes = await asyncio.gather(*waits, return_exceptions=True)
        failures = [one for one in outcomes if isinstance(one, BaseException)]
        for failure in failures:
            if not isinstance(failure, WorkerStartError):
                raise failure
        _raise_failures(_one_a_cause(cast("list[WorkerStartError]", failures)))
        members = tuple((worker.id, worker.target) for worker in self._workers)
        name = f"parent-{os.getpid()}"
        self._proxy = Proxy(new_id(), members, name, secret=secret, strict=self._strict)
        self._stack.push_async_callback(self._proxy.close)
        _raise_failures(await self._proxy.connect_all())

    async def _stop_workers(self) -> None:
        for worker in self._workers:
            worker.ask_to_end()
        waits = (worker.wait_stopped(self._stop_timeout) for worker in self._workers)
        await asyncio.gather(*waits, return_exceptions=True)

    async def _stop_shielded(self) -> None:
        """Take everything away, once, even when the caller is cancelled meanwhile."""
        stopping = asyncio.get_running_loop().create_task(self._stack.aclose())
        while not stopping.done():
            try:
                await asyncio.shield(stopping)
            except asyncio.CancelledError:
                # Being cancelled again does not leave processes behind; there is a deadline.
                if stopping.done():
                    raise
        stopping.result()

    def __repr__(self) -> str:
        return f"<WorkerPool of {self._spawn} workers>"


def _make_directory() -> SocketDirectory:
    try:
        return SocketDirectory()
    except OSError as error:
        raise WorkerStartError(worker="any", cause=str(error)) from error


def _raise_failures(failures: Sequence[BaseException]) -> None:
    if failures:
        raise BaseExceptionGroup("workers did not start", failures)


def _one_a_cause(failures: list[WorkerStartError]) -> list[WorkerStartError]:
    """Return one error for all workers that did not start for the same reason."""
    first: dict[tuple[str, int | None], WorkerStartError] = {}
    for one in failures:
        same = first.setdefault((one.cause, one.exit_code), one)
        if same is not one:
            same.worker += f", {one.worker}"
    return list(first.values())


def _count_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
