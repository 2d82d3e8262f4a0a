"""DNS as a source, asked of a real name server on loopback: what it says, and what it fails to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.asyncresolver
import dns.name
import dns.resolver
import pytest

from catena.discovery import dns_names, dns_questions, looking
from catena.discovery.dns_names import DnsMedium
from catena.discovery.looking import LookingSource
from catena.ids import MemberRecord
from tests.discovery.name_server import NEGATIVE_SECONDS, NameServer, serving
from tests.discovery.reading import NOBODY, Clock, Members, logged, read_until
from tests.support import LOOPS, run

ADDRESSES = {
    "A": (20, ["10.0.0.1", "10.0.0.2"]),
    "AAAA": (10, ["fd00::1"]),
}
SERVICES = {
    "SRV": (20, ["0 50 7800 a.ns.", "10 1 7801 b.ns.", "0 50 7802 a.ns."]),
}
SRV_NAME = "_catena._tcp.workers.ns"


def at(name: str, *targets: str) -> Members:
    """The records of workers at some targets, whose certificates have to have a name."""
    return frozenset(MemberRecord("", target, name) for target in targets)


@asynccontextmanager
async def looking_at(
    name: str, port: int | None = 7800
) -> AsyncIterator[tuple[NameServer, DnsMedium]]:
    """A server, and a medium that asks it for a name."""
    async with serving() as server:
        yield server, DnsMedium(name, port, make_resolver=server.resolver)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a server that says nothing less time."""
    monkeypatch.setattr(dns_questions, "ANSWER_SECONDS", 0.5)


@pytest.mark.parametrize("loop", LOOPS)
def test_all_addresses_of_a_name_are_members(loop: str) -> None:
    """Of both families, at the port that was written, for as long as the shorter TTL says."""

    async def scenario() -> None:
        async with looking_at("workers.ns") as (server, medium):
            server.zone["workers.ns."] = ADDRESSES
            targets = ("10.0.0.1:7800", "10.0.0.2:7800", "[fd00::1]:7800")
            assert await medium.look() == at("workers.ns", *targets)
            assert medium.pause == 10

    run(scenario(), loop=loop)


@pytest.mark.parametrize(("seconds", "pause"), [(0, 1), (1, 1), (7, 7), (30, 30), (86400, 30)])
def test_a_time_to_live_counts_within_limits(seconds: int, pause: int) -> None:
    """At least a second, so that nobody asks all the time, and at most half a minute."""

    async def scenario() -> None:
        async with looking_at("workers.ns") as (server, medium):
            server.zone["workers.ns."] = {"A": (seconds, ["10.0.0.1"])}
            await medium.look()
            assert medium.pause == pause

    run(scenario())


def test_changes_come_when_an_answer_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source waits as long as the answer counts, and asks again."""
    clock = Clock()

    async def scenario() -> None:
        async with looking_at("workers.ns") as (server, medium):
            server.zone["workers.ns."] = {"A": (7, ["10.0.0.1"])}
            monkeypatch.setattr(dns_names, "sleep", clock.sleep)
            source = LookingSource(medium)
            found = source.members()
            assert await anext(found) == at("workers.ns", "10.0.0.1:7800")
            server.zone["workers.ns."] = {"A": (7, ["10.0.0.2"])}
            assert await anext(found) == at("workers.ns", "10.0.0.2:7800")
            del server.zone["workers.ns."]
            assert await anext(found) == NOBODY
            await source.close()

    run(scenario())
    assert set(clock.slept) == {7, NEGATIVE_SECONDS}


def test_a_name_that_does_not_exist_has_nobody() -> None:
    """That is an answer, which counts as long as the zone says of such names."""

    async def scenario() -> None:
        for port in (7800, None):
            async with looking_at(SRV_NAME, port) as (_, medium):
                assert await medium.look() == NOBODY
                assert medium.pause == NEGATIVE_SECONDS

    run(scenario())


@pytest.mark.parametrize("trouble", ["silent", "broken", "empty"])
@pytest.mark.parametrize("port", [7800, None])
def test_no_answer_leaves_the_members(
    trouble: str, port: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence, a failing server and a name without records say nothing of the workers."""
    monkeypatch.setattr(looking, "SHORTEST_PAUSE", 0.01)
    monkeypatch.setattr(looking, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(dns_names, "sleep", Clock().sleep)

    async def scenario() -> None:
        async with looking_at(SRV_NAME, port) as (server, medium):
            name, records = f"{SRV_NAME}.", {**ADDRESSES, **SERVICES}
            server.zone |= {name: records, "a.ns.": ADDRESSES, "b.ns.": ADDRESSES}
            source = LookingSource(medium)
            found = source.members()
            first = await anext(found)
            assert len(first) == (3 if port else 9)
            with logged() as said:
                if trouble == "empty":
                    server.zone[name] = {"TXT": (1, ["nothing"])}
                else:
                    getattr(server, trouble).add(name)
                waiting = asyncio.ensure_future(anext(found))
                asked = len(server.asked)
                while not said or len(server.asked) < asked + 8:
                    await asyncio.sleep(0.01)
                assert not waiting.done()
                assert len(said) == 1
                server.silent.clear()
                server.broken.clear()
                server.zone[name] = {"A": (1, ["10.0.0.9"]), "SRV": (1, ["0 0 1 a.ns."])}
                assert len(await waiting) == (1 if port else 3)
            await source.close()

    run(scenario(), timeout=60)


@pytest.mark.parametrize("trouble", ["silent", "broken"])
def test_a_family_without_an_answer_keeps_its_addresses(trouble: str) -> None:
    """The other family's answer counts; a server that knows no AAAA does not hide the A records."""

    async def scenario() -> None:
        async with looking_at("workers.ns") as (server, medium):
            server.zone["workers.ns."] = ADDRESSES
            await medium.look()
            getattr(server, trouble).add("AAAA")
            server.zone["workers.ns."] = {"A": (20, ["10.0.0.3"])}
            assert await medium.look() == at("workers.ns", "10.0.0.3:7800", "[fd00::1]:7800")
            getattr(server, trouble).clear()
            assert await medium.look() == at("workers.ns", "10.0.0.3:7800")

    run(scenario())


def test_services_bring_their_ports() -> None:
    """Each target's addresses at its port; what may be asked for is named after no answer."""

    async def scenario() -> None:
        async with looking_at(SRV_NAME, None) as (server, medium):
            server.zone |= {
                f"{SRV_NAME}.": SERVICES,
                "a.ns.": {"A": (20, ["10.0.0.1"]), "AAAA": (20, ["fd00::1"])},
                "b.ns.": {"A": (5, ["10.0.0.2"])},
            }
            targets = ("10.0.0.1:7800", "[fd00::1]:7800", "10.0.0.2:7801")
            more = ("10.0.0.1:7802", "[fd00::1]:7802")
            assert await medium.look() == at("workers.ns", *targets, *more)
            assert medium.pause == 5
            assert ("a.ns.", "A") in server.asked

    run(scenario())


def test_addresses_that_come_along_are_not_asked_for() -> None:
    """The answer's additional records are taken, and only what lacks is asked for."""

    async def scenario() -> None:
        async with looking_at(SRV_NAME, None) as (server, medium):
            server.zone |= {
                f"{SRV_NAME}.": SERVICES,
                "a.ns.": {"A": (3, ["10.0.0.1"])},
                "b.ns.": {"A": (20, ["10.0.0.2"])},
            }
            server.along = ["a.ns."]
            targets = ("10.0.0.1:7800", "10.0.0.2:7801", "10.0.0.1:7802")
            assert await medium.look() == at("workers.ns", *targets)
            assert medium.pause == 3
            asked = {name for name, _ in server.asked}
            assert asked == {f"{SRV_NAME}.", "b.ns."}

    run(scenario())


def test_a_target_without_an_answer_keeps_its_addresses() -> None:
    """One target in trouble costs the others nothing, and is logged once."""

    async def scenario() -> None:
        async with looking_at(SRV_NAME, None) as (server, medium):
            server.zone |= {
                f"{SRV_NAME}.": SERVICES,
                "a.ns.": {"A": (20, ["10.0.0.1"])},
                "b.ns.": {"A": (20, ["10.0.0.2"])},
            }
            first = await medium.look()
            server.silent.add("b.ns.")
            server.zone["a.ns."] = {"A": (20, ["10.0.0.3"])}
            with logged() as said:
                for _ in range(2):
                    targets = ("10.0.0.3:7800", "10.0.0.3:7802", "10.0.0.2:7801")
                    assert await medium.look() == at("workers.ns", *targets)
            (warning,) = said
            assert "b.ns." in warning
            assert len(first) == 3
            # One that was never answered has none.
            server.zone[f"{SRV_NAME}."] = {"SRV": (20, ["0 0 1 c.ns.", "0 0 2 a.ns."])}
            server.broken.add("c.ns.")
            server.zone["c.ns."] = {}
            assert await medium.look() == at("workers.ns", "10.0.0.3:2")

    run(scenario())


def test_a_target_that_is_gone_has_no_addresses() -> None:
    """Its name does not exist any more; and the root as a target says that there is no service."""

    async def scenario() -> None:
        async with looking_at(SRV_NAME, None) as (server, medium):
            server.zone |= {f"{SRV_NAME}.": SERVICES, "a.ns.": {"A": (20, ["10.0.0.1"])}}
            assert await medium.look() == at("workers.ns", "10.0.0.1:7800", "10.0.0.1:7802")
            server.zone[f"{SRV_NAME}."] = {"SRV": (20, ["0 0 0 ."])}
            server.asked.clear()
            with logged() as said:
                assert await medium.look() == NOBODY
            assert said == []
            assert server.asked == [(f"{SRV_NAME}.", "SRV")]

    run(scenario())


def test_a_long_answer_comes_over_tcp() -> None:
    """What does not fit into a datagram is asked for again, whole."""

    async def scenario() -> None:
        async with looking_at("workers.ns") as (server, medium):
            many = [f"10.0.{number}.1" for number in range(200)]
            server.zone["workers.ns."] = {"A": (20, many)}
            server.cut = True
            assert len(await medium.look()) == 200
            assert server.over_tcp

    run(scenario())


def test_so_many_members_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with very many addresses costs no more than a limit, and is logged once."""
    monkeypatch.setattr(dns_names, "MEMBER_LIMIT", 5)

    async def scenario() -> None:
        async with looking_at("workers.ns") as (server, medium):
            server.zone["workers.ns."] = {"A": (20, [f"10.0.0.{n}" for n in range(1, 9)])}
            with logged() as said:
                found = [await medium.look() for _ in range(2)]
            assert found[0] == found[1]
            assert len(found[0]) == 5
            (warning,) = said
            assert warning.endswith("it has more than 5 members; only so many count")

    run(scenario())


def test_an_answer_that_cannot_be_right_is_left_out() -> None:
    """A service at port 0 is nowhere."""

    async def scenario() -> None:
        async with looking_at(SRV_NAME, None) as (server, medium):
            server.zone |= {
                f"{SRV_NAME}.": {"SRV": (20, ["0 0 0 a.ns.", "0 0 80 a.ns."])},
                "a.ns.": {"A": (20, ["10.0.0.1"])},
            }
            with logged() as said:
                assert await medium.look() == at("workers.ns", "10.0.0.1:80")
            (warning,) = said
            assert warning.endswith("'10.0.0.1:0' is neither unix:/path nor host:port")

    run(scenario())


def test_relative_names_are_searched_for() -> None:
    """As in a cluster, where workers.ns stands for workers.ns.svc.cluster.local."""

    async def scenario() -> None:
        async with serving() as server:

            def resolver() -> dns.asyncresolver.Resolver:
                made = server.resolver()
                made.search = [dns.name.from_text("svc.cluster.local")]
                return made

            medium = DnsMedium("workers.ns", 7800, make_resolver=resolver)
            server.zone["workers.ns.svc.cluster.local."] = {"A": (20, ["10.0.0.1"])}
            assert await medium.look() == at("workers.ns", "10.0.0.1:7800")

    run(scenario())


def test_a_machine_without_name_servers_is_trouble_of_the_medium(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may get some later, so that is an OSError like others."""

    def fail() -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns_questions, "Resolver", fail)

    async def scenario() -> None:
        with pytest.raises(OSError, match="no name server is known"):
            await DnsMedium("workers.ns", 7800).look()

    run(scenario())


def test_looking_can_be_cancelled_and_closed() -> None:
    """A source whose server is silent gives nobody, and closes at once."""

    async def scenario() -> None:
        async with looking_at("workers.ns") as (server, medium):
            server.silent.add("workers.ns.")
            source = LookingSource(medium)
            waiting = asyncio.ensure_future(read_until(source.members(), lambda _: False))
            while not server.asked:
                await asyncio.sleep(0)
            await source.close()
            with pytest.raises(AssertionError, match="ended after"):
                await waiting

    run(scenario())
