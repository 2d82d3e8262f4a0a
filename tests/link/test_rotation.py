"""What changes while processes run: certificates, authorities, and who may call."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.errors import PeerRefused
from catena.events import CredentialsFailed, PeerAccessRefused
from catena.link import tls
from catena.testing import recording
from catena.wire.codec import MemberFacts
from tests.security.ends import (
    W1,
    Worker,
    calling,
    double,
    is_served,
    link_to,
    make_folders,
    witness,
)
from tests.security.making import Authority, write_folder
from tests.support import run


@pytest.fixture
def unpickled(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A witness: whatever is unpickled at the worker."""
    return witness(monkeypatch)


# ---- files that change


def test_files_are_replaced_under_load(tmp_path: Path) -> None:
    """200 calls, some over links that are made anew, while both ends change their certificates."""
    authority = make_folders(tmp_path, "alice.jobs.catena")
    shown: set[bytes] = set()

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            ended = asyncio.Event()

            async def rotate() -> None:
                while not ended.is_set():
                    for name, its in (("w1", W1), ("alice", "alice.jobs.catena")):
                        cert, key = authority.sign(its)
                        write_folder(tmp_path / name, cert=cert)
                        await asyncio.sleep(0.003)
                        write_folder(tmp_path / name, key=key)
                        shown.add(cert)
                    # Most of the time they fit, on a slow machine, too.
                    await asyncio.sleep(0.05)

            rotating = asyncio.create_task(rotate())
            done = 0
            async with asyncio.timeout(60):
                for _ in range(20):
                    async with calling(worker, folder=tmp_path / "alice"):
                        found = await asyncio.gather(*(double(n) for n in range(10)))
                        assert found == [2 * n for n in range(10)]
                        done += 10
            ended.set()
            await rotating
            assert done == 200
            assert len(worker.links) == 20
            assert len(shown) > 4

    run(main(), timeout=90)


def test_an_authority_is_replaced(tmp_path: Path) -> None:
    """A worker that reads another authority refuses the old one's callers, and takes the new's."""
    make_folders(tmp_path, "alice.jobs.catena")
    new = Authority("new")
    new.fill(tmp_path / "bob", "bob.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            assert await is_served(worker, tmp_path / "alice")
            new.fill(tmp_path / "w1", W1)
            assert await is_served(worker, tmp_path / "bob")
            with pytest.raises(PeerRefused, match="did not prove"):
                await link_to(worker, tmp_path / "alice")

    run(main())


@pytest.mark.parametrize("spoil", ["missing", "readable by others", "a misfit"])
def test_files_that_cannot_be_read_keep_the_last(
    tmp_path: Path, spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker goes on with what it has read before, and announces that once."""
    monkeypatch.setattr(tls, "PAIR_SECONDS", 0.05)
    authority = make_folders(tmp_path, "alice.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            with recording(CredentialsFailed) as heard:
                match spoil:
                    case "missing":
                        (tmp_path / "w1" / "ca.pem").unlink()
                    case "readable by others":
                        (tmp_path / "w1" / "key.pem").chmod(0o644)
                    case _:
                        write_folder(tmp_path / "w1", key=authority.sign(W1)[1])
                for _ in range(4):
                    assert await is_served(worker, tmp_path / "alice")
                    await asyncio.sleep(0.06)
            (failed,) = heard.of(CredentialsFailed)
            assert failed.kept
            assert failed.error.where.startswith(str(tmp_path / "w1"))
            authority.fill(tmp_path / "w1", W1)
            assert await is_served(worker, tmp_path / "alice")

    run(main())


def test_a_link_that_is_up_stays_up(tmp_path: Path) -> None:
    """New files are for new links."""
    make_folders(tmp_path, "alice.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker, calling(worker, folder=tmp_path / "alice"):
            assert await double(1) == 2
            Authority("new").fill(tmp_path / "w1", W1)
            assert await double(2) == 4
            assert len(worker.links) == 1

    run(main())


# ---- names that are taken from a list


def test_a_name_that_is_taken_out_begins_no_other_call(
    tmp_path: Path, unpickled: list[bytes]
) -> None:
    """A link that is up is of no use then; put back, the name calls over the same link."""
    make_folders(tmp_path, "alice.jobs.catena", "bob.jobs.catena")
    path = tmp_path / "callers"
    path.write_text("alice.jobs.catena\nbob.jobs.catena\n")

    async def main() -> None:
        async with (
            Worker(tmp_path / "w1", path) as worker,
            calling(worker, folder=tmp_path / "alice"),
        ):
            running = asyncio.create_task(double(1))
            assert await running == 2
            path.write_text("bob.jobs.catena\n")
            seen = len(unpickled)
            with recording(PeerAccessRefused) as heard, pytest.raises(PeerRefused) as caught:
                await double(2)
            assert caught.value.peer == "alice.jobs.catena"
            assert caught.value.reason.endswith("are bob.jobs.catena")
            assert len(heard.of(PeerAccessRefused)) == 2
            assert len(unpickled) == seen
            assert await is_served(worker, tmp_path / "bob")
            path.write_text("alice.jobs.catena\nbob.jobs.catena\n")
            assert await double(3) == 6
            assert worker.peers == ["alice.jobs.catena", "bob.jobs.catena"]

    run(main())


def test_calls_that_run_go_on(tmp_path: Path) -> None:
    """What has begun before a name was taken out may end."""
    make_folders(tmp_path, "alice.jobs.catena")
    path = tmp_path / "callers"
    path.write_text("alice.jobs.catena")

    async def main() -> None:
        async with (
            Worker(tmp_path / "w1", path) as worker,
            calling(worker, folder=tmp_path / "alice"),
        ):
            stream = count_up(3)
            assert await anext(stream) == 0
            path.write_text("bob.jobs.catena")
            with pytest.raises(PeerRefused):
                await double(1)
            assert [number async for number in stream] == [1, 2]

    run(main())


@catena.routine
async def count_up(to: int) -> Any:
    """Count."""
    for number in range(to):
        yield number


@catena.routine(slots=1)
async def double_in_turn(number: int) -> int:
    """Answer with twice the number, when there is a slot for it."""
    return 2 * number


def test_a_refused_call_leaves_no_slot_taken(tmp_path: Path) -> None:
    """P15: calls that stand in line are refused one by one, and others have the slot then."""
    make_folders(tmp_path, "alice.jobs.catena", "bob.jobs.catena")
    path = tmp_path / "callers"
    path.write_text("alice.jobs.catena\nbob.jobs.catena\n")

    async def main() -> None:
        async with (
            Worker(tmp_path / "w1", path) as worker,
            calling(worker, folder=tmp_path / "alice"),
        ):
            assert await double_in_turn(1) == 2
            path.write_text("bob.jobs.catena\n")
            calls = (double_in_turn(number) for number in range(5))
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(one) for one in found] == [PeerRefused] * 5
            async with asyncio.timeout(5):
                with catena.credentials(tmp_path / "bob"):
                    assert await double_in_turn(3) == 6

    run(main())


def test_a_refused_caller_changes_no_pool(tmp_path: Path) -> None:
    """P2: what a worker knows of a pool is not for somebody to change who may not call."""
    make_folders(tmp_path, "alice.jobs.catena")
    path = tmp_path / "callers"
    path.write_text("alice.jobs.catena")

    def known(worker: Worker) -> list[str]:
        return [one.worker for one in worker.table.list_members()]

    async def main() -> None:
        async with (
            Worker(tmp_path / "w1", path) as worker,
            calling(worker, folder=tmp_path / "alice") as proxy,
        ):
            assert await double(1) == 2
            proxy.add_member(proxy.make_member(MemberFacts("w2", "127.0.0.1:1")))
            async with asyncio.timeout(5):
                while known(worker) != ["w1", "w2"]:
                    await asyncio.sleep(0.01)
            path.write_text("bob.jobs.catena")
            proxy.remove_member(proxy.members[1], "was stopped")
            with pytest.raises(PeerRefused):
                await double(2)
            assert known(worker) == ["w1", "w2"]

    run(main())
