"""The same analysis in this process, without Catena: what ``--check`` compares with.

Its one rule: nothing of Catena is imported here, and every function, large or not, is measured
inside the tree of its whole file (the workers measure the large ones from their text alone).
"""

from __future__ import annotations

from collections.abc import Callable, Set as AbstractSet

from catena.cli.demo.analysis import file_row, function_row, functions
from catena.cli.demo.outcome import Progress
from catena.cli.demo.rows import Analysis, FileRow, FunctionRow, Problem
from catena.cli.demo.source import read_source
from catena.cli.demo.target import Target
from catena.cli.demo.walk import packages


def analyse(
    target: Target,
    skip: AbstractSet[str],
    *,
    report: Callable[[Progress], None] = lambda _: None,
) -> Analysis:
    """Analyse ``target`` here; ``report`` is told after each file how far it is."""
    files: list[FileRow] = []
    rows: list[FunctionRow] = []
    problems: list[Problem] = []
    paths = _paths(target, skip, problems)
    for count, path in enumerate(paths, start=1):
        source = read_source(target.root, path)
        if isinstance(source, Problem):
            problems.append(source)
        else:
            found = functions(source.tree)
            files.append(file_row(path, source.text, source.tree, len(found)))
            rows += [function_row(path, one) for one in found]
        report(Progress(read=count, known=len(paths), functions=len(rows)))
    return Analysis.of(files, rows, problems)


def _paths(target: Target, skip: AbstractSet[str], problems: list[Problem]) -> list[str]:
    if target.file is not None:
        return [target.file]
    paths: list[str] = []
    for package in packages(target.root, skip):
        paths += package.files
        problems += package.problems
    return paths
