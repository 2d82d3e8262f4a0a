"""Finding files: what is listed, what is skipped, what is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from catena.cli.demo.rows import Problem
from catena.cli.demo.walk import TOP, Package, packages


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two modules, two packages, one of them deep, and a directory without Python."""
    for name in ("b.py", "a.py", "pkg/z.py", "pkg/sub/y.py", "other/x.py", "data/notes.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


def listed(root: Path, *skip: str) -> dict[str, tuple[str, ...]]:
    """Files by package."""
    return {package.name: package.files for package in packages(str(root), set(skip))}


def problems(root: Path) -> list[tuple[str, str]]:
    """Path and kind of all problems."""
    found = [package.problems for package in packages(str(root), set())]
    return [(problem.path, problem.kind) for each in found for problem in each]


def test_every_file_is_listed_once_by_package(tree: Path) -> None:
    """Modules come under the root's own name, a package without files is empty."""
    assert listed(tree) == {
        TOP: ("a.py", "b.py"),
        "data": (),
        "other": ("other/x.py",),
        "pkg": ("pkg/z.py", "pkg/sub/y.py"),
    }
    assert problems(tree) == []


def test_skipped_names_are_packages_or_modules_of_the_root(tree: Path) -> None:
    """A skipped package is not entered; a name deeper down is not skipped."""
    assert listed(tree, "pkg", "a", "sub", "data") == {TOP: ("b.py",), "other": ("other/x.py",)}


def test_skip_is_asked_when_a_package_is_reached(tree: Path) -> None:
    """A set that grows during the walk is heeded."""
    skip: set[str] = set()
    names: list[str] = []
    for package in packages(str(tree), skip):
        names.append(package.name)
        skip.add("other")

    assert names == [TOP, "data", "pkg"]


def test_links_are_named_and_not_followed(tree: Path) -> None:
    """Links to directories cannot make a run endless or read a file twice."""
    (tree / "pkg/up").symlink_to("..")
    (tree / "pkg/self").symlink_to("self")
    (tree / "again").symlink_to("other")
    (tree / "linked.py").symlink_to("a.py")

    assert problems(tree) == [
        ("again", "linked directory"),
        ("pkg/self", "symlink loop"),
        ("pkg/up", "symlink loop"),
    ]
    assert listed(tree)[TOP] == ("a.py", "b.py", "linked.py")


def test_an_empty_directory_is_named(tree: Path) -> None:
    """Empty is a directory without entries."""
    (tree / "pkg/empty").mkdir()

    assert problems(tree) == [("pkg/empty", "empty directory")]


def test_a_root_without_python_is_named(tmp_path: Path) -> None:
    """An empty root, and one that holds other things only, have a problem of their own."""
    assert problems(tmp_path) == [(TOP, "empty directory")]

    (tmp_path / "notes.txt").touch()

    assert problems(tmp_path) == [(TOP, "no Python file")]


def test_a_directory_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    """The root may be gone when a worker looks at it."""
    gone = Problem(path=TOP, kind="unreadable", detail="No such file or directory")

    assert list(packages(str(tmp_path / "gone"), set())) == [Package(TOP, (), (gone,))]
