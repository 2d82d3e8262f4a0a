"""The directories of pools: whose are swept, and whose are left alone."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

import catena
from catena.pool import socket_dir
from catena.pool.socket_dir import SocketDirectory, remove_stale
from tests.support import run


@pytest.mark.parametrize("name", ["catena-demo-abcdefgh", "catena-notes", "catena-7-x", "catena-"])
def test_what_is_no_pools_is_not_swept(scratch_home: Path, name: str) -> None:
    """A directory that only begins with the same word has no lock, and stays however old it is."""
    left, theirs = scratch_home / "catena-4194304-ab_def12", scratch_home / name
    for path in (left, theirs):
        path.mkdir()
        (path / "kept").touch()
        os.utime(path, (1, 1))
    living = SocketDirectory()

    assert left in remove_stale()
    assert sorted(scratch_home.iterdir()) == sorted([living.path, theirs])
    assert (theirs / "kept").exists()
    living.remove()


def aged(path: Path) -> None:
    """Make a directory look as old as what a cleaner of temporary files takes."""
    os.utime(path, (1, 1))


def test_a_directory_whose_lock_was_taken_away_stays(scratch_home: Path) -> None:
    """R7: a cleaner may take the lock file; the directory itself is locked as well."""
    living = SocketDirectory()
    (living.path / "lock").unlink()
    aged(living.path)

    assert remove_stale() == []
    assert living.path.is_dir()
    living.remove()


@pytest.mark.parametrize("lock", [True, False])
def test_a_directory_whose_sockets_answer_stays(scratch_home: Path, lock: bool) -> None:
    """R7: somebody who serves there is alive, whatever has become of the locks."""
    path = scratch_home / "catena-4194304-ab_def12"
    path.mkdir()
    if lock:
        (path / "lock").touch()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as serving:
        serving.bind(str(path / "0.sock"))
        serving.listen()
        aged(path)
        assert remove_stale() == []
        assert path.is_dir()

    assert remove_stale() == [path]


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_a_directory_below_one_that_others_change_is_passed_over(
    scratch_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: int,
) -> None:
    """R8: without the sticky bit somebody else could put his own in the place of a parent."""
    weak, base = scratch_home / "weak", scratch_home / "weak" / "mine"
    base.mkdir(parents=True)
    weak.chmod(mode)
    monkeypatch.setattr(tempfile, "tempdir", str(base))

    other = SocketDirectory()
    other.remove()

    assert base not in other.path.parents
    assert f"{weak} may be changed by other users" in caplog.text

    weak.chmod(mode | stat.S_ISVTX)
    mine = SocketDirectory()
    mine.remove()
    assert mine.path.parent == base


def test_no_directory_is_an_error_with_the_reason(
    scratch_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R8: where every place is refused, the pool says which and why."""
    weak = scratch_home / "weak"
    weak.mkdir()
    weak.chmod(0o777)
    monkeypatch.setattr(socket_dir, "_list_bases", lambda: [weak])

    async def main() -> None:
        async with catena.WorkerPool(spawn=1):
            raise AssertionError("it started")

    with pytest.raises(catena.WorkerStartError, match="weak may be changed by other users"):
        run(main())
