"""What a run reads: the standard library, a directory, a file, or nothing that exists."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from catena.cli.demo.target import TargetRefused, choose


def test_the_standard_library_is_read_without_what_is_not_part_of_it() -> None:
    """Without a path the root is the running Python's own library."""
    target = choose(None)

    assert Path(target.root).samefile(sysconfig.get_path("stdlib"))
    assert target.skip == {"site-packages", "dist-packages"}


def test_a_directory_is_read_whole(tmp_path: Path) -> None:
    """Nothing is skipped below a path that was named."""
    target = choose(str(tmp_path))

    assert (target.root, target.file, target.skip) == (str(tmp_path.resolve()), None, frozenset())


def test_a_file_is_a_target(tmp_path: Path) -> None:
    """A file is read alone, whatever lies beside it."""
    file = tmp_path / "script"
    file.touch()

    target = choose(str(file))

    assert (target.file, target.shown) == ("script", str(file.resolve()))


@pytest.mark.parametrize("name", ["gone", "a.py/below", "x" * 5000, "null\0byte"])
def test_a_path_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    """The refusal names the path."""
    (tmp_path / "a.py").touch()

    with pytest.raises(TargetRefused, match=name[:4]):
        choose(str(tmp_path / name))


def test_what_is_to_be_skipped_must_be_there(tmp_path: Path) -> None:
    """A misspelt name would otherwise be read without a word."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "mod.py").touch()

    assert choose(str(tmp_path), {"pkg", "mod"}).skip == {"pkg", "mod"}
    for name in ("pgk", "pkg/sub", "mod.py"):
        with pytest.raises(TargetRefused, match="nothing to skip"):
            choose(str(tmp_path), {name})
    with pytest.raises(TargetRefused, match="--skip needs a directory"):
        choose(str(tmp_path / "mod.py"), {"mod"})
