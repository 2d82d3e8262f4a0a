"""Finding the Python files below a directory, package by package.

Its one rule: links to directories are named and not followed, so every file is found once and no
loop of links is entered. A package is an entry of the root: a directory, or a module file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from catena.cli.demo.rows import Problem
from catena.cli.demo.source import os_problem

TOP = "."
"""The name under which the modules that lie in the root itself are listed."""


@dataclass(frozen=True, slots=True)
class Package:
    """What one package holds: its ``.py`` files (relative, with ``/``), and what was odd in it."""

    name: str
    files: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Listing:
    files: list[str]
    directories: list[str]
    problems: list[Problem]


def packages(root: str, skip: AbstractSet[str]) -> Iterator[Package]:
    """Every package of ``root`` whose name is not in ``skip``: the modules first, then by name.

    ``skip`` is asked before each package is entered. A root without a single ``.py`` file gives a
    last package whose one problem says so.
    """
    top = _listing(root, "")
    modules = tuple(file for file in top.files if file.removesuffix(".py") not in skip)
    yield Package(TOP, modules, tuple(top.problems))
    found = len(top.files)
    for name in top.directories:
        if name in skip:
            found += 1
            continue
        package = _package(root, name)
        found += len(package.files)
        yield package
    if not found and not any(problem.path == TOP for problem in top.problems):
        none = Problem(path=TOP, kind="no Python file", detail="no .py file below this directory")
        yield Package(TOP, (), (none,))


def _package(root: str, name: str) -> Package:
    files: list[str] = []
    problems: list[Problem] = []
    pending = [name]
    while pending:
        listing = _listing(root, pending.pop())
        files += listing.files
        problems += listing.problems
        pending += reversed(listing.directories)
    return Package(name, tuple(files), tuple(problems))


def _listing(root: str, directory: str) -> _Listing:
    found = _Listing([], [], [])
    try:
        with os.scandir(Path(root, directory)) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        found.problems.append(os_problem(directory or TOP, error))
        return found
    if not entries:
        empty = Problem(path=directory or TOP, kind="empty directory", detail="no entries")
        found.problems.append(empty)
    for entry in entries:
        path = f"{directory}/{entry.name}" if directory else entry.name
        _sort(entry, path, found)
    return found


def _sort(entry: os.DirEntry[str], path: str, found: _Listing) -> None:
    try:
        is_directory = entry.is_dir()
    except OSError as error:
        found.problems.append(os_problem(path, error))
        return
    if is_directory and entry.is_symlink():
        found.problems.append(_link(entry, path))
    elif is_directory:
        found.directories.append(path)
    elif entry.name.endswith(".py"):
        found.files.append(path)


def _link(entry: os.DirEntry[str], path: str) -> Problem:
    target = os.path.realpath(entry.path)
    around = os.path.realpath(Path(entry.path).parent)
    if os.path.commonpath([target, around]) == target:
        return Problem(path=path, kind="symlink loop", detail="a link to a directory around it")
    return Problem(path=path, kind="linked directory", detail="a link, not followed")
