"""Finding and reading Python files; pure but for the file system.

Its one rule: whatever is wrong with a file or a directory is a ``Problem`` that names it, never an
exception.
"""

from __future__ import annotations

import ast
import errno
import io
import os
import stat
import sysconfig
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from catena.demo.analysis import parse_source

LARGEST = 4 << 20
"""Bytes; a larger file would hold a worker for minutes and is named instead of parsed."""

_THIRD_PARTY = {"site-packages", "dist-packages"}
"""What lies in the directory of the standard library without being part of it."""


ProblemKind = Literal["unreadable", "encoding", "syntax"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is analysed: a file, a directory, or the standard library without third parties."""

    path: str
    is_stdlib: bool = False

    @classmethod
    def choose(cls, path: str | None) -> Target:
        """Return the target for a path that exists, or for the running Python's library."""
        if path is None:
            return cls(os.path.realpath(sysconfig.get_path("stdlib")), is_stdlib=True)
        return cls(os.path.realpath(path))

    @property
    def root(self) -> str:
        """The directory that the paths of all rows are relative to."""
        return self.path if Path(self.path).is_dir() else str(Path(self.path).parent)


@dataclass(frozen=True, slots=True)
class Problem:
    """One path that was not analysed, and why, in words for a person."""

    path: str
    kind: ProblemKind
    detail: str


@dataclass(frozen=True, slots=True)
class Source:
    """One file as text and as a tree."""

    text: str
    tree: ast.Module


def find_files(target: Target) -> Iterator[str | Problem]:
    """Yield the path of every ``.py`` file, relative to the root, in one fixed order.

    Links to directories are not followed, so that no file comes twice.
    """
    if target.root != target.path:
        yield Path(target.path).name
        return
    problems: list[Problem] = []

    def note(error: OSError) -> None:
        path = Path(error.filename).relative_to(target.root).as_posix()
        problems.append(Problem(path, "unreadable", error.strerror or ""))

    for folder, folders, names in os.walk(target.root, onerror=note):
        skipped = _THIRD_PARTY if target.is_stdlib and folder == target.root else ()
        folders[:] = sorted(name for name in folders if name not in skipped)
        for name in sorted(names):
            if name.endswith(".py"):
                yield Path(folder, name).relative_to(target.root).as_posix()
    yield from problems


def read_source(root: str, path: str) -> Source | Problem:
    """Read a file as Python would and parse it; what goes wrong comes back as a Problem."""
    kind: ProblemKind = "unreadable"
    try:
        data = _read_bytes(Path(root, path))
        kind = "encoding"
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = io.TextIOWrapper(io.BytesIO(data), encoding).read()
        kind = "syntax"
        return Source(text, parse_source(text))
    except OSError as error:
        detail = error.strerror or str(error)
    except SyntaxError as error:
        detail = f"line {error.lineno}: {error.msg}" if error.lineno else error.msg
    except (ValueError, LookupError, RecursionError, MemoryError) as error:
        detail = str(error) or type(error).__name__
    return Problem(path, kind, detail)


def _read_bytes(path: Path) -> bytes:
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        # A named pipe would block its reader for ever.
        raise OSError(errno.EINVAL, "not a regular file")
    if about.st_size > LARGEST:
        raise OSError(errno.EFBIG, f"{about.st_size} bytes, at most {LARGEST}")
    return path.read_bytes()
