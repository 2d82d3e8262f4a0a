"""Reading one file as Python source: bytes, encoding, parser.

Its one rule: whatever is wrong with a file is a ``Problem`` that names it, never an exception.
"""

from __future__ import annotations

import ast
import errno
import io
import stat
import tokenize
from dataclasses import dataclass
from pathlib import Path

from catena.cli.demo.analysis import NotParsable, parse
from catena.cli.demo.rows import Problem, ProblemKind

LARGEST = 4 * 1024 * 1024
"""Bytes; a longer file would hold a worker for minutes and is named instead of parsed."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file as text and as a tree."""

    path: str
    text: str
    tree: ast.Module


class _Refused(Exception):
    def __init__(self, kind: ProblemKind, detail: str) -> None:
        super().__init__(detail)
        self.kind: ProblemKind = kind
        self.detail = detail


def read_source(root: str, path: str) -> Source | Problem:
    """Read and parse ``path`` below ``root``; what goes wrong comes back as its ``Problem``."""
    try:
        text = _decoded(_bytes(Path(root, path)))
        return Source(path, text, parse(text))
    except _Refused as refused:
        return Problem(path=path, kind=refused.kind, detail=refused.detail)
    except NotParsable as error:
        return Problem(path=path, kind="syntax", detail=str(error))


def os_problem(path: str, error: OSError) -> Problem:
    """What the operating system said about ``path``, without the path of the root."""
    kind: ProblemKind = "symlink loop" if error.errno == errno.ELOOP else "unreadable"
    return Problem(path=path, kind=kind, detail=error.strerror or type(error).__name__)


def _bytes(path: Path) -> bytes:
    try:
        # A named pipe would block its reader for ever, so the type comes before the opening.
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise _Refused("unreadable", "not a regular file")
        if about.st_size > LARGEST:
            raise _Refused("too large", f"{about.st_size} bytes, at most {LARGEST}")
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        problem = os_problem(str(path), error)
        raise _Refused(problem.kind, problem.detail) from None


def _decoded(data: bytes) -> str:
    """The text of a file by PEP 263: byte order mark, coding comment, or UTF-8."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except SyntaxError as error:
        raise _Refused("encoding", error.msg) from None
    except (UnicodeError, LookupError) as error:
        raise _Refused("encoding", str(error)) from None
