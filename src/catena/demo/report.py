"""The report of a finished run: for a person, or as one JSON object for a program.

Its one rule: a terminal and a pipe get the same text, and no name of a file reaches either with a
character that a terminal would obey.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from statistics import median
from typing import TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from catena.demo.analysis import LARGE, FileRow, FunctionRow
from catena.demo.files import Problem
from catena.demo.routines import Call
from catena.demo.run import Check, Outcome

SCHEMA = 2
"""A field of the JSON object keeps its name and its meaning while this stays the same."""

_MOST_COMPLEX = 10
_WORKERS = 4
"""Up to so many workers each have lines of their own in the tree."""
_DIFFERENCES = 10
_WIDTH = 1000
"""Columns where there is no terminal: no line is broken there."""


@dataclass(frozen=True, slots=True)
class Node:
    """Calls of one routine on one worker, and below them those that they made; in seconds."""

    name: str
    calls: int
    median: float
    longest: float
    children: tuple[Node, ...]


def show_report(outcome: Outcome, stream: TextIO) -> None:
    """Write the report for a person."""
    width = None if stream.isatty() else _WIDTH
    console = Console(file=stream, width=width, highlight=False, emoji=False, markup=False)
    for number, part in enumerate(_render_parts(outcome)):
        console.print(*[""] * bool(number), part, sep="\n")


def to_json(outcome: Outcome) -> str:
    """Return the report as one JSON object on one line of ASCII; times are seconds."""
    analysis = outcome.analysis
    found = {
        "schema": SCHEMA,
        "path": outcome.path,
        "run": outcome.run,
        "workers": len(outcome.processes),
        "seconds": outcome.seconds,
        "files": [asdict(row) for row in analysis.rows_of(FileRow)],
        "functions": [asdict(row) for row in analysis.rows_of(FunctionRow)],
        "problems": [asdict(row) for row in analysis.rows_of(Problem)],
        "calls": [asdict(node) for node in grow_tree(analysis.calls, outcome.processes)],
        "check": outcome.check and asdict(outcome.check),
    }
    return json.dumps(found, separators=(",", ":"))


def grow_tree(calls: Sequence[Call], processes: Sequence[int]) -> tuple[Node, ...]:
    """Return a node for each routine and worker, so that thousands of calls are a few lines."""
    groups: dict[str, list[Call]] = {}
    for call in calls:
        many = len(processes) > _WORKERS
        where = "workers" if many else f"worker {processes.index(call.process)}"
        groups.setdefault(f"{call.routine} on {where}", []).append(call)
    return tuple(_make_node(name, groups[name], processes) for name in sorted(groups))


def _make_node(name: str, calls: Sequence[Call], processes: Sequence[int]) -> Node:
    seconds = [call.seconds for call in calls]
    nested = [one for call in calls for one in call.calls]
    return Node(name, len(calls), median(seconds), max(seconds), grow_tree(nested, processes))


def _render_parts(outcome: Outcome) -> Iterator[RenderableType]:
    """Yield what the report says, from top to bottom."""
    analysis = outcome.analysis
    files, functions = analysis.rows_of(FileRow), analysis.rows_of(FunctionRow)
    workers = _count_words(len(outcome.processes), "worker")
    yield (
        f"{_count_words(len(files), 'file')} with {_count_words(len(functions), 'function')} in"
        f" {_write_out(outcome.path)}, analysed on {workers} in {outcome.seconds:.1f} s"
    )
    if functions:
        yield _render_functions(functions)
    yield _render_calls(outcome)
    yield _describe_context(analysis.calls)
    if problems := analysis.rows_of(Problem):
        yield _render_problems(problems)
    if outcome.check is not None:
        yield _render_check(outcome.check)


def _render_functions(rows: list[FunctionRow]) -> Table:
    rows = sorted(rows, key=lambda row: (-row.complexity, -row.lines, row.path, row.line))
    most = rows[:_MOST_COMPLEX]
    title = Text(f"The {_count_words(len(most), 'most complex function')}", style="bold")
    table = Table(title=title, title_justify="left", box=None, padding=(0, 0, 0, 2))
    for head in ("complexity", "lines"):
        table.add_column(head, justify="right")
    for head in ("function", "where"):
        table.add_column(head, overflow="fold")
    for row in most:
        names = _write_out(row.name), f"{_write_out(row.path)}:{row.line}"
        table.add_row(str(row.complexity), str(row.lines), *names)
    return table


def _render_calls(outcome: Outcome) -> Tree:
    calls = outcome.analysis.calls
    total = _count_words(_count_calls(calls), "call")
    tree = _begin_tree(f"What ran where: {total} in run {outcome.run}")
    pending = [(tree, node) for node in grow_tree(calls, outcome.processes)]
    for above, node in pending:
        below = above.add(_describe_node(node))
        pending += [(below, child) for child in node.children]
    return tree


def _describe_context(calls: Sequence[Call]) -> str:
    total = _count_calls(calls)
    nested = f"{total - len(calls)} of {_count_words(total, 'call')}"
    return (
        f"Nested: {nested} came from a routine on a worker, one for each function of {LARGE} lines"
        " or more.\nContext: each call noted itself in a context variable on its worker, and its"
        " caller found the note there."
    )


def _count_calls(calls: Sequence[Call]) -> int:
    return len(calls) + sum(len(call.calls) for call in calls)


def _describe_node(node: Node) -> str:
    longest = _format_duration(node.longest)
    if node.calls == 1:
        return f"{node.name}: {longest}"
    half = _format_duration(node.median)
    return f"{node.name}, {node.calls} calls: half within {half}, longest {longest}"


def _render_problems(problems: list[Problem]) -> Tree:
    tree = _begin_tree(f"Not analysed: {_count_words(len(problems), 'path')}")
    for kind, group in groupby(sorted(problems, key=lambda one: one.kind), lambda one: one.kind):
        first, *others = group
        more = f", and {len(others)} more" if others else ""
        tree.add(f"{kind}: {_write_out(first.path)} ({_write_out(first.detail)}){more}")
    return tree


def _render_check(check: Check) -> Tree:
    compared = f"{_count_words(check.rows, 'row')} and {_count_words(check.calls, 'call')}"
    where = f"with .local in this process ({check.seconds:.1f} s)"
    if not check.differences:
        return _begin_tree(f"Check: {compared} are the same {where}")
    tree = _begin_tree(f"Check: of {compared}, these differ {where}")
    for line in check.differences[:_DIFFERENCES]:
        tree.add(_write_out(line))
    more = len(check.differences) - _DIFFERENCES
    if more > 0:
        tree.add(f"and {more} more (--json has all)")
    return tree


def _begin_tree(title: str) -> Tree:
    return Tree(Text(title, style="bold"))


def _write_out(text: str) -> str:
    """Write out every character that a terminal would obey or cannot show."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def _count_words(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _format_duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds < 0.01 else f"{seconds * 1e3:.0f} ms"
