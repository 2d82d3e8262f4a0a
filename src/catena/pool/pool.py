"""``WorkerPool``: the scope in which routines dispatch.

Entering starts the workers and binds the way to them; leaving takes all of it away again:
processes, sockets, directory, whatever happened inside.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from catena.dispatch.dispatcher import Dispatcher, bind_way
from catena.dispatch.open_pools import (
    claim_default,
    find_default,
    open_pools,
    release_pool,
    warn_of_lost,
)
from catena.errors import ForkedPool, NoPool, WorkerStartError
from catena.ids import MemberRecord
from catena.members import Launcher
from catena.pool import forking
from catena.pool.arguments import (
    Logging,
    Loop,
    Restart,
    checked_number,
    count_processors,
    describe_route,
)
from catena.pool.bootstrap import check_started_as
from catena.pool.changes import WorkerChanges
from catena.pool.heartbeat import Heartbeat
from catena.pool.process import Worker
from catena.pool.running import RunningPool
from catena.pool.settings import check_settings


class WorkerPool(WorkerChanges):
    """Worker processes that live as long as an ``async with`` block, or are found by ``discovery``.

    ``spawn`` is the number of workers that are started on this machine: by default one for each
    CPU, and none with ``discovery`` or ``launcher``. ``discovery`` says where others are found, as
    ``catena.discovery`` explains; the pool neither starts nor ends those, and at most ``max_found``
    are used, None for all. A ``launcher``, as ``catena.engines`` has them, starts workers elsewhere
    for the pool, and ends them. Opening waits until ``quorum`` of those that are found or launched
    are there, by default one that is found and all that are launched, for at most
    ``quorum_timeout`` seconds. Those on other machines are called with the folder of
    ``credentials``, and have to prove that they are workers of the pool of that ``name``; where it
    is ``insecure``, nobody proves anything.
    ``start_timeout`` is how many seconds they may take to come up, ``stop_timeout`` how many they
    may take to clean up before they are ended by force. ``loop`` is the event loop that they run:
    "uvloop", "asyncio", or "auto", the default, for which CATENA_LOOP may name one of the two, and
    which otherwise is uvloop where it is installed. With ``strict`` a chain with values that cannot
    be (un)pickled is refused with one ChainSerializationError for all of them, here and on the
    workers; otherwise each such value is left out with a SerializationWarning. ``bootstrap`` names
    a function, as "module:function", that every worker calls before it serves; if it returns a
    callable, that is called before the worker ends, with the seconds that it may take. Without it
    the environment variable CATENA_WORKER_BOOTSTRAP decides. ``gc_threshold`` is passed to
    ``gc.set_threshold`` on the workers: the garbage collector runs after so many new objects, with
    0 never. None keeps Python's default; a larger number saves time, but reference cycles in your
    code live longer. ``slots`` is how many plain functions each worker runs at a time; calls for
    which none is free wait, at most ``max_waiting`` of them (any number for None), and more are
    refused with Busy. ``max_calls_in_flight`` is how many calls each worker runs at a time, plain
    functions aside: it refuses more, and Busy is raised when all do. ``refuse`` names a function,
    as "module:function", that every worker calls with the number of its active calls and the name
    of the routine, before a call begins there; it refuses the call by returning True, or the
    reason. With a ``prefix`` each line that a worker prints begins with its id. With
    ``logging="parent"`` what workers log is handled by the loggers of this process, whose levels
    hold there as well. ``unresponsive_after`` is how many seconds a worker may leave the pool
    without any answer, as one does whose event loop is blocked; then it is killed. With None it
    never is. With ``restart="always"`` another worker takes the place of one that dies: at once
    when calls have been answered since the last death, otherwise after a pause that grows up to
    ``restart_pause`` seconds; after ``restart_limit`` deaths without an answer it starts no more.
    ``restart="never"`` replaces none. ``drain_timeout`` is how many seconds a worker that is to go
    may take for the calls that it has. A worker is replaced in that way, too, when it has answered
    about ``max_calls`` calls of this process, or holds about ``max_memory`` bytes of memory; one
    after the other.

    ``async with`` opens the pool and binds it for the block; ``open`` and ``close`` do the same for
    code that begins and ends elsewhere. A ``default`` pool serves all calls of the process that
    have no other pool bound.

    Opening raises an ExceptionGroup of WorkerStartError, one for each reason for which workers did
    not come up; constructing raises TypeError and ValueError for a wrong option.
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
        unresponsive_after: float | None = 30.0,
        default: bool = False,
        slots: int = 1,
        max_waiting: int | None = None,
        restart: Restart = "always",
        restart_limit: int = 8,
        restart_pause: float = 10.0,
        drain_timeout: float = 30.0,
        max_calls: int | None = None,
        max_memory: int | None = None,
        max_calls_in_flight: int | None = None,
        refuse: str | None = None,
        prefix: bool = False,
        logging: Logging = "worker",
        discovery: str | Sequence[str | MemberRecord] | None = None,
        launcher: Launcher | None = None,
        quorum: int | None = None,
        quorum_timeout: float = 30.0,
        max_found: int | None = None,
        credentials: str | os.PathLike[str] | None = None,
        name: str = "",
        insecure: bool = False,
    ) -> None:
        others = discovery is not None or launcher is not None
        least = 0 if others else count_processors()
        self._spawn = checked_number("spawn", spawn, least=1) or least
        self._default = default
        self._settings = check_settings(
            start_timeout=start_timeout,
            stop_timeout=stop_timeout,
            loop=loop,
            strict=strict,
            bootstrap=bootstrap,
            gc_threshold=gc_threshold,
            unresponsive_after=unresponsive_after,
            slots=slots,
            max_waiting=max_waiting,
            restart=restart,
            restart_limit=restart_limit,
            restart_pause=restart_pause,
            drain_timeout=drain_timeout,
            max_calls=max_calls,
            max_memory=max_memory,
            max_calls_in_flight=max_calls_in_flight,
            refuse=refuse,
            prefix=prefix,
            logging=logging,
            discovery=discovery,
            launcher=launcher,
            quorum=quorum,
            quorum_timeout=quorum_timeout,
            max_found=max_found,
            credentials=credentials,
            name=name,
            insecure=insecure,
        )
        self.way: Dispatcher | None = None
        self._running: RunningPool | None = None
        self._binding = ExitStack()
        self._home: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Task[None] | None = None
        self._noted = ExitStack()

    @property
    def workers(self) -> tuple[str, ...]:
        """The ids of the workers, in their order; empty before the pool is opened."""
        found = () if self._running is None else self._running.list_found()
        return (*(worker.id for worker in self._list_workers()), *found)

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each worker that the pool has started, by its id."""
        return {worker.id: worker.pid for worker in self._list_workers()}

    @property
    def route(self) -> dict[str, Any]:
        """How it is found from elsewhere, as JSON has it; empty where it cannot be."""
        return describe_route(self._settings.discovery, self._settings.trust)

    if not TYPE_CHECKING:
        # Only at run time: a type checker says by itself that a pool has no `with`.
        def __enter__(self) -> NoReturn:
            raise TypeError(
                "a pool waits for its workers when it opens and when it closes: write"
                " `async with catena.WorkerPool(...):`"
            )

        def __exit__(self, *_: object) -> None: ...

    async def open(self) -> Self:
        """Start the workers and return the pool; it serves where it is bound, or as the default.

        Raises what entering raises; DefaultPoolExists where the process has a default pool already,
        and RuntimeError when this one is open.
        """
        if self.is_open:
            raise RuntimeError("this pool is open already; `with pool.bound():` binds it elsewhere")
        self.abandon()
        if sys.platform not in ("linux", "darwin"):
            raise WorkerStartError(
                worker="any", cause=f"Catena runs on Linux and macOS, this is {sys.platform}"
            )
        check_started_as()
        self._home, self._closing = asyncio.get_running_loop(), None
        self._running = self.way = None
        if self._default:
            claim_default(self)
        self._opened_by = os.getpid()
        heartbeat = self._note_open()
        try:
            running = self._running = RunningPool(self._settings)
            self.way = await running.start(self._spawn, heartbeat)
        except BaseException:
            await self._close_shielded()
            raise
        return self

    async def close(self) -> None:
        """End the workers; calls that are open fail with WorkerLost. A closed pool stays closed.

        Raises ForkedPool in a process that was forked from the one that opened it, and RuntimeError
        on another event loop than the one that it was opened on.
        """
        if self._opened_by and not self.is_here:
            raise ForkedPool(opened_by=self._opened_by)
        if not self.is_open:
            self.abandon()
        elif self._home is asyncio.get_running_loop():
            await self._close_shielded()
        else:
            raise RuntimeError("a pool is closed on the event loop that it was opened on")

    @contextmanager
    def bound(self) -> Generator[Self]:
        """Have the calls that are made within the block go to this pool, whoever opened it.

        Raises NoPool when it is not open.
        """
        with bind_way(self.dispatcher):
            yield self

    async def __aenter__(self) -> Self:
        await self.open()
        self._binding.enter_context(bind_way(self.dispatcher))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._binding.close()
        if error is None or self.is_here:
            await self.close()

    def __del__(self) -> None:
        if self.is_here:
            warn_of_lost(self)
        self.abandon()

    def abandon(self, *, wait: bool = False) -> None:
        """End the workers of a pool that no event loop can close: its own has ended, or it is lost.

        A thread sees to it, or this one where it is to ``wait``.
        """
        if not self._opened_by:
            return
        here = self.is_here
        self._opened_by = 0
        self._noted.close()
        release_pool(self)
        if not here or self._running is None:
            return
        running = self._running
        if wait:
            running.stop_blocking()
            return
        running.remove_record()
        running.workers.ask_to_end()
        if not sys.is_finalizing():
            Thread(target=running.stop_blocking, name="catena-lost-pool").start()

    def _note_open(self) -> Heartbeat:
        """Let other parts of the process know that the pool is open, until it closes."""
        # What other parts of the process know of it, taken back when it closes.
        noted = self._noted = ExitStack()
        noted.callback(forking.pool_opened())
        heartbeat = Heartbeat(self._settings.beat)
        heartbeat.start()
        noted.callback(heartbeat.stop)
        # Nothing there refers to the pool: one that is lost is to be collected at once.
        open_pools.add(self)
        return heartbeat

    async def _close_shielded(self) -> None:
        """Take everything away, once, even when the caller is cancelled meanwhile."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._take_down())
        closing = self._closing
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError:
                # Being cancelled again does not leave processes behind; there is a deadline.
                if closing.done():
                    raise
        closing.result()

    async def _take_down(self) -> None:
        with self._noted:
            self.way = None
            try:
                if self._running is not None:
                    await self._running.stop()
            finally:
                self._opened_by = 0
                release_pool(self)

    def _list_workers(self) -> list[Worker]:
        return [] if self._running is None else self._running.workers.all

    def __repr__(self) -> str:
        many = len(self.workers) if self.is_here else self._spawn
        return f"<WorkerPool of {many} workers>"


def default_pool() -> WorkerPool:
    """Return the pool that was opened with ``default=True``. Raises NoPool when there is none."""
    found = find_default()
    if not isinstance(found, WorkerPool):
        raise NoPool(routine="", reason="no default pool is open")
    return found
