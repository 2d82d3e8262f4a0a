"""The folder as a source: real files, real notifications, and what happens without these."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from catena.discovery import announce, folder as folders, looking
from catena.discovery.folder import FolderMedium
from catena.discovery.folder_reader import FolderReader
from catena.discovery.looking import LookingSource
from catena.discovery.mounts import is_local
from tests.discovery.reading import NOBODY, Members, logged, member, members, read_until
from tests.support import run


@asynccontextmanager
async def reading(path: Path) -> AsyncIterator[AsyncIterator[Members]]:
    """Read a folder until the block is left."""
    source = LookingSource(FolderMedium(path))
    try:
        yield source.members()
    finally:
        await source.close()


@pytest.fixture
def never_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave notifications alone to say that something has changed."""
    monkeypatch.setattr(folders, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(folders, "ANNOUNCED_POLL_SECONDS", 3600.0)


@pytest.mark.usefixtures("never_polled")
def test_what_comes_and_goes_is_noticed(tmp_path: Path) -> None:
    """Created, moved in, renamed, moved out and removed: the system announces each."""

    async def scenario() -> None:
        async with reading(tmp_path) as found:
            assert await anext(found) == NOBODY
            first = announce(tmp_path, member(1))
            await read_until(found, members(1))
            elsewhere = tmp_path / "elsewhere"
            elsewhere.mkdir()
            second = announce(elsewhere, member(2))
            second.path.rename(tmp_path / "w2.json")
            await read_until(found, members(1, 2))
            (tmp_path / "w2.json").rename(tmp_path / ".w2.json")
            await read_until(found, members(1))
            (tmp_path / ".w2.json").rename(tmp_path / "w2.json")
            await read_until(found, members(1, 2))
            first.close()
            await read_until(found, members(2))
            (tmp_path / "w2.json").unlink()
            await read_until(found, NOBODY)

    run(scenario(), timeout=60)


@pytest.mark.usefixtures("never_polled")
def test_what_is_there_from_the_beginning_comes_first(tmp_path: Path) -> None:
    """The first set is complete, and what was announced before another reader came counts."""

    async def scenario() -> None:
        with announce(tmp_path, member(1)), announce(tmp_path, member(2)):
            async with reading(tmp_path) as found, reading(tmp_path) as again:
                assert await anext(found) == members(1, 2)
                assert await anext(again) == members(1, 2)

    run(scenario())


def test_a_folder_that_vanishes_leaves_the_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The members stay, it is logged once, and a new folder of that name is watched again."""
    monkeypatch.setattr(looking, "SHORTEST_PAUSE", 0.05)
    monkeypatch.setattr(looking, "LONGEST_PAUSE", 0.05)
    path = tmp_path / "workers"
    path.mkdir()

    async def scenario() -> list[str]:
        async with reading(path) as found:
            assert await anext(found) == NOBODY
            announce(path, member(1))
            await read_until(found, members(1))
            with logged() as said:
                shutil.rmtree(path)
                waiting = asyncio.ensure_future(anext(found))
                while not said:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.3)
                assert not waiting.done()
                path.mkdir()
                assert await waiting == NOBODY
                with announce(path, member(2)):
                    await read_until(found, members(2))
            return said

    gone, back = run(scenario(), timeout=60)
    assert gone.startswith(f"the folder {path} cannot be looked at")
    assert "FileNotFoundError" in gone
    assert back == f"the folder {path} can be looked at again"


def test_a_folder_that_is_gone_is_not_watched(tmp_path: Path) -> None:
    """Its successor may have the same number, so the watch ends with the first look that fails."""
    path = tmp_path / "workers"
    path.mkdir()

    async def scenario() -> None:
        medium = FolderMedium(path)
        assert await medium.look() == NOBODY
        assert len(asyncio.all_tasks()) > 1
        shutil.rmtree(path)
        with pytest.raises(FileNotFoundError):
            await medium.look()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario())


@pytest.mark.usefixtures("never_polled")
def test_a_folder_that_was_replaced_is_watched(tmp_path: Path) -> None:
    """Notifications are those of the folder that has the name now."""
    path = tmp_path / "workers"
    path.mkdir()

    async def scenario() -> None:
        async with reading(path) as found:
            assert await anext(found) == NOBODY
            other = tmp_path / "other"
            other.mkdir()
            announce(other, member(1))
            path.rename(tmp_path / "old")
            other.rename(path)
            # The folder that was watched announces this, and the new one is found.
            (tmp_path / "old" / "x").touch()
            await read_until(found, members(1))
            announce(path, member(2))
            await read_until(found, members(1, 2))

    run(scenario(), timeout=60)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("rust")])
def test_without_notifications_a_folder_is_read_at_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Where the system has no watch left to give, one warning says so, and changes are seen."""

    async def fail(*_: Any, **__: Any) -> Any:
        raise error
        yield

    monkeypatch.setattr(watchfiles, "awatch", fail)
    monkeypatch.setattr(folders, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(folders, "ANNOUNCED_POLL_SECONDS", 3600.0)

    async def scenario() -> list[str]:
        with logged() as said:
            async with reading(tmp_path) as found:
                assert await anext(found) == NOBODY
                with announce(tmp_path, member(1)):
                    await read_until(found, members(1))
                await read_until(found, NOBODY)
        return said

    (warning,) = run(scenario(), timeout=60)
    assert warning.startswith(f"changes of the folder {tmp_path} are not announced")


def test_a_watched_folder_is_read_at_intervals_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another machine changes in a shared folder is never announced, and seen."""
    monkeypatch.setattr(watchfiles, "awatch", _be_silent)
    monkeypatch.setattr(folders, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(folders, "ANNOUNCED_POLL_SECONDS", 0.02)

    async def scenario() -> None:
        async with reading(tmp_path) as found:
            assert await anext(found) == NOBODY
            with announce(tmp_path, member(1)):
                await read_until(found, members(1))

    run(scenario())


def test_a_shared_file_system_is_read_more_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notifications suffice for long only where no other machine writes."""
    asked: list[int] = []

    def is_shared(device: int) -> bool:
        asked.append(device)
        return False

    monkeypatch.setattr(folders, "is_local", is_shared)
    monkeypatch.setattr(folders, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(folders, "ANNOUNCED_POLL_SECONDS", 3600.0)
    monkeypatch.setattr(watchfiles, "awatch", _be_silent)

    async def scenario() -> None:
        async with reading(tmp_path) as found:
            assert await anext(found) == NOBODY
            with announce(tmp_path, member(1)):
                await read_until(found, members(1))

    run(scenario())
    assert set(asked) == {tmp_path.stat().st_dev}


async def _be_silent(*_: Any, **__: Any) -> Any:
    await asyncio.Event().wait()
    yield


def test_file_systems_are_known_by_the_systems_list(tmp_path: Path) -> None:
    """A device of a local file system is local; one of NFS, or in no line, is not."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "36 35 98:0 / /mnt rw,noatime shared:1 - ext4 /dev/root rw\n"
        "37 35 0:52 / /home rw - nfs4 server:/home rw\n"
        "38 35 0:53 / /tm\\040p rw - tmpfs tmpfs rw\n"
        "broken\n"
    )
    found = {minor: is_local(os.makedev(0, minor), mounts) for minor in (52, 53, 54)}

    assert found == {52: False, 53: True, 54: False}
    assert is_local(os.makedev(98, 0), mounts)
    assert not is_local(os.makedev(98, 0), tmp_path / "nothing")


def test_a_folder_that_became_weak_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lets others write there later has what the folder said before, and a warning."""
    monkeypatch.setattr(folders, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(folders, "ANNOUNCED_POLL_SECONDS", 0.02)

    async def scenario() -> str:
        async with reading(tmp_path) as found:
            assert await anext(found) == NOBODY
            with logged() as said:
                _let_others_write(tmp_path)
                waiting = asyncio.ensure_future(anext(found))
                while not said:
                    await asyncio.sleep(0.01)
            assert not waiting.done()
            waiting.cancel()
            return said[0]

    warning = run(scenario())
    tmp_path.chmod(0o700)
    assert "PermissionError" in warning
    assert "may be changed by other users" in warning


def _let_others_write(path: Path) -> None:
    path.chmod(0o777)
    (path / "w1.json").write_text(json.dumps(member(1)._asdict() | {"tags": []}))


def test_a_file_system_that_keeps_its_readers_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is known then, it is logged, one thread waits at most, and later the members come."""
    monkeypatch.setattr(looking, "SHORTEST_PAUSE", 0.01)
    monkeypatch.setattr(looking, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(folders, "READ_SECONDS", 0.05)
    back = threading.Event()
    read = FolderReader.read_members

    def wait_and_read(self: FolderReader) -> Members:
        assert back.wait(60)
        return read(self)

    monkeypatch.setattr(FolderReader, "read_members", wait_and_read)

    async def scenario() -> list[str]:
        with logged() as said, announce(tmp_path, member(1)):
            async with reading(tmp_path) as found:
                assert await anext(found) == NOBODY
                waiting = asyncio.ensure_future(anext(found))
                await asyncio.sleep(0.5)
                assert not waiting.done()
                assert [one.name for one in threading.enumerate()].count("catena-folder") == 1
                back.set()
                assert await waiting == members(1)
        return said

    failed, again = run(scenario(), timeout=60)
    assert "TimeoutError" in failed
    assert again.endswith("can be looked at again")


def test_a_source_of_such_a_file_system_can_be_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither closing nor the end of the loop waits for the thread."""
    back = threading.Event()
    monkeypatch.setattr(FolderReader, "read_members", lambda _: back.wait(60) and NOBODY)
    monkeypatch.setattr(looking, "PATIENCE_SECONDS", 0.01)

    async def scenario() -> None:
        async with reading(tmp_path) as found:
            assert await anext(found) == NOBODY

    run(scenario(), timeout=10)
    back.set()


def test_closing_ends_the_watch(tmp_path: Path) -> None:
    """No task is left, and the thread that watched ends."""

    async def scenario() -> None:
        async with reading(tmp_path) as found:
            await anext(found)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario())
