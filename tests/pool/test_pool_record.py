"""The record of an open pool: made and removed, private, and never left over."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import catena
from catena.discovery import MemberRecord
from catena.discovery.processes import mark_process
from catena.pool.record_folder import (
    VARIABLE,
    choose_folder,
    list_folders,
    read_pools,
    write_record,
)
from catena.pool.recorded import RecordedPool, encode_pool
from catena.wire import versions
from tests.pool.found_routines import identify
from tests.pool.records import keep_records_apart
from tests.pool.test_found_workers import Fleet, until, with_fleet
from tests.support import isolated, run

PROGRAM = """
import asyncio, catena

async def main():
    async with catena.WorkerPool(discovery=["unix:/nowhere/w1.sock"], quorum=0):
        print("open", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leave the records of this test in a folder of its own."""
    return keep_records_apart(tmp_path, monkeypatch)


def look_at(records: Path) -> tuple[tuple[int, int], str]:
    """Return the modes of the one record and of its folder, and its text."""
    (path,) = records.iterdir()
    return (path.stat().st_mode & 0o777, records.stat().st_mode & 0o777), path.read_text()


def take_away(records: Path) -> Path:
    """Remove the one record with its folder, and return where it was."""
    (path,) = records.iterdir()
    path.unlink()
    records.rmdir()
    return path


@isolated
def test_an_open_pool_has_a_record(records: Path) -> None:
    """It says which workers there are and how they are called, and holds no secret."""

    async def main() -> None:
        async with catena.WorkerPool(2, name="shop", insecure=True) as pool:
            (found,), problems = read_pools()
            assert problems == []
            assert (found.pid, found.name, found.insecure) == (os.getpid(), "shop", True)
            assert (found.version, found.protocol) == (catena.__version__, versions.PROTOCOL)
            assert tuple(one.id for one in found.workers) == pool.workers
            assert {(one.state, one.version) for one in found.workers} == {
                ("ready", catena.__version__)
            }
            assert all(one.target.startswith("unix:/") for one in found.workers)
            modes, text = look_at(records)
            assert modes == (0o600, 0o700)
            assert "secret" not in text

    run(main(), timeout=60)
    assert list(records.iterdir()) == []


@isolated
def test_the_record_follows_the_workers(tmp_path: Path) -> None:
    """Who joins and who leaves is in it a beat later; so is who cannot be reached, and why."""

    async def work(fleet: Fleet) -> None:
        nobody = f"unix:{tmp_path}/nobody.sock"
        await fleet.start("w1")
        await fleet.start("w2")
        asked = [f"unix:{tmp_path}/w1.sock", f"unix:{tmp_path}/w2.sock", nobody]
        async with catena.WorkerPool(discovery=asked, quorum=2):
            await identify()

            def states() -> dict[str, str]:
                (pool,), _ = read_pools()
                return {one.target.rpartition("/")[2]: one.state for one in pool.workers}

            ready = {"w1.sock": "ready", "w2.sock": "ready", "nobody.sock": "unlinked"}
            await until(lambda: states() == ready)
            (pool,), _ = read_pools()
            (unreached,) = (one for one in pool.workers if one.target == nobody)
            assert "No such file or directory" in unreached.error
            fleet.end("w2")
            await until(lambda: states().get("w2.sock") == "unlinked")

    with_fleet(tmp_path, work)


@isolated
def test_a_record_that_was_taken_away_comes_back(records: Path) -> None:
    """Systemd removes a runtime directory when its user logs out."""

    async def main() -> None:
        async with catena.WorkerPool(1):
            path = take_away(records)
            await until(path.exists)

    run(main(), timeout=60)


def test_the_record_of_a_dead_process_is_removed(records: Path) -> None:
    """By whoever reads it next, where it has no workers of its own; that of one that runs stays."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        (found,), _ = read_pools()
        assert found.pid == process.pid
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert len([*records.iterdir()]) == 1
        assert read_pools() == ([], [])
        assert list(records.iterdir()) == []
    finally:
        process.kill()
        process.communicate(timeout=30)


def test_a_number_that_is_used_again_is_another_process(records: Path) -> None:
    """The process of the record is known by more than its number, where the system says more."""
    mark = mark_process()
    assert mark is not None
    mine = RecordedPool("aa", os.getpid(), process=tuple(mark))
    before = mine._replace(id="bb", process=tuple(mark._replace(started=mark.started - 1)))
    unmarked = mine._replace(id="cc", process=None)
    for pool in (mine, before, unmarked):
        write_record(pool.id, encode_pool(pool))

    assert [pool.id for pool in read_pools()[0]] == ["aa", "cc"]
    assert sorted(one.name for one in records.iterdir()) == ["aa.json", "cc.json"]


def test_a_folder_that_others_may_enter_is_not_used(records: Path) -> None:
    """Neither to write nor to read: what is there may be anybody's."""
    records.mkdir()
    records.chmod(0o755)

    with pytest.raises(OSError, match="can be entered by others"):
        write_record("aa", b"{}")
    pools, (problem,) = read_pools()
    assert pools == []
    assert problem == f"the folder {records} is not read: {records} can be entered by others"


def test_what_is_no_record_is_named(records: Path) -> None:
    """Bad input: wrong JSON, a link, a folder; the right ones are read all the same."""
    right = RecordedPool("aa", os.getpid())
    write_record("aa", encode_pool(right))
    (records / "bad.json").write_text("{")
    (records / "link.json").symlink_to(records / "aa.json")
    (records / "folder.json").mkdir()
    (records / "notes.txt").write_text("?")
    os.mkfifo(records / "pipe.json")

    pools, problems = read_pools()
    assert pools == [right]
    assert [Path(one.split()[2]).name for one in problems] == [
        *("bad.json", "folder.json", "link.json", "pipe.json"),
    ]


@isolated
def test_a_pool_that_can_leave_no_record_opens(
    records: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning says why, once."""
    records.write_text("no folder")

    async def main() -> None:
        async with catena.WorkerPool(1):
            assert await identify() > 0
            await asyncio.sleep(2.5)

    with caplog.at_level(logging.WARNING, "catena.pool"):
        run(main(), timeout=60)
    said = [one.getMessage() for one in caplog.records if "record" in one.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("the pool leaves no record, so commands do not find it: ")


def test_the_folders_are_tried_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable stands for all others; without any, the system's folder is the last."""
    assert list_folders() == [tmp_path / "records"]
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    user = os.getuid()
    first, second, last = list_folders()
    assert (first, last) == (tmp_path / "run" / "catena", tmp_path / f"catena-pools-{user}")
    assert second == Path(f"/run/user/{user}/catena")

    (tmp_path / "run").mkdir(mode=0o700)
    assert choose_folder() == first
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert first not in list_folders()


@isolated
def test_refusals_are_in_the_record(tmp_path: Path) -> None:
    """What this process was refused is there a beat later, for `catena doctor`."""

    async def work(fleet: Fleet) -> None:
        await fleet.start("w1")
        where = [MemberRecord("w9", f"unix:{tmp_path}/w1.sock")]
        pool = catena.WorkerPool(1, discovery=where, quorum=0)
        async with pool:

            def reasons() -> list[str]:
                (found,), _ = read_pools()
                return [one.reason for one in found.refusals if one.kind == "RecordRefused"]

            await until(lambda: any("names w9" in one for one in reasons()))

    with_fleet(tmp_path, work)


def test_the_json_is_for_people_too(records: Path) -> None:
    """Each field stands on a line of its own, under its name."""
    path = write_record("aa", encode_pool(RecordedPool("aa", 1)))

    assert json.loads(path.read_text())["id"] == "aa"
    assert '\n "id": "aa",\n' in path.read_text()
