"""Finding and reading files: every way in which that can go wrong is a problem with a name."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest

from catena.demo import files
from catena.demo.files import Problem, Source, Target, find_files, read_source


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two modules, two packages, one of them deep, and a directory without Python."""
    for name in ("b.py", "a.py", "pkg/z.py", "pkg/sub/y.py", "other/x.py", "data/notes.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


def found(path: Path) -> list[str | Problem]:
    """What is found below a path."""
    return list(find_files(Target.choose(str(path))))


def test_every_file_is_found_once_in_one_order(tree: Path) -> None:
    """Links to directories cannot make a run endless or have a file read twice."""
    (tree / "pkg/up").symlink_to("..")
    (tree / "again").symlink_to("other")
    (tree / "linked.py").symlink_to("a.py")

    assert found(tree) == ["a.py", "b.py", "linked.py", "other/x.py", "pkg/z.py", "pkg/sub/y.py"]


def test_a_file_is_read_alone(tree: Path) -> None:
    """A target that is a file needs no suffix; its directory is the root."""
    target = Target.choose(str(tree / "data/notes.txt"))

    assert (list(find_files(target)), target.root) == (["notes.txt"], str(tree / "data"))


def test_a_directory_that_cannot_be_listed_is_named(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are read all the same."""
    real = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("other"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may list everything

    assert found(tree)[-2:] == ["pkg/sub/y.py", Problem("other", "unreadable", "Permission denied")]


def test_the_standard_library_is_read_without_what_is_not_part_of_it() -> None:
    """Without a path the root is the running Python's own library."""
    target = Target.choose(None)
    tops = {str(one).partition("/")[0] for one in find_files(target)}

    assert Path(target.root).samefile(sysconfig.get_path("stdlib"))
    assert tops >= {"asyncio", "ast.py"}
    assert not tops & {"site-packages", "dist-packages"}


@pytest.mark.parametrize(
    "data",
    [
        "x = 'é'\n".encode(),
        "# coding: latin-1\nx = 'é'\n".encode("latin-1"),
        b"\xef\xbb\xbfx = 'e'\n",
        b"x = 1\r\ny = 2\r\n",
        b"",
    ],
)
def test_a_file_is_decoded_as_python_would(tmp_path: Path, data: bytes) -> None:
    """Coding comments, byte order marks, any line ends and the default are understood."""
    (tmp_path / "a.py").write_bytes(data)

    source = read_source(str(tmp_path), "a.py")

    assert isinstance(source, Source)
    assert "\r" not in source.text


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
    """What does not parse and what does not decode are kept apart, with a reason."""
    (tmp_path / "a.py").write_bytes(data)

    problem = read_source(str(tmp_path), "a.py")

    assert isinstance(problem, Problem)
    assert (problem.path, problem.kind, bool(problem.detail)) == ("a.py", kind, True)


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dangling link, a link to itself, a pipe and a large file do not stop a run."""
    (tmp_path / "gone.py").symlink_to("nowhere")
    (tmp_path / "loop.py").symlink_to("loop.py")
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "large.py").write_text("x = 123456\n")
    monkeypatch.setattr(files, "LARGEST", 10)

    details = [
        (problem.kind, problem.detail)
        for name in ("gone.py", "loop.py", "pipe.py", "large.py")
        if isinstance(problem := read_source(str(tmp_path), name), Problem)
    ]

    assert [kind for kind, _ in details] == ["unreadable"] * 4
    assert details[0][1] == "No such file or directory"
    assert [detail for _, detail in details[2:]] == ["not a regular file", "11 bytes, at most 10"]
