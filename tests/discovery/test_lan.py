"""The local network as a source: real multicast DNS, on loopback alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from zeroconf import NonUniqueNameException, ServiceStateChange
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from catena.discovery import lan
from catena.discovery.lan import (
    SERVICE,
    LanMedium,
    announce_in_lan,
    make_service,
    read_service,
)
from catena.discovery.looking import LookingSource
from tests.discovery.multicast import LOOPBACK, NEEDS_MULTICAST, alone
from tests.discovery.reading import NOBODY, Members, logged, member, members, read_until, settle
from tests.support import LOOPS, run

ON = [LOOPBACK]
FULL = member(1, name="workers.example", tags=frozenset({"gpu", "a,b", "größer", "50%"}))


@pytest.fixture(autouse=True)
def alone_in_the_network() -> Iterator[None]:
    """Nobody else announces anything on loopback meanwhile."""
    with alone():
        yield


@asynccontextmanager
async def reading(pool: str = "") -> AsyncIterator[AsyncIterator[Members]]:
    """Read what is announced on loopback until the block is left."""
    source = LookingSource(LanMedium(pool, interfaces=ON))
    try:
        yield source.members()
    finally:
        await source.close()


@asynccontextmanager
async def announcing(*services: AsyncServiceInfo) -> AsyncIterator[AsyncZeroconf]:
    """Announce what nobody has checked."""
    opened = AsyncZeroconf(interfaces=ON)
    try:
        sent = await asyncio.gather(*map(opened.async_register_service, services))
        await asyncio.gather(*sent)
        yield opened
    finally:
        await opened.async_unregister_all_services()
        await opened.async_close()


def service(at: str, port: int = 7800, address: bytes = b"\x0a\0\0\x07", **texts: Any) -> Any:
    """Return a service of the workers' type with any texts."""
    return AsyncServiceInfo(
        SERVICE,
        f"{at}.{SERVICE}",
        port=port,
        addresses=[address],
        properties=texts,
        server=f"{at}.local.",
    )


@NEEDS_MULTICAST
@pytest.mark.parametrize("loop", LOOPS)
def test_a_worker_that_announces_itself_is_found(loop: str) -> None:
    """With all of its fields; and it says goodbye when it is closed."""

    async def scenario() -> None:
        async with reading() as found:
            assert await anext(found) == NOBODY
            async with await announce_in_lan(FULL, interfaces=ON) as made:
                await read_until(found, frozenset({FULL}))
                assert repr(made) == f"<announcement w1.{SERVICE}>"
            await read_until(found, NOBODY)
            await made.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario(), timeout=60, loop=loop)


@NEEDS_MULTICAST
def test_a_pool_finds_its_own_workers() -> None:
    """Who names no pool finds all."""

    async def scenario() -> None:
        async with (
            await announce_in_lan(member(1), "render", interfaces=ON),
            await announce_in_lan(member(2), "train", interfaces=ON),
            await announce_in_lan(member(3), interfaces=ON),
            reading("render") as own,
            reading() as all_of_them,
        ):
            await read_until(own, members(1))
            await read_until(all_of_them, members(1, 2, 3))

    run(scenario(), timeout=60)


def test_an_id_that_another_worker_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An objection from the network, which one machine cannot make to itself, is raised as ours."""
    closed: list[AsyncZeroconf] = []
    close = AsyncZeroconf.async_close

    async def object_to_it(*_: Any) -> None:
        raise NonUniqueNameException

    async def note_close(self: AsyncZeroconf) -> None:
        closed.append(self)
        await close(self)

    monkeypatch.setattr(AsyncZeroconf, "async_register_service", object_to_it)
    monkeypatch.setattr(AsyncZeroconf, "async_close", note_close)

    async def scenario() -> None:
        with pytest.raises(FileExistsError, match="a worker w1 is announced already"):
            await announce_in_lan(member(1), interfaces=ON)

    run(scenario())
    assert len(closed) == 1


@NEEDS_MULTICAST
def test_lies_are_left_out_with_a_sentence_each() -> None:
    """A service whose id is another one, or that has no place, costs itself alone."""
    lying = [
        service("w7", id="w1"),
        service("w8", id="w8", tags="%ff"),
        service("w9", id="w9", name="no name"),
        service("w6"),
    ]

    async def scenario() -> list[str]:
        with logged() as said:
            async with (
                announcing(*lying),
                await announce_in_lan(member(1), interfaces=ON),
                reading() as found,
            ):
                await read_until(found, members(1))
                while len(said) < len(lying):
                    await asyncio.sleep(0.01)
        return said

    said = run(scenario(), timeout=60)
    assert len(said) == len(lying)
    for name, text in (
        ("w7", "it says that it is another one, 'w1'"),
        ("w8", "'utf-8' codec can't decode"),
        ("w9", "'no name' is not a DNS name"),
        ("w6", "it says that it is another one, ''"),
    ):
        start = f"{name}.{SERVICE} in the local network is left out: {text}"
        assert [one for one in said if one.startswith(start)]


@NEEDS_MULTICAST
def test_a_worker_that_says_something_else_changes() -> None:
    """New tags make a new set, and so does a lie that takes a worker away."""

    async def scenario() -> None:
        async with announcing(service("w7", id="w7")) as opened, reading() as found:
            seven = member(7)
            await read_until(found, frozenset({seven}))
            await (await opened.async_update_service(service("w7", id="w7", tags="gpu")))
            await read_until(found, frozenset({seven._replace(tags=frozenset({"gpu"}))}))
            await (await opened.async_update_service(service("w7", id="w1")))
            await read_until(found, NOBODY)

    run(scenario(), timeout=60)


def test_an_answer_that_comes_late_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker said before its last change is dropped, and so is what one that left said."""
    answers: list[asyncio.Future[int]] = []

    class Slow(AsyncServiceInfo):
        async def async_request(self, *_: Any, **__: Any) -> bool:
            answers.append(asyncio.get_running_loop().create_future())
            self.port = await answers[-1]
            self.addresses = [b"\x0a\0\0\x07"]
            self._set_properties({"id": "w7"})
            return True

    monkeypatch.setattr(lan, "AsyncServiceInfo", Slow)
    added, updated, removed = (
        getattr(ServiceStateChange, one) for one in ("Added", "Updated", "Removed")
    )

    async def scenario() -> None:
        medium = LanMedium(interfaces=ON)
        await medium.look()
        for change in (added, updated):
            medium._note_change(None, SERVICE, f"w7.{SERVICE}", change)  # type: ignore[arg-type]
            await settle(5)
        answers[1].set_result(7802)
        await settle(5)
        if not answers[0].done():
            answers[0].set_result(7801)
        await settle(5)
        assert await medium.look() == {member(7, target="10.0.0.7:7802")}

        for change in (updated, removed):
            medium._note_change(None, SERVICE, f"w7.{SERVICE}", change)  # type: ignore[arg-type]
            await settle(5)
        assert answers[2].cancelled()
        assert await medium.look() == NOBODY
        await medium.close()

    run(scenario())


@NEEDS_MULTICAST
def test_so_many_members_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever floods the network fills a table of a limit, and one line of the log."""
    monkeypatch.setattr(lan, "MEMBER_LIMIT", 2)

    async def scenario() -> list[str]:
        with logged() as said:
            many = [service(f"w{number}", id=f"w{number}") for number in range(1, 6)]
            async with announcing(*many), reading() as found:
                await read_until(found, lambda one: len(one) == 2)
                while not said:
                    await asyncio.sleep(0.01)
        return said

    (warning,) = run(scenario(), timeout=60)
    assert warning.startswith("more than 2 workers announce themselves in the local network")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"id": ""}, "the id '' is not made of"),
        ({"target": "unix:/run/w.sock"}, "'unix:/run/w.sock' is not host:port"),
        ({"target": "host.example:80"}, "host.example is not an address that others"),
        ({"target": "0.0.0.0:80"}, "0.0.0.0 is not an address that others"),
        ({"target": "224.0.0.1:80"}, "224.0.0.1 is not an address that others"),
        ({"tags": frozenset({"x" * 60 + str(n) for n in range(5)})}, "the tags are too long"),
        ({"leaf": b"x"}, "its leaf is not one certificate"),
        (
            {"leaf": b"-----BEGIN CERTIFICATE-----\nAAECAwQ=\n-----END CERTIFICATE-----\n"},
            "a certificate to pin cannot be announced",
        ),
    ],
)
def test_what_cannot_be_announced_is_refused(change: dict[str, Any], text: str) -> None:
    """Before anything is sent."""

    async def scenario() -> None:
        with pytest.raises(ValueError, match=text):
            await announce_in_lan(member(1)._replace(**change), interfaces=ON)
        with pytest.raises(ValueError, match="is too long to be announced in a local network"):
            await announce_in_lan(member(1), "x" * 61, interfaces=ON)
        with pytest.raises(ValueError, match="the id 'a b'"):
            await announce_in_lan(member(1), "a b", interfaces=ON)

    run(scenario())


def test_a_service_comes_back() -> None:
    """What is announced is what is read, of IPv6 as well, and believed for two minutes."""
    for record in (FULL, member(2), member(3, target="[fd00::1]:80"), member(4, id="a.b")):
        made = make_service(record, "render")
        assert read_service(made) == (record, "render")
        assert made.host_ttl == made.other_ttl == 120


def test_pools_may_have_workers_of_the_same_id() -> None:
    """Neither the name in the network nor the host, which has the address, is the same."""
    one, other = (make_service(member(1), pool) for pool in ("render", "train"))
    assert one.name != other.name
    assert one.server != other.server


def test_a_service_without_a_place_is_none() -> None:
    """Neither an address nor a port may lack."""
    for one in (AsyncServiceInfo(SERVICE, f"w1.{SERVICE}", port=1), service("w1", port=0, id="w1")):
        with pytest.raises(ValueError, match="it announces no address"):
            read_service(one)


def test_a_machine_without_a_network_is_trouble_of_the_medium(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may come back, so the source has nobody meanwhile, and closing it is fine."""

    def fail(**_: Any) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(lan, "AsyncZeroconf", fail)

    async def scenario() -> list[str]:
        with logged() as said:
            async with reading() as found:
                assert await anext(found) == NOBODY
        return said

    (warning,) = run(scenario())
    assert warning.startswith("the local network cannot be looked at")
