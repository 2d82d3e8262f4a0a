"""The run: dispatch a routine for each file, merge what they stream back, check the context.

Its one rule: what a worker wrote into the journal must be there for its caller when the call has
ended. An entry that is missing is a ``ContextLost``, never a smaller number in the report.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TypeVar

import catena
from catena.demo.analysis import LARGE, FunctionRow
from catena.demo.files import Problem, Target
from catena.demo.routines import (
    TIMEOUT,
    Call,
    Measure,
    Row,
    journal,
    list_files,
    measure,
    read_file,
    run_id,
)

R = TypeVar("R", bound=Row)

IN_FLIGHT = 32
"""Files that are read at one time, over all workers."""

STOP_TIMEOUT = 1.0
"""Seconds that workers have to stop before they are ended; see ``routines.GRACE``."""


class ContextLost(RuntimeError):
    """What a worker wrote into a context variable did not reach its caller."""


@dataclass(slots=True)
class Progress:
    """How far a run is; it is changed while the run lasts, and may be read from any thread."""

    phase: str = ""
    files: int = 0
    known: int = 0
    functions: int = 0

    def begin_phase(self, phase: str) -> None:
        """Begin a phase, and count from nothing again."""
        self.files = self.known = self.functions = 0
        self.phase = phase

    def describe(self) -> tuple[str, str]:
        """Return the phase, and how far that is."""
        if not self.known:
            return self.phase, ""
        return self.phase, f"{self.files} of {self.known} files, {self.functions} functions"


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found, in one fixed order, and what the routines wrote into the journal."""

    rows: tuple[Row, ...]
    calls: tuple[Call, ...]

    def rows_of(self, kind: type[R]) -> list[R]:
        """Return the rows of one kind."""
        return [row for row in self.rows if isinstance(row, kind)]


@dataclass(frozen=True, slots=True)
class Check:
    """How an analysis in this process compares: so many rows and calls, and what differs."""

    rows: int
    calls: int
    differences: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run: ``processes`` are the ids of the workers' processes, in their order."""

    path: str
    run: str
    seconds: float
    processes: tuple[int, ...]
    analysis: Analysis
    check: Check | None


@dataclass(frozen=True, slots=True)
class _Ways:
    """How the three routines are called: on workers, or as ``.local`` in this process."""

    list_files: Callable[[Target], AsyncGenerator[str | Problem]] = list_files
    read_file: Callable[[str, str, Measure], AsyncGenerator[list[Row]]] = read_file
    measure: Measure = measure


_ON_WORKERS = _Ways()
_HERE = _Ways(list_files.local, read_file.local, measure.local)


async def run_demo(
    target: Target, progress: Progress, *, workers: int, check: bool, bootstrap: str | None = None
) -> Outcome:
    """Analyse ``target`` on workers, and with ``check`` once more in this process.

    Raises what Catena raises, ``ContextLost``, and a TimeoutError that names the file which took
    too long; in an ExceptionGroup while files were read. Cancelled, it leaves no worker behind.
    """
    run_id.set(secrets.token_hex(6))
    began = time.perf_counter()
    on_workers = f"{workers} worker{'' if workers == 1 else 's'}"
    progress.begin_phase(f"starting {on_workers}")
    pool = catena.WorkerPool(spawn=workers, stop_timeout=STOP_TIMEOUT, bootstrap=bootstrap)
    async with pool:
        processes = tuple(pool.pids.values())
        progress.begin_phase(f"reading on {on_workers}")
        analysis = await _Run(target, _ON_WORKERS, progress).analyse_files()
    seconds = time.perf_counter() - began
    checked = await _check_here(target, progress, analysis) if check else None
    return Outcome(target.path, run_id.get(), seconds, processes, analysis, checked)


async def _check_here(target: Target, progress: Progress, analysis: Analysis) -> Check:
    began = time.perf_counter()
    progress.begin_phase("checking in this process")
    here = await _Run(target, _HERE, progress).analyse_files()
    calls = sum(1 + len(call.calls) for call in here.calls)
    seconds = time.perf_counter() - began
    return Check(len(here.rows), calls, find_differences(analysis, here), seconds)


def find_differences(there: Analysis, here: Analysis) -> tuple[str, ...]:
    """Return a line for each row, and each call with those it made, that only one of them has."""
    on_workers, in_process = (
        {*one.rows, *(_without_place(call) for call in one.calls)} for one in (there, here)
    )
    return (
        *(f"only on workers: {one}" for one in sorted(map(str, on_workers - in_process))),
        *(f"only in this process: {one}" for one in sorted(map(str, in_process - on_workers))),
    )


def _without_place(call: Call) -> Call:
    """Return a call without what may differ between two runs: its process and its duration."""
    return replace(call, process=0, seconds=0.0, calls=tuple(map(_without_place, call.calls)))


@dataclass(slots=True)
class _Run:
    """One analysis while it lasts: files still to be read, and what was merged so far."""

    target: Target
    ways: _Ways
    progress: Progress
    pending: deque[str] = field(default_factory=deque[str])
    rows: list[Row] = field(default_factory=list[Row])
    calls: list[Call] = field(default_factory=list[Call])

    async def analyse_files(self) -> Analysis:
        """List the files and read them, some at a time."""
        await self._list_files()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(IN_FLIGHT, len(self.pending))):
                group.create_task(self._read_pending())
        rows = sorted(self.rows, key=lambda row: (row.path, getattr(row, "line", 0), str(row)))
        calls = sorted(self.calls, key=lambda call: (call.routine, call.about))
        return Analysis(tuple(rows), tuple(calls))

    async def _list_files(self) -> None:
        journal.set(())
        async with aclosing(self.ways.list_files(self.target)) as stream:
            async for found in stream:
                if isinstance(found, Problem):
                    self.rows.append(found)
                else:
                    self.pending.append(found)
        self._take_call("list_files", self.target.path, nested=0)
        self.progress.known = len(self.pending)

    async def _read_pending(self) -> None:
        """Read one file after another; each task has context variables of its own."""
        while self.pending:
            path = self.pending.popleft()
            try:
                await self._read_file(path)
            except TimeoutError:
                raise TimeoutError(f"{path} took longer than {TIMEOUT:g} seconds") from None
            # In this process nothing else waits, and Ctrl-C would have to wait for the last file.
            await asyncio.sleep(0)

    async def _read_file(self, path: str) -> None:
        journal.set(())
        rows: list[Row] = []
        reading = self.ways.read_file(self.target.root, path, self.ways.measure)
        async with aclosing(reading) as stream:
            async for part in stream:
                rows += part
        functions = [row for row in rows if isinstance(row, FunctionRow)]
        self._take_call("read_file", path, nested=sum(row.lines >= LARGE for row in functions))
        self.rows += rows
        self.progress.files += 1
        self.progress.functions += len(functions)

    def _take_call(self, routine: str, about: str, nested: int) -> None:
        """Take the one call that must be in the journal now, with so many that it made itself."""
        found = journal.get()
        runs = {one.run for call in found for one in (call, *call.calls)}
        noted = [(call.routine, call.about, len(call.calls)) for call in found]
        if noted != [(routine, about, nested)] or runs != {run_id.get()}:
            raise ContextLost(
                f"after {routine} of {about} with {nested} nested calls, in run {run_id.get()},"
                f" the journal has {noted} of {', '.join(sorted(runs)) or 'no run'}"
            )
        self.calls += found
