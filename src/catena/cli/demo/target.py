"""What a run reads: a directory or one file, chosen once from the command line.

Its one rule: what a target names exists when it is made, else ``TargetRefused`` says what does not.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

THIRD_PARTY = frozenset({"site-packages", "dist-packages"})
"""What lies in the standard library's directory without being part of it."""


class TargetRefused(ValueError):
    """Nothing to read at the path, or nothing of that name to skip; the message says which."""


@dataclass(frozen=True, slots=True)
class Target:
    """A root directory (absolute), the one file in it to read or None for all, and what to skip."""

    root: str
    file: str | None
    skip: frozenset[str]

    @property
    def shown(self) -> str:
        """The path that a person recognizes."""
        return self.root if self.file is None else str(Path(self.root, self.file))


def choose(path: str | None, skip: AbstractSet[str] = frozenset()) -> Target:
    """The target for PATH, or the running Python's standard library when that is None.

    ``skip`` names directories and modules directly below it; the standard library's own
    third-party directories are left out besides.
    """
    if path is None:
        root = _existing(sysconfig.get_path("stdlib"))
        return Target(str(root), None, _checked(root, skip) | THIRD_PARTY)
    whole = _existing(path)
    if whole.is_dir():
        return Target(str(whole), None, _checked(whole, skip))
    if skip:
        raise TargetRefused(f"--skip needs a directory, and {path} is a file")
    return Target(str(whole.parent), whole.name, frozenset())


def _existing(path: str) -> Path:
    try:
        Path(path).stat()
    except OSError as error:
        raise TargetRefused(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise TargetRefused(f"{path}: {error}") from None
    # Not Path.resolve: below 3.13 it takes a link that leads to itself for an error of its own.
    return Path(os.path.realpath(path))


def _checked(root: Path, skip: AbstractSet[str]) -> frozenset[str]:
    for name in sorted(skip):
        there = (root / name).is_dir() or (root / f"{name}.py").is_file()
        if "/" in name or not there:
            raise TargetRefused(f"nothing to skip: no directory or module {name!r} in {root}")
    return frozenset(skip)
