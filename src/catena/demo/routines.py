"""The routines of the demo: they find files, read one, and measure one large function.

They share two context variables with their caller and nothing else. ``run_id`` goes along with
every call. ``journal`` goes along and comes back: each routine, on whatever worker it runs, adds an
entry for its work, and the caller reads the entry as after a local call.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import catena
from catena.demo.analysis import (
    LARGE,
    FileRow,
    Function,
    FunctionRow,
    count_lines,
    cut_out,
    find_functions,
    measure_complexity,
    measure_text,
)
from catena.demo.files import Problem, Target, find_files, read_source

TIMEOUT = 120.0
"""Seconds for a call, its nested calls and its turn at a worker included."""

GRACE = 0.5
"""Seconds that a cancelled call may take to end, so that Ctrl-C is quick."""

Row = FileRow | FunctionRow | Problem
Measure = Callable[[str, str], Awaitable[int | None]]


@dataclass(frozen=True, slots=True)
class Call:
    """What a routine noted of itself: where it ran, for which run, how long, and what it called."""

    routine: str
    about: str
    run: str
    process: int
    seconds: float
    calls: tuple[Call, ...]


run_id = catena.ContextVar("run_id", namespace="catena.demo", default="")
journal: catena.ContextVar[tuple[Call, ...]] = catena.ContextVar(
    "journal", namespace="catena.demo", default=()
)


@catena.routine(timeout=TIMEOUT, cancel_grace=GRACE)
async def list_files(target: Target) -> AsyncGenerator[str | Problem]:
    """Stream the path of every file, and a Problem for each directory that cannot be read."""
    with _note_call("list_files", target.path):
        for found in find_files(target):
            yield found


@catena.routine(timeout=TIMEOUT, cancel_grace=GRACE)
async def read_file(root: str, path: str, measure: Measure) -> AsyncGenerator[list[Row]]:
    """Stream the rows of one file: its own with those of its small functions, then each large one.

    ``measure`` is the routine of that name: a large function is measured by a call of its own, on
    whatever worker is next.
    """
    with _note_call("read_file", path):
        source = read_source(root, path)
        if isinstance(source, Problem):
            yield [source]
            return
        functions = find_functions(source.tree)
        small = [one for one in functions if count_lines(one[1]) < LARGE]
        rows = [_make_row(path, name, node, measure_complexity(node)) for name, node in small]
        yield [_make_file_row(path, source.text, len(functions)), *rows]
        lines = source.text.split("\n")
        for name, node in functions:
            if count_lines(node) >= LARGE:
                complexity = await measure(name, cut_out(lines, node))
                yield [_make_row(path, name, node, complexity or measure_complexity(node))]


@catena.routine(timeout=TIMEOUT, cancel_grace=GRACE)
async def measure(name: str, text: str) -> int | None:
    """Return the complexity of a function, given as text; None if that does not parse."""
    with _note_call("measure", name):
        return measure_text(text)


@contextmanager
def _note_call(routine: str, about: str) -> Generator[None]:
    """Add an entry to the journal when the block ends; what the block called is put below it."""
    before, began = journal.get(), time.perf_counter()
    yield
    calls = journal.get()[len(before) :]
    seconds = time.perf_counter() - began
    journal.set((*before, Call(routine, about, run_id.get(), os.getpid(), seconds, calls)))


def _make_file_row(path: str, text: str, functions: int) -> FileRow:
    return FileRow(path, text.count("\n") + (text[-1:] not in ("", "\n")), functions)


def _make_row(path: str, name: str, node: Function, complexity: int) -> FunctionRow:
    return FunctionRow(path, name, node.lineno, count_lines(node), complexity)
