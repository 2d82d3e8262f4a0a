"""The values of a demo run: one row a file, one row a function, one problem a path left out.

Its one rule: a value says nothing about where it was computed, so a row from a worker equals the
row that this process computes from the same text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

ProblemKind = Literal[
    "syntax",
    "encoding",
    "unreadable",
    "too large",
    "empty directory",
    "symlink loop",
    "linked directory",
    "no Python file",
]
"""Why a path gave no row, or (the last four) why a directory gave no file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What ``analysis.figures`` counts; the rules are in its docstring."""

    nesting: int
    names: int
    complexity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRow:
    """One function or method: where it stands, how long it is, its figures.

    ``path`` is relative to the root of the run, with ``/``. ``name`` is the dotted way to the
    function inside its file (``Class.method``, ``outer.inner``). ``line`` is that of the ``def``,
    from 1. ``lines`` runs from the ``def`` to the end of the body; decorators are outside.
    """

    path: str
    name: str
    line: int
    lines: int
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """One parsed file: its lines, how many functions it defines, and the figures of the rest.

    ``figures`` covers the code outside all functions, so no line of code is counted in two rows.
    """

    path: str
    lines: int
    functions: int
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One path that was left out or gave no file, and why, in words for a person."""

    path: str
    kind: ProblemKind
    detail: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """All rows and problems of a run, each list in one fixed order."""

    files: tuple[FileRow, ...]
    functions: tuple[FunctionRow, ...]
    problems: tuple[Problem, ...]

    @classmethod
    def of(
        cls,
        files: Iterable[FileRow],
        functions: Iterable[FunctionRow],
        problems: Iterable[Problem],
    ) -> Analysis:
        """The same analysis whatever order its parts arrived in."""
        return cls(
            tuple(sorted(files, key=lambda row: row.path)),
            tuple(sorted(functions, key=lambda row: (row.path, row.line, row.name))),
            tuple(sorted(problems, key=lambda problem: (problem.path, problem.kind))),
        )

    def most_complex(self, count: int) -> tuple[FunctionRow, ...]:
        """The ``count`` functions of highest complexity, the longer first among equals."""
        ranked = sorted(
            self.functions,
            key=lambda row: (-row.figures.complexity, -row.lines, row.path, row.line),
        )
        return tuple(ranked[:count])


def differences(dispatched: Analysis, local: Analysis) -> tuple[str, ...]:
    """One line for each row that only one analysis has, or that both have with other figures."""
    lines: list[str] = []
    for name in ("files", "functions", "problems"):
        ours = {_place(row): row for row in getattr(dispatched, name)}
        theirs = {_place(row): row for row in getattr(local, name)}
        lines += [
            _difference(place, ours.get(place), theirs.get(place))
            for place in sorted(ours.keys() | theirs.keys())
            if ours.get(place) != theirs.get(place)
        ]
    return tuple(lines)


_Row = FileRow | FunctionRow | Problem


def _place(row: _Row) -> str:
    match row:
        case FileRow():
            return row.path
        case FunctionRow():
            return f"{row.path}:{row.line} {row.name}"
        case Problem():
            return f"{row.path} ({row.kind})"


def _difference(place: str, dispatched: _Row | None, local: _Row | None) -> str:
    if dispatched is None:
        return f"{place}: only in this process: {local}"
    if local is None:
        return f"{place}: only from the workers: {dispatched}"
    return f"{place}: workers {dispatched}, this process {local}"
