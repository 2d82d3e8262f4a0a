"""The routines of the demo: list the packages, read one file, measure one large function.

Its one rule: a routine reads the run's state from the context variable, changes it there, and
leaves it to Catena that its caller sees the change; the two share nothing else.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from catena.cli.demo.analysis import (
    Found,
    file_row,
    fragment,
    fragment_figures,
    function_row,
    functions,
    is_large,
    source_lines,
)
from catena.cli.demo.rows import Figures, FileRow, FunctionRow, Problem
from catena.cli.demo.source import Source, read_source
from catena.cli.demo.state import RunState
from catena.cli.demo.walk import TOP, Package, packages
from catena.context.var import ContextVar
from catena.dispatch.routine import routine

BATCH = 200
"""Function rows in one step of a stream: some tens of kilobytes."""

GRACE = 0.5
"""Seconds a cancelled call may take to end; with the pool's own it stays under two (Ctrl-C)."""

state: ContextVar[RunState] = ContextVar("state", namespace="catena.demo")
"""The state of the run. It travels to workers with every call and comes back with every answer."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One package, who listed it for which run, and whether it was added to those to skip."""

    process: int
    run: str
    package: Package
    set_aside: bool


@dataclass(frozen=True, slots=True)
class Head:
    """The first part of a file's stream: who reads it for which run, and its row or problem."""

    process: int
    run: str
    result: FileRow | Problem


@dataclass(frozen=True, slots=True)
class Rows:
    """Functions of a file that were measured where the file was read."""

    functions: tuple[FunctionRow, ...]


@dataclass(frozen=True, slots=True)
class Nested:
    """One large function, and the process that measured it for which run."""

    process: int
    run: str
    function: FunctionRow


Part = Head | Rows | Nested


@dataclass(frozen=True, slots=True)
class Measured:
    """The answer of ``measure``; no figures when the text did not stand alone."""

    process: int
    run: str
    figures: Figures | None


@routine(cancel_grace=GRACE)
async def list_packages(root: str) -> AsyncGenerator[Listed]:
    """Stream the packages of ``root`` that the run's state does not skip.

    A package without a Python file is added to the state's ``skip``, here, on the worker.
    """
    for package in packages(root, state.get().skip):
        set_aside = not package.files and package.name != TOP
        if set_aside:
            state.set(state.get().without(package.name))
        yield Listed(os.getpid(), state.get().run, package, set_aside)


@routine(cancel_grace=GRACE)
async def read_file(root: str, path: str) -> AsyncGenerator[Part]:
    """Stream the rows of one file: its own first, then its functions, the large ones last.

    Each large function is measured by a routine of its own, on whatever worker is next; they are
    awaited one after another, so that what each notes in the state is there for the next.
    """
    state.set(state.get().with_file())
    source = read_source(root, path)
    if isinstance(source, Problem):
        yield Head(os.getpid(), state.get().run, source)
        return
    found = functions(source.tree)
    row = file_row(path, source.text, source.tree, len(found))
    yield Head(os.getpid(), state.get().run, row)
    small = [one for one in found if not is_large(one)]
    for start in range(0, len(small), BATCH):
        chunk = small[start : start + BATCH]
        yield Rows(tuple(function_row(path, one) for one in chunk))
    lines = source_lines(source.text)
    for one in found:
        if is_large(one):
            yield await _nested(source, lines, one)


@routine(cancel_grace=GRACE)
async def measure(text: str) -> Measured:
    """Figures of the one function whose text, made to stand alone, is ``text``."""
    state.set(state.get().with_function())
    return Measured(os.getpid(), state.get().run, fragment_figures(text))


async def _nested(source: Source, lines: list[str], found: Found) -> Nested:
    answer = await measure(fragment(lines, found.node))
    row = function_row(source.path, found, answer.figures)
    return Nested(answer.process, answer.run, row)
