"""Credentials as a scope: who calls under which credentials goes by which link (P5)."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import catena
from catena.dispatch.caller.line import line_of
from catena.dispatch.dispatcher import dispatcher
from catena.errors import CredentialsError, PeerRefused
from catena.pool.broadcast import OneWorker
from catena.proxy import views
from catena.proxy.balance import Proxy, proxies
from catena.security.credentials import Credentials
from catena.security.trust import Trust
from catena.wire import codec
from tests.security.ends import Worker, calling, make_folders
from tests.support import isolated, run

POOL_ID = b"p" * 16
LOCAL = (("w1", "unix:/nowhere/1"), ("w2", "unix:/nowhere/2"))
REMOTE = (("w1", "127.0.0.1:1"), ("w2", "127.0.0.1:2"))
ONE, TWO = Credentials("/certs/one"), Credentials("/certs/two")


@catena.routine
async def double(number: int) -> int:
    """Answer with twice the number."""
    return 2 * number


@catena.routine(slots=1)
async def double_in_turn(number: int) -> int:
    """Do so with a slot."""
    await asyncio.sleep(0.01)
    return 2 * number


@catena.routine
async def count_up(to: int) -> AsyncIterator[int]:
    """Count."""
    for number in range(to):
        yield number


def test_two_scopes_never_share_a_link(tmp_path: Path) -> None:
    """P5: one proxy, four kinds of calls, many tasks; the worker knows each call's caller."""
    names = ("alice.jobs.catena", "bob.jobs.catena", "pool.jobs.catena")
    make_folders(tmp_path, *names)

    async def call_as(name: str, number: int) -> None:
        with catena.credentials(tmp_path / name):
            assert await double(number) == 2 * number
            assert await double_in_turn(number) == 2 * number
            assert [one async for one in count_up(3)] == [0, 1, 2]

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker, calling(worker, folder=tmp_path / "pool"):
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(call_as(("alice", "bob")[number % 2], number))
                    group.create_task(double(number))
            assert sorted(worker.peers) == sorted(names)

    run(main())


def test_each_call_is_made_under_the_scope_that_is_active(tmp_path: Path) -> None:
    """P5: a proxy that was first used under others is no reason to go on with those."""
    make_folders(tmp_path, "alice.jobs.catena", "mallory.others.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker, calling(worker):
            with pytest.raises(CredentialsError, match="needs credentials"):
                await double(1)
            with catena.credentials(tmp_path / "alice"):
                assert await double(2) == 4
                with catena.credentials(tmp_path / "mallory"), pytest.raises(PeerRefused):
                    await double(3)
                with catena.credentials(tmp_path / "nothing"), pytest.raises(CredentialsError):
                    await double(4)
                with catena.credentials(None), pytest.raises(CredentialsError):
                    await double(5)
                assert await double(6) == 12
            assert worker.peers == ["alice.jobs.catena"]

    run(main())


def test_calls_from_threads_are_made_under_their_scope(tmp_path: Path) -> None:
    """P5, P10: what is handed over to the pool's loop takes the scope along."""
    make_folders(tmp_path, "alice.jobs.catena", "bob.jobs.catena")

    def block() -> list[int]:
        with catena.credentials(tmp_path / "bob"):
            return [double.blocking(2), double_in_turn.blocking(3), *count_up.blocking(2)]

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker, calling(worker):
            with catena.credentials(tmp_path / "alice"):
                assert await catena.to_thread(double.blocking, 1) == 2
            assert await catena.to_thread(block) == [4, 6, 0, 1]
            assert worker.peers == ["alice.jobs.catena", "bob.jobs.catena"]

    run(main())


def test_a_call_to_one_worker_is_made_under_the_scope(tmp_path: Path) -> None:
    """P5: a broadcast, too, and a call on a way that is named."""
    make_folders(tmp_path, "alice.jobs.catena", "bob.jobs.catena")

    async def main() -> None:
        async with (
            Worker(tmp_path / "w1") as worker,
            calling(worker, folder=tmp_path / "alice") as proxy,
        ):
            way = OneWorker(proxy, proxy.members[0])
            assert await double.on(way)(1) == 2
            with catena.credentials(tmp_path / "bob"):
                assert await double.on(way)(2) == 4
                assert await double_in_turn.on(way)(3) == 6
            assert worker.peers == ["alice.jobs.catena", "bob.jobs.catena"]

    run(main())


def test_links_that_nobody_uses_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P5: after some time, and not while calls are open; they are made anew when needed."""
    monkeypatch.setattr(views, "IDLE_SECONDS", 0.2)
    make_folders(tmp_path, "alice.jobs.catena", "bob.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker, calling(worker):
            with catena.credentials(tmp_path / "alice"):
                assert await double(1) == 2
            with catena.credentials(tmp_path / "bob"):
                stream = count_up(2)
                assert await anext(stream) == 0
                async with asyncio.timeout(5):
                    await worker.links[0].wait_ended()
                await asyncio.sleep(0.5)
                assert worker.links[1].up
                assert await anext(stream) == 1
                await stream.aclose()
                async with asyncio.timeout(5):
                    await worker.links[1].wait_ended()
                assert await double(2) == 4
            assert len(worker.links) == 3

    run(main())


def test_views_end_with_their_proxy(tmp_path: Path) -> None:
    """P5: closing the pool's way closes all of its links, and calls are refused."""
    make_folders(tmp_path, "alice.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker, calling(worker) as proxy:
            with catena.credentials(tmp_path / "alice"):
                assert await double(1) == 2
                assert proxy.is_used
                await proxy.close()
                with pytest.raises(catena.NoPool):
                    await double(2)
            async with asyncio.timeout(5):
                await worker.links[0].wait_ended()

    run(main())
    gc.collect()
    assert [one for one in proxies if one.id == POOL_ID] == []


# ---- which way is taken


@isolated
def test_a_pool_of_this_machine_has_no_views() -> None:
    """P5: Unix sockets take no credentials, so a scope changes nothing there."""

    async def main() -> None:
        proxy = Proxy(POOL_ID, LOCAL, "caller")
        assert proxy.under(ONE) is proxy
        proxy.add_member(proxy.make_member(codec.MemberFacts("w3", "10.0.0.5:4000")))
        assert proxy.under(ONE) is not proxy
        await proxy.close()
        assert proxy.under(ONE) is proxy

    run(main())


@isolated
def test_equal_credentials_have_one_view() -> None:
    """P5: by their folder; the proxy's own are no view, and a view of a view is the pool's."""

    async def main() -> None:
        proxy = Proxy(POOL_ID, REMOTE, "caller", trust=Trust(ONE, "jobs", insecure=True))
        assert proxy.under(Credentials("/certs/one")) is proxy
        view = proxy.under(TWO)
        assert proxy.under(Credentials("/certs/two")) is view
        assert view.under(TWO) is view
        assert view.under(ONE) is proxy
        assert view.trust == Trust(TWO, "jobs")
        assert line_of(view) is not line_of(proxy)
        await proxy.close()
        assert view.closed

    run(main())


@isolated
def test_a_view_follows_its_pool() -> None:
    """P12, P14: members come, leave and are set aside there as here; what they say is shared."""

    async def main() -> None:
        proxy = Proxy(POOL_ID, REMOTE, "caller", trust=Trust(ONE, "jobs"), watched=True)
        view = proxy.under(TWO)
        one, two = proxy.members
        assert [(each.worker, each.target) for each in view.members] == list(REMOTE)
        assert view.members[0].exit is one.exit

        one.suspect()
        assert view.serving == [view.members[1]]
        view.members[1].suspect()
        assert view.serving == view.members
        assert proxy.serving == [two]
        one.trust()
        assert view.serving == [view.members[0]]

        proxy.add_member(proxy.make_member(codec.MemberFacts("w3", "127.0.0.1:3")))
        assert [each.worker for each in view.serving] == ["w1", "w3"]
        proxy.remove_member(one, "was killed")
        assert [each.worker for each in view.members] == ["w2", "w3"]
        assert view.last_exit == proxy.last_exit == "w1 was killed"
        assert (view.epoch, view.encoded) == (proxy.epoch, proxy.encoded)
        proxy.expect_members("test", expected=True)
        assert view.expecting == {"test"}
        # One that has left is watched as long as it may have calls.
        assert set(proxy.list_watched()) == {*proxy.members, *view.list_known()}
        assert len(view.list_known()) == 3
        await proxy.close()

    run(main())


@isolated
def test_a_view_follows_a_later_epoch() -> None:
    """P2: also in a worker that learns of it, where members leave and come at once."""

    async def main() -> None:
        proxy = Proxy(POOL_ID, REMOTE, "w9", trust=Trust(ONE, "jobs"))
        view = proxy.under(TWO)
        stays = view.members[1]
        later = codec.encode_proxy(
            POOL_ID, [codec.MemberFacts(*REMOTE[1]), codec.MemberFacts("w3", "127.0.0.1:3")], 5
        )
        proxy.replace_members(codec.decode_proxy(later))
        assert [each.worker for each in view.members] == ["w2", "w3"]
        assert view.members[0] is stays
        assert (view.epoch, view.encoded) == (5, later)
        await proxy.close()

    run(main())


@isolated
def test_a_scope_needs_no_pool() -> None:
    """A scope where nothing is bound changes no error."""

    async def main() -> None:
        dispatcher.set(None)
        with catena.credentials("/certs/one"), pytest.raises(catena.NoPool):
            await double(1)

    run(main())


@catena.routine
async def nest(number: int) -> int:
    """Call another routine of the pool."""
    return await double(number)


def test_nested_calls_are_made_under_the_workers_own(tmp_path: Path) -> None:
    """P1, P5: a scope stays in its process; workers call each other as themselves."""
    make_folders(tmp_path, "alice.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker, calling(worker):
            with catena.credentials(tmp_path / "alice"):
                assert await nest(2) == 4
            assert worker.peers == ["alice.jobs.catena", "w1.jobs.catena"]

    run(main())
