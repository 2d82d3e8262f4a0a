"""Another user of this machine, as a real process: refused, announced, and workers go on."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import catena
from catena.discovery import MemberRecord, announce
from catena.events import PeerAccessRefused
from catena.link.server import Server
from catena.pool.socket_dir import SocketDirectory
from catena.targets import unix_target
from catena.testing import recording
from tests.security.another_user import NOBODY, act, begin
from tests.support import isolated, run

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"),
    reason="only root can act as another user of the machine",
)


@catena.routine
async def double(number: int) -> int:
    """Answer with twice the number."""
    return 2 * number


@pytest.fixture
def common() -> Iterator[Path]:
    """A folder that everybody may enter and write to, as /tmp is."""
    with tempfile.TemporaryDirectory(prefix="common-") as name:
        path = Path(name)
        path.chmod(0o1777)
        yield path


@isolated
def test_a_workers_socket_is_its_users_alone(common: Path) -> None:
    """Trust: another user can neither connect nor put something in its place; its own user can."""

    async def main() -> None:
        path = common / "w1.sock"
        async with catena.WorkerServer(f"unix:{path}", id="w1") as worker:
            assert await asyncio.to_thread(act, "connect", path) == "PermissionError"
            assert await asyncio.to_thread(act, "replace", path) == "PermissionError"
            async with catena.WorkerPool(discovery=[worker.target]) as pool:
                assert pool.workers == ("w1",)
                assert await double(2) == 4

    run(main())


def test_a_socket_is_its_users_before_anybody_is_served(
    common: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trust: whatever the process leaves to others in files that it makes."""
    path, seen = common / "w1.sock", list[int]()
    start = Server.start

    async def note_and_start(self: Server) -> None:
        seen.append(path.stat().st_mode & 0o777)
        await start(self)

    monkeypatch.setattr(Server, "start", note_and_start)

    async def main() -> None:
        async with catena.WorkerServer(f"unix:{path}", id="w1"):
            pass

    before = os.umask(0)
    try:
        run(main())
    finally:
        os.umask(before)
    assert seen == [0o600]


@isolated
def test_a_squatted_socket_gets_nothing(common: Path) -> None:
    """Trust: a listener of another user is refused before anything is sent; the pool goes on."""

    async def main() -> None:
        path = common / "mine.sock"
        with begin("listen", path) as other:
            assert other.stdout is not None
            assert await asyncio.to_thread(other.stdout.readline) == "listens\n"
            async with catena.WorkerServer(f"unix:{common}/w1.sock", id="w1") as worker:
                targets = [unix_target(path), worker.target]
                with recording(PeerAccessRefused) as heard:
                    async with catena.WorkerPool(discovery=targets) as pool:
                        await asyncio.sleep(0.5)
                        assert pool.workers == ("w1",)
                        assert await double(3) == 6
            said, _ = await asyncio.to_thread(other.communicate, "")
            assert said.strip() == "True 0", "whether somebody came, and how much was sent"
            refused = heard.of(PeerAccessRefused)
            assert {one.error.peer for one in refused} == {str(path)}
            assert all(f"user {NOBODY}" in one.error.reason for one in refused)
            assert refused[0].error.pid == other.pid

    run(main())


@isolated
def test_a_worker_does_not_listen_where_another_user_does(common: Path) -> None:
    """Trust: it says so, and takes nothing away from anybody."""

    async def main() -> None:
        path = common / "w1.sock"
        with begin("listen", path) as other:
            assert other.stdout is not None
            await asyncio.to_thread(other.stdout.readline)
            with pytest.raises(FileExistsError, match="somebody listens"):
                await catena.WorkerServer(f"unix:{path}", id="w1").start()
            assert path.is_socket()
            await asyncio.to_thread(other.communicate, "")

    run(main())


@isolated
def test_a_rogue_record_is_left_out(common: Path, caplog: pytest.LogCaptureFixture) -> None:
    """P8: a record that another user has put into the folder does not count; a log says so."""

    async def main() -> None:
        async with catena.WorkerServer(f"unix:{common}/w1.sock", id="w1") as worker:
            assert act("write a record", common / "w2.json") == "written"
            with announce(common, MemberRecord("w1", worker.target)):
                async with catena.WorkerPool(discovery=f"dir:{common}") as pool:
                    await asyncio.sleep(0.5)
                    assert pool.workers == ("w1",)
                    assert await double(4) == 8

    run(main())
    assert f"w2.json is left out: it belongs to user {NOBODY}" in caplog.text


@isolated
def test_a_squatted_folder_is_refused(common: Path) -> None:
    """P8: what another user's folder says proves nothing, for pools and for workers."""
    folder = common / "workers"
    assert act("own", folder) == "made"
    assert act("write a record", folder / "w1.json") == "written"

    async def main() -> None:
        with pytest.raises(PermissionError, match=f"belongs to user {NOBODY}"):
            await catena.WorkerPool(discovery=f"dir:{folder}").open()
        with pytest.raises(PermissionError, match=f"belongs to user {NOBODY}"):
            await catena.WorkerServer(
                f"unix:{common}/w1.sock", id="w1", announce=f"dir:{folder}"
            ).start()

    run(main())


def test_a_pools_sockets_are_not_made_in_a_squatted_directory(
    common: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """R8: another user's directory is passed over; nobody else enters the one that is made."""
    squatted = common / "tmp"
    assert act("own", squatted) == "made"
    monkeypatch.setattr(tempfile, "tempdir", str(squatted))

    made = SocketDirectory()
    try:
        assert squatted not in made.path.parents
        assert act("enter", made.path) == "PermissionError"
    finally:
        made.remove()
    assert f"{squatted} may be changed by other users" in caplog.text
