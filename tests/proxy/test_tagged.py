"""Which of the workers with some tags gets a call: hands play the workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import catena
from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.caller.line import line_of
from catena.errors import NoFittingWorker, NoPool, WorkerLost
from catena.proxy.balance import Proxy
from catena.proxy.member import Member
from catena.proxy.tagged import TaggedWorkers
from catena.security.credentials import Credentials
from catena.wire import codec, versions
from catena.wire.codec import MemberFacts
from catena.wire.frames import Ack, Nack, NackCode
from tests.link.ends import Hand, link_and_hand, settle
from tests.proxy.test_choice import accepted, held_up
from tests.support import isolated, run

GPU = frozenset({"gpu"})


@catena.routine
async def ping() -> None:
    """Return at once."""


class Bound:
    """What a routine goes on, as it goes on a pool."""

    def __init__(self, way: TaggedWorkers) -> None:
        self.dispatcher = way


@asynccontextmanager
async def three_hands() -> AsyncIterator[tuple[Proxy, list[Hand]]]:
    """Make a proxy of three workers, played by hands, of which the last two have the tag."""
    facts = [
        MemberFacts(f"w{n}", f"unix:/nowhere/{n}", tags=GPU if n else frozenset()) for n in range(3)
    ]
    proxy, hands = Proxy(b"p" * 16, facts, "caller"), list[Hand]()
    for member in proxy.members:
        hands.append(await connect(proxy, member))
    try:
        yield proxy, hands
    finally:
        await proxy.close()
        await settle()


async def connect(proxy: Proxy, member: Member) -> Hand:
    """Have a hand at the other end of a member's link."""
    link, hand = await link_and_hand(peer=member.worker)
    member.caller = WorkerConnection(link, (proxy.id, proxy.encoded))
    link.start(member.caller)
    return hand


@isolated
def test_calls_spread_over_those_that_fit() -> None:
    """P8: by the calls that they have; the others get none."""

    async def main() -> None:
        async with three_hands() as (proxy, hands):
            asked = ping.on(Bound(proxy.fitting(GPU)))
            calls = [asyncio.ensure_future(asked()) for _ in range(40)]
            await settle()
            open_calls = [len(one.caller.calls) for one in proxy.members if one.caller]
            assert open_calls[0] == 0
            assert sum(open_calls) == 40
            # Two are drawn for each call, so that neither is left far behind.
            assert min(open_calls[1:]) >= 10
            assert await hands[0].nothing()
            for call in calls:
                call.cancel()

    run(main())


@isolated
def test_a_worker_that_refuses_is_passed_over_for_another_that_fits() -> None:
    """P11: also where it has the fewest calls, and never for one that does not fit."""

    async def main() -> None:
        async with three_hands() as (proxy, (nobody, busy, other)):
            asked = ping.on(Bound(proxy.fitting(GPU)))

            async def refuse() -> None:
                while True:
                    frame = await busy.frame()
                    if frame.symbol == "task":
                        await busy.send(Nack(frame.call, NackCode.BUSY, "busy"))

            refusing = asyncio.ensure_future(refuse())
            calls = [asyncio.ensure_future(asked()) for _ in range(12)]
            for _ in calls:
                await accepted(other)
            assert await nobody.nothing()
            for call in (*calls, refusing):
                call.cancel()

    run(main())


@isolated
def test_a_worker_that_is_held_up_is_passed_over() -> None:
    """P12: as long as another one that fits is not."""

    async def main() -> None:
        async with three_hands() as (proxy, (nobody, first, second)):
            asked = ping.on(Bound(proxy.fitting(GPU)))
            calls = [asyncio.ensure_future(asked()) for _ in range(8)]
            await settle()
            stuck, fine = proxy.members[1], second
            assert stuck.caller is not None
            for task in [await second.frame() for _ in range(len(_calls(proxy, 2)) * 2)]:
                if task.symbol == "task":
                    await fine.send(Ack(task.call))
            await held_up(proxy, 1)
            before = len(stuck.caller.calls)
            for _ in range(8):
                calls.append(asyncio.ensure_future(asked()))
                await accepted(second)
            assert len(stuck.caller.calls) == before
            assert await nobody.nothing()
            del first
            for call in calls:
                call.cancel()

    run(main())


def _calls(proxy: Proxy, number: int) -> dict[int, object]:
    caller = proxy.members[number].caller
    assert caller is not None
    return dict(caller.calls)


@isolated
def test_a_suspect_serves_where_no_other_fits() -> None:
    """P12: of those that fit; that another one is ready is no help."""

    async def main() -> None:
        async with three_hands() as (proxy, _):
            way = proxy.fitting(GPU)
            proxy.members[1].suspect()
            assert way.serving == [proxy.members[2]]
            proxy.members[2].suspect()
            assert way.serving == proxy.members[1:]
            proxy.members[1].drain()
            assert way.serving == [proxy.members[2]]
            assert proxy.serving == [proxy.members[0]]

    run(main())


@isolated
def test_errors_say_which_workers_were_asked_for() -> None:
    """P8: none that fits, none that can be reached, and a pool that is closed are told apart."""

    async def main() -> None:
        facts = [MemberFacts("w1", "unix:/nowhere/1", tags=frozenset({"eu", "gpu"}))]
        proxy = Proxy(b"p" * 16, facts, "caller")
        with pytest.raises(NoFittingWorker) as raised:
            await ping.on(Bound(proxy.fitting(frozenset({"tpu"}))))()
        assert (raised.value.tags, raised.value.known) == (("tpu",), ("eu", "gpu"))
        way = proxy.fitting(GPU)
        with pytest.raises(WorkerLost, match="no worker with the tag gpu can be reached: w1: "):
            await ping.on(Bound(way))()
        assert "with the tag gpu" in repr(way)
        await proxy.close()
        with pytest.raises(NoPool, match="the pool was closed"):
            await ping.on(Bound(way))()

    run(main())


@isolated
def test_some_workers_stand_in_the_line_of_the_pool() -> None:
    """P13, P5: offers come to a link, and a link of other credentials is another one."""

    async def main() -> None:
        facts = [MemberFacts("w1", "127.0.0.1:1", found=True, tags=GPU)]
        proxy = Proxy(b"p" * 16, facts, "caller")
        way = proxy.fitting(GPU)
        assert line_of(way) is line_of(proxy)
        view, credentials = proxy.under(Credentials("/one")), Credentials("/one")
        assert line_of(way.under(credentials)) is line_of(view) is not line_of(proxy)
        assert [one.worker for one in way.under(credentials).members] == ["w1"]
        assert way.fitting(frozenset({"eu"})).members == []
        await proxy.close()

    run(main())


@isolated
def test_a_version_that_says_no_tags_has_those_of_its_record() -> None:
    """V1: what a worker says of itself counts only where it is capable of saying it."""

    async def main() -> None:
        said: list[frozenset[str]] = []
        for capable in (False, True):
            proxy = Proxy(b"p" * 16, [MemberFacts("w1", "unix:/w1", tags=GPU)], "caller")
            (member,) = proxy.members
            link, _ = await link_and_hand(peer="w1")
            assert link.peer is not None
            link.peer = link.peer._replace(tags=("eu", "", "bell\a"))
            link.capabilities = frozenset({versions.TAGS} if capable else ())
            connection = WorkerConnection(link, (proxy.id, proxy.encoded))
            member.note_said(connection)
            said.append(member.tags)
            await proxy.close()
            await link.close()
        assert said == [GPU, frozenset({"eu"})]

    run(main())


def test_tags_travel_to_workers() -> None:
    """V2: with the members; in one order, so that the same members make the same bytes."""
    one = MemberFacts("w1", "unix:/w1", tags=frozenset({"b", "a", "c"}))
    read = codec.decode_proxy(codec.encode_proxy(b"p", [one, MemberFacts("w2", "unix:/w2")], 3))
    assert [member.tags for member in read.members] == [{"a", "b", "c"}, frozenset()]
    assert codec.encode_proxy(b"p", read.members, 3) == codec.encode_proxy(
        b"p", [one, MemberFacts("w2", "unix:/w2")], 3
    )
