"""Reading one file: every way it can go wrong is a problem that names the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catena.cli.demo import source
from catena.cli.demo.rows import Problem
from catena.cli.demo.source import Source, read_source


def problem(root: Path, path: str) -> Problem:
    """The problem of a file that has one."""
    found = read_source(str(root), path)
    assert isinstance(found, Problem)
    assert found.path == path
    return found


@pytest.mark.parametrize(
    "data",
    [
        "x = 'é'\n".encode(),
        "# coding: latin-1\nx = 'é'\n".encode("latin-1"),
        b"\xef\xbb\xbfx = 'e'\n",
        b"",
        b"x = 1",
    ],
)
def test_a_file_is_decoded_as_python_would(tmp_path: Path, data: bytes) -> None:
    """Coding comments, byte order marks and the default are understood."""
    (tmp_path / "a.py").write_bytes(data)

    assert isinstance(read_source(str(tmp_path), "a.py"), Source)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"def f(:\n", "syntax"),
        (b"a\0b", "syntax"),
        (b"x = '\xff'\n", "encoding"),
        (b"# coding: nonsense\n", "encoding"),
        (b"# coding: hex\n61\n", "encoding"),
        (b"# coding: ascii\nx = '\xe9'\n", "encoding"),
        (b"\xef\xbb\xbf# coding: latin-1\n", "encoding"),
    ],
)
def test_a_bad_text_is_named(tmp_path: Path, data: bytes, kind: str) -> None:
    """What does not parse and what does not decode are told apart, with a reason."""
    (tmp_path / "a.py").write_bytes(data)

    found = problem(tmp_path, "a.py")

    assert found.kind == kind
    assert found.detail


def test_what_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dangling link, a file without permission, a link to itself and a pipe do not stop a run."""
    (tmp_path / "gone.py").symlink_to("nowhere")
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "mine.py").write_text("x = 1\n")
    os.mkfifo(tmp_path / "pipe.py")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    assert problem(tmp_path, "gone.py").kind == "unreadable"
    assert problem(tmp_path, "loop.py").kind == "symlink loop"
    assert problem(tmp_path, "pipe.py").detail == "not a regular file"
    monkeypatch.setattr(Path, "open", refused)  # root may open everything, so it is refused here
    assert problem(tmp_path, "mine.py").detail == "Permission denied"


def test_a_file_that_is_too_large_is_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is in bytes, and the problem says both numbers."""
    monkeypatch.setattr(source, "LARGEST", 10)
    (tmp_path / "a.py").write_text("x = 12345\n")
    (tmp_path / "b.py").write_text("x = 123456\n")

    assert isinstance(read_source(str(tmp_path), "a.py"), Source)
    assert problem(tmp_path, "b.py") == Problem(
        path="b.py", kind="too large", detail="11 bytes, at most 10"
    )
