"""Announcing in a folder: whole from one moment to another, and gone with its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from catena.discovery import announce, announcement, processes
from catena.discovery.folder_reader import FolderReader
from catena.discovery.processes import is_dead, mark_process
from catena.discovery.records import ProcessMark
from tests.discovery.reading import NOBODY, logged, member, members

linux = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc elsewhere")


@contextmanager
def announcing(folder: Path, id: str) -> Iterator[subprocess.Popen[str]]:
    """Run another process that has announced a worker."""
    command = [sys.executable, str(Path(__file__).with_name("announcer.py")), str(folder), id]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "announced\n"
        try:
            yield other
        finally:
            other.kill()


def read(folder: Path) -> Any:
    """Return what a reader finds."""
    return FolderReader(folder).read_members()


def test_a_record_is_there_until_its_block_is_left(tmp_path: Path) -> None:
    """The file has the id's name, and nothing else is left in the folder."""
    with announce(tmp_path, member(1)) as made:
        assert [*tmp_path.iterdir()] == [tmp_path / "w1.json"] == [made.path]
        assert read(tmp_path) == members(1)
        assert repr(made) == f"<announcement {tmp_path}/w1.json>"
    assert [*tmp_path.iterdir()] == []
    made.close()
    assert repr(made) == f"<announcement {tmp_path}/w1.json, closed>"


def test_all_fields_are_announced(tmp_path: Path) -> None:
    """What a record says arrives, a certificate included."""
    leaf = b"-----BEGIN CERTIFICATE-----\nAAECAwQ=\n-----END CERTIFICATE-----\n"
    full = member(1, name="workers.example", tags=frozenset({"gpu", "a,b"}), leaf=leaf)
    with announce(str(tmp_path), full):
        assert read(tmp_path) == {full}


def test_nobody_sees_half_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is renamed, and when that fails, there is only a name that nobody reads."""
    seen: list[Any] = []

    def look_and_fail(*_: Any, **__: Any) -> None:
        seen.extend([read(tmp_path), [one.name[:8] for one in tmp_path.iterdir()]])
        raise OSError("no rename today")

    monkeypatch.setattr(announcement.os, "rename", look_and_fail)
    with logged() as said, pytest.raises(OSError, match="no rename today"):
        announce(tmp_path, member(1))
    assert seen == [NOBODY, [".catena-"]]
    assert [*tmp_path.iterdir()] == []
    assert said == []


def test_mistakes_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    """A record without an id, one that cannot be right, and a weak folder."""
    with pytest.raises(ValueError, match="announced by its id"):
        announce(tmp_path, member(1, id=""))
    with pytest.raises(ValueError, match="the target 'x'"):
        announce(tmp_path, member(1, target="x"))
    with pytest.raises(FileNotFoundError):
        announce(tmp_path / "nothing", member(1))
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError, match="may be changed by other users"):
        announce(tmp_path, member(1))
    assert [*tmp_path.iterdir()] == []
    with announce(tmp_path, member(1), shared=True) as made:
        assert made.path.exists()


def test_a_worker_that_comes_back_takes_its_place(tmp_path: Path) -> None:
    """The newer record counts, and the older announcement does not remove it."""
    old = announce(tmp_path, member(1))
    new = announce(tmp_path, member(1, target="10.0.0.9:7800"))
    old.close()
    assert read(tmp_path) == {member(1, target="10.0.0.9:7800")}
    new.close()
    assert read(tmp_path) == NOBODY


@pytest.mark.parametrize("inode", ["same", "other"])
def test_what_others_have_put_in_its_place_stays(tmp_path: Path, inode: str) -> None:
    """Another file of the same content, and other content in the same file, are not its own."""
    with announce(tmp_path, member(1)) as made:
        content = made.path.read_text()
        if inode == "same":
            made.path.write_text(content + " ")
        else:
            (tmp_path / "other").write_text(content)
            (tmp_path / "other").rename(made.path)
    assert read(tmp_path) == members(1)


def test_what_is_no_file_any_more_stays(tmp_path: Path) -> None:
    """A folder of the record's name is somebody else's."""
    with announce(tmp_path, member(1)) as made:
        made.path.unlink()
        made.path.mkdir()
    assert made.path.is_dir()


def test_a_record_that_was_removed_by_others_is_closed_all_the_same(tmp_path: Path) -> None:
    """Who cleans the folder by hand breaks nothing."""
    with announce(tmp_path, member(1)) as made:
        made.path.unlink()


def test_a_forked_child_removes_nothing(tmp_path: Path) -> None:
    """The announcement is its maker's: a child that inherits it leaves it alone."""
    with announce(tmp_path, member(1)) as made:
        pid = os.fork()
        if pid == 0:
            made.close()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert made.path.exists()


@linux
def test_the_record_of_a_killed_process_is_left_out_and_removed(tmp_path: Path) -> None:
    """It is left out at once, before its parent has waited, and the next announcer removes it."""
    with announcing(tmp_path, "w1") as other:
        assert read(tmp_path) == members(1)
        other.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert read(tmp_path) == NOBODY
        other.wait()
        assert read(tmp_path) == NOBODY
    assert (tmp_path / "w1.json").exists()
    with logged() as said, announce(tmp_path, member(2)):
        assert [one.name for one in tmp_path.iterdir()] == ["w2.json"]
    assert said == [f"the record {tmp_path}/w1.json was removed: its process is dead"]


def test_a_process_that_ends_well_leaves_nothing(tmp_path: Path) -> None:
    """Its block is left, and its record is gone."""
    with announcing(tmp_path, "w1") as other:
        other.communicate("", timeout=30)
        assert other.returncode == 0
    assert [*tmp_path.iterdir()] == []


@linux
@pytest.mark.parametrize(
    ("change", "dead"),
    [
        ({}, True),
        ({"place": "another boot, or another container"}, False),
        ({"place": ""}, False),
        ({"pid": os.getpid()}, True),  # the number is used again
        ({"pid": 1}, True),
    ],
)
def test_only_a_process_that_is_certainly_dead_is(change: dict[str, Any], dead: bool) -> None:
    """In doubt it lives: its machine is another one, and only its link can show."""
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait()
    mine = mark_process()
    assert mine is not None
    assert not is_dead(mine)
    gone = mine._replace(pid=other.pid, started=mine.started - 1)

    assert is_dead(gone._replace(**change)) is dead


def test_without_proc_no_process_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system that has no /proc records bear no mark, and none is taken for dead."""
    monkeypatch.setattr(processes, "_BOOT", Path("/nothing"))

    assert mark_process() is None
    assert not is_dead(ProcessMark(2**22, 1, "somewhere"))
    assert not is_dead(ProcessMark(2**22, 1, ""))


@linux
def test_a_process_whose_facts_are_hidden_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's process may be there and show nothing."""
    mine = mark_process()
    assert mine is not None

    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(processes.os, "kill", refuse)
    monkeypatch.setattr(processes, "_read_status", lambda _: None)
    monkeypatch.setattr(processes, "_find_place", lambda: mine.place)
    assert not is_dead(mine._replace(started=1))


def test_drafts_of_dead_announcers_are_removed(tmp_path: Path) -> None:
    """One that is old was left by somebody who died; a young one is being written."""
    old, young, foreign = (tmp_path / name for name in (".catena-1", ".catena-2", ".other"))
    for path in (old, young, foreign):
        path.touch()
    for path in (old, foreign):
        os.utime(path, (1, 1))
    with announce(tmp_path, member(1)):
        assert sorted(one.name for one in tmp_path.iterdir()) == [".catena-2", ".other", "w1.json"]


def test_an_announcer_waits_for_another_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever keeps the folder's lock delays announcers, and cannot stop them."""
    slept: list[float] = []
    monkeypatch.setattr(announcement.time, "sleep", slept.append)
    holder = os.open(tmp_path, os.O_RDONLY)
    try:
        announcement.fcntl.flock(holder, announcement.fcntl.LOCK_EX)
        with announce(tmp_path, member(1)):
            assert read(tmp_path) == members(1)
    finally:
        os.close(holder)
    assert round(sum(slept), 3) == 1.0
    slept.clear()
    with announce(tmp_path, member(2)):
        assert slept == []


def test_others_can_read_what_is_written(tmp_path: Path) -> None:
    """The file is JSON with the fields that the documentation names."""
    with announce(tmp_path, member(1, tags=frozenset({"b", "a"}))) as made:
        fields = json.loads(made.path.read_text())
    process = fields.pop("process", {"pid": os.getpid()})

    assert fields == {"id": "w1", "target": "10.0.0.1:7800", "name": "", "tags": ["a", "b"]}
    assert process["pid"] == os.getpid()
