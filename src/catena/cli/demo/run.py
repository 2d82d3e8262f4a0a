"""The run itself: dispatch one routine a file, merge what they stream back, check the context.

Its one rule: whatever a worker changed in the state must be seen here when its call has ended; a
change that is not seen is a ``ContextLost``, never a smaller number in the report.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager

from catena.cli.demo.outcome import Calls, Context, Outcome, Progress
from catena.cli.demo.routines import (
    Head,
    Listed,
    Nested,
    Part,
    Rows,
    list_packages,
    read_file,
    state,
)
from catena.cli.demo.rows import Analysis, FileRow, FunctionRow, Problem
from catena.cli.demo.state import RunState
from catena.cli.demo.target import Target
from catena.cli.demo.watching import BOOTSTRAP, about
from catena.pool.pool import WorkerPool

IN_FLIGHT = 32
"""Files being read at one time, over all workers."""

DEADLINE = 120.0
"""Seconds for the listing, and for one file: its nested calls and its turn at a worker included."""

STOP = 1.0
"""Seconds that workers have to stop before they are ended; see ``routines.GRACE``."""


class ContextLost(RuntimeError):
    """A worker's change of the context variable was not seen by its caller, or not its value."""


async def run(
    target: Target,
    started: RunState,
    *,
    workers: int,
    report: Callable[[Progress], None] = lambda _: None,
) -> Outcome:
    """Analyse ``target`` on ``workers`` processes and merge what they stream back.

    ``report`` is told how far the run is, on the loop's thread. Raises what Catena raises,
    ``ContextLost``, and a ``TimeoutError`` that names the file which took too long; inside an
    ExceptionGroup when files were being read. Cancelled, it leaves no worker behind.
    """
    work = _Run(target, started, report)
    async with WorkerPool(spawn=workers, stop_timeout=STOP, bootstrap=BOOTSTRAP):
        await work.find()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(IN_FLIGHT, len(work.pending))):
                group.create_task(work.lane())
    return work.outcome()


class _Run:
    """One run while it lasts: the files still to be read, and what has been merged so far."""

    def __init__(
        self, target: Target, started: RunState, report: Callable[[Progress], None]
    ) -> None:
        self.pending: deque[str] = deque()
        self._target, self._started, self._report = target, started, report
        self._known = self._read = 0
        self._files: list[FileRow] = []
        self._functions: list[FunctionRow] = []
        self._problems: list[Problem] = []
        self._calls = Calls()
        self._set_aside: list[str] = []
        self._noted_files = self._noted_functions = 0

    async def find(self) -> None:
        """Set the state, and fill ``pending`` from a listing that a worker makes."""
        state.set(self._started)
        if self._target.file is not None:
            self.pending.append(self._target.file)
        else:
            await self._list()
        self._known = len(self.pending)
        self._tell()

    async def lane(self) -> None:
        """Read one pending file after another; a lane is a task and has a chain of its own."""
        while self.pending:
            path = self.pending.popleft()
            before = state.get()
            about.set(path)
            nested = await self._read_file(path)
            self._see(path, before, nested)
            self._read += 1
            self._tell()

    def outcome(self) -> Outcome:
        """What has been merged."""
        context = Context(
            run=self._started.run,
            skipped=tuple(sorted(self._started.skip)),
            set_aside=tuple(sorted(self._set_aside)),
            files=self._noted_files,
            functions=self._noted_functions,
        )
        analysis = Analysis.of(self._files, self._functions, self._problems)
        return Outcome(analysis, self._calls, context)

    async def _list(self) -> None:
        root = self._target.root
        async with _deadline("the listing of files"), aclosing(list_packages(root)) as stream:
            async for listed in stream:
                self._merge_package(listed)

    async def _read_file(self, path: str) -> int:
        nested = 0
        root = self._target.root
        async with _deadline(path), aclosing(read_file(root, path)) as stream:
            async for part in stream:
                nested += isinstance(part, Nested)
                self._merge(path, part)
        return nested

    def _merge_package(self, listed: Listed) -> None:
        package = listed.package
        self._check_run(package.name, listed.run)
        self._calls.listings[listed.process] = 1
        self.pending.extend(package.files)
        self._problems += package.problems
        if listed.set_aside:
            if package.name not in state.get().skip:
                raise ContextLost(f"{package.name} was set aside on a worker, unseen here")
            self._set_aside.append(package.name)

    def _merge(self, path: str, part: Part) -> None:
        match part:
            case Head(process, told, result):
                self._check_run(path, told)
                self._calls.files[process] += 1
                if isinstance(result, FileRow):
                    self._files.append(result)
                else:
                    self._problems.append(result)
            case Rows(functions):
                self._functions += functions
            case Nested(process, told, function):
                self._check_run(f"{path} {function.name}", told)
                self._calls.nested[process] += 1
                self._functions.append(function)

    def _see(self, path: str, before: RunState, nested: int) -> None:
        now = state.get()
        files, functions = now.files - before.files, now.functions - before.functions
        if (files, functions) != (1, nested):
            raise ContextLost(
                f"{path}: workers noted 1 file and {nested} functions in the context,"
                f" {files} and {functions} were seen here"
            )
        self._noted_files += files
        self._noted_functions += functions

    def _check_run(self, where: str, told: str) -> None:
        if told != self._started.run:
            raise ContextLost(f"{where} was read for run {told!r}, this is {self._started.run!r}")

    def _tell(self) -> None:
        self._report(Progress(read=self._read, known=self._known, functions=len(self._functions)))


@asynccontextmanager
async def _deadline(what: str) -> AsyncGenerator[None]:
    timer = asyncio.timeout(DEADLINE)
    try:
        async with timer:
            yield
    except TimeoutError:
        if not timer.expired():
            raise
        raise TimeoutError(f"{what} took longer than {DEADLINE:g} seconds") from None
