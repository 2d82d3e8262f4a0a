"""The report of a finished run, in words: two tables and a few lines, for a person.

Its one rule: nothing is computed here that the machine output does not have too, and no name of a
file reaches a terminal with a character that it would obey. ``tree`` shows the calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from catena.cli.demo.analysis import LARGE
from catena.cli.demo.outcome import Calls, Check, Context, Report
from catena.cli.demo.rows import FunctionRow, Problem
from catena.cli.demo.tree import Tree, drawn, lines, tree
from catena.cli.demo.words import counted, shown

MOST_COMPLEX = 10
"""Functions in the first table."""

_NAMED = 3
_DIFFERENCES = 10


@dataclass(frozen=True, slots=True)
class Table:
    """A title, the heads of the columns, and rows; columns of numbers are set to the right."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str | int, ...], ...]


Part = Table | Tree | str


def show(report: Report, stream: TextIO) -> None:
    """Write the report to ``stream``: tables of rich on a terminal, plain ones elsewhere."""
    console = Console(file=stream)
    if not console.is_terminal or console.is_dumb_terminal:
        stream.write(plain(report))
        return
    for part in parts(report):
        if isinstance(part, Table):
            console.print("\n", Text(part.title, style="bold"), "\n", _rich(part), sep="")
        elif isinstance(part, Tree):
            console.print(drawn(part))
        else:
            console.print(Text(part))


def plain(report: Report) -> str:
    """The report as plain text, ending with a line feed."""
    blocks: list[str] = []
    for part in parts(report):
        match part:
            case Table():
                blocks.append(_plain(part))
            case Tree():
                blocks += ["", *lines(part)]
            case str():
                blocks.append(part)
    return "\n".join(blocks) + "\n"


def parts(report: Report) -> list[Part]:
    """What the report says, in order."""
    outcome = report.outcome
    found: list[Part] = [_summary(report)]
    if outcome.analysis.functions:
        found.append(_functions(outcome.analysis.most_complex(MOST_COMPLEX)))
    found.append(_processes(outcome.calls))
    if report.trace is not None:
        found.append(tree(report.trace, outcome.context.run))
    found += ["", _nested(outcome.calls), _context(outcome.context)]
    found += _problems(outcome.analysis.problems)
    if report.check is not None:
        found += _check(report.check)
    return found


def _summary(report: Report) -> str:
    analysis = report.outcome.analysis
    files = counted(len(analysis.files), "file")
    functions = counted(len(analysis.functions), "function")
    workers = counted(report.workers, "worker")
    return (
        f"{files} with {functions} in {shown(report.root)},"
        f" analysed on {workers} in {report.seconds:.1f} s"
    )


def _functions(rows: Sequence[FunctionRow]) -> Table:
    return Table(
        f"The {counted(len(rows), 'most complex function')}",
        ("complexity", "nesting", "names", "lines", "function", "where"),
        tuple(
            (
                row.figures.complexity,
                row.figures.nesting,
                row.figures.names,
                row.lines,
                shown(row.name),
                f"{shown(row.path)}:{row.line}",
            )
            for row in rows
        ),
    )


def _processes(calls: Calls) -> Table:
    rows: list[tuple[str | int, ...]] = []
    for process in calls.processes:
        counts = calls.listings[process], calls.files[process], calls.nested[process]
        rows.append((process, *counts, sum(counts)))
    totals = calls.listings.total(), calls.files.total(), calls.nested.total()
    rows.append(("all", *totals, calls.total))
    return Table(
        "Calls by worker process", ("process", "listing", "files", "nested", "calls"), tuple(rows)
    )


def _nested(calls: Calls) -> str:
    return (
        f"Nested: {calls.nested.total()} of {counted(calls.total, 'call')} came from a routine on a"
        f" worker, one for each function of {LARGE} lines or more."
    )


def _context(context: Context) -> str:
    noted = (
        f"{counted(context.files, 'file')} and {counted(context.functions, 'large function')} noted"
    )
    aside = ""
    if context.set_aside:
        packages = counted(len(context.set_aside), "directory", "directories")
        aside = f", {packages} without Python set aside: {_some(map(shown, context.set_aside))}"
    skipped = f" Skipped: {', '.join(map(shown, context.skipped))}." if context.skipped else ""
    return (
        f"Context: run {context.run}; {counted(context.changes, 'change')} made on workers"
        f" {'was' if context.changes == 1 else 'were'} seen here ({noted}{aside}).{skipped}"
    )


def _problems(problems: Sequence[Problem]) -> list[Part]:
    if not problems:
        return ["Not analysed: nothing."]
    found: list[Part] = [f"Not analysed: {counted(len(problems), 'path')}."]
    for kind, count in Counter(problem.kind for problem in problems).most_common():
        named = (
            f"{shown(problem.path)} ({shown(problem.detail)})"
            for problem in problems
            if problem.kind == kind
        )
        found.append(f"  {kind}: {count}: {_some(named)}")
    return found


def _check(check: Check) -> list[Part]:
    where = f"in this process without Catena ({check.seconds:.1f} s)"
    if not check.differences:
        return [f"Check: all {counted(check.rows, 'row')} came out the same {where}."]
    found: list[Part] = [f"Check: {len(check.differences)} of {check.rows} rows differ {where}:"]
    found += [f"  {shown(line)}" for line in check.differences[:_DIFFERENCES]]
    more = len(check.differences) - _DIFFERENCES
    return [*found, f"  and {more} more (--json names all)"] if more > 0 else found


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - _NAMED
    return ", ".join(every[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _plain(table: Table) -> str:
    cells = [table.heads, *(tuple(str(cell) for cell in row) for row in table.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(table.heads))]
    align = _alignment(table)
    lines = [
        "  " + "  ".join(align[n](cell, widths[n]) for n, cell in enumerate(row)).rstrip()
        for row in cells
    ]
    return "\n".join(["", table.title, *lines])


def _alignment(table: Table) -> list[Callable[[str, int], str]]:
    first = table.rows[0]
    return [str.rjust if isinstance(cell, int) else str.ljust for cell in first]


def _rich(table: Table) -> RichTable:
    shape = RichTable(box=None, padding=(0, 0, 0, 2), pad_edge=True, header_style="italic")
    for head, cell in zip(table.heads, table.rows[0], strict=True):
        shape.add_column(
            head, justify="right" if isinstance(cell, int) else "left", overflow="fold"
        )
    for row in table.rows:
        shape.add_row(*(Text(str(cell)) for cell in row))
    return shape
