"""The watch over workers: hands play them, and the clock is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from catena.dispatch.caller import pulse as pulse_module
from catena.dispatch.caller.connection import WorkerConnection
from catena.link import link as link_module
from catena.proxy import watch as watch_module
from catena.proxy.balance import Proxy
from catena.proxy.member import Member
from catena.proxy.watch import Watch, look_pause
from catena.wire.frames import Ping, Pong
from tests.link.ends import Hand, link_and_hand, settle
from tests.support import run

PATIENCE = 30.0
PAUSE = look_pause(PATIENCE)


class Clock:
    """Stands still until the test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Notes:
    """A keeper that notes what it is given."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, float]] = []

    def worker_fell_silent(self, member: Member, seconds: float) -> None:
        """Note it."""
        self.all.append(("silent", member.worker, seconds))

    def worker_answered(self, member: Member, seconds: float) -> None:
        """Note it."""
        self.all.append(("answered", member.worker, seconds))

    def give_worker_up(self, member: Member, seconds: float) -> None:
        """Note it."""
        self.all.append(("given up", member.worker, seconds))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of pulse, link and watch."""
    found = Clock()
    for module in (pulse_module, link_module, watch_module):
        monkeypatch.setattr(module, "monotonic", found)
    return found


@asynccontextmanager
async def watched(
    *knows: bool, patience: float | None = PATIENCE
) -> AsyncIterator[tuple[Proxy, Watch, Notes, list[Hand]]]:
    """Watch workers, each of which knows of pings or does not."""
    members = tuple((f"w{n}", "unix:/nowhere") for n in range(len(knows)))
    proxy, hands, notes = Proxy(b"p" * 16, members, "caller"), list[Hand](), Notes()
    for member, pings in zip(proxy.members, knows, strict=True):
        link, hand = await link_and_hand(peer=member.worker, pings=pings)
        member.caller = WorkerConnection(link, (proxy.id, proxy.encoded))
        link.start(member.caller)
        hands.append(hand)
    yield proxy, Watch(lambda: proxy.members, notes, patience), notes, hands
    await proxy.close()
    await settle()


async def answer(hand: Hand) -> None:
    """Answer the Ping that a hand was sent."""
    asked = await hand.frame()
    assert isinstance(asked, Ping)
    await hand.send(Pong(0, asked.number))


def look(watch: Watch, clock: Clock, times: int) -> None:
    """Let the watch look, in time."""
    for _ in range(times):
        clock.now += PAUSE
        watch.look()


def test_a_silent_worker_is_suspect_and_ready_again_when_it_answers(clock: Clock) -> None:
    """P12: two seconds without an answer make it suspect, and an answer makes it ready."""

    async def main() -> None:
        async with watched(True, True) as (proxy, watch, notes, (first, second)):
            look(watch, clock, 1)
            await answer(second)
            look(watch, clock, 1)
            assert [one.state for one in proxy.members] == ["ready", "ready"]
            await answer(second)
            look(watch, clock, 1)
            assert [one.state for one in proxy.members] == ["suspect", "ready"]
            assert proxy.serving == [proxy.members[1]]
            assert notes.all == [("silent", "w0", 2 * PAUSE)]
            await answer(first)
            await answer(second)
            look(watch, clock, 1)
            assert [one.state for one in proxy.members] == ["ready", "ready"]
            assert notes.all[1:] == [("answered", "w0", 2 * PAUSE)]

    run(main())


def test_a_worker_that_never_answers_is_given_up_once(clock: Clock) -> None:
    """P12: after its patience the pool gives it up, and says so once."""

    async def main() -> None:
        async with watched(True) as (_, watch, notes, _hands):
            look(watch, clock, 100)
            assert [what for what, _, _ in notes.all] == ["silent", "given up"]
            assert notes.all[1][2] == PATIENCE

    run(main())


def test_without_an_end_nobody_is_given_up(clock: Clock) -> None:
    """P12: with None a worker may block for as long as it does."""

    async def main() -> None:
        async with watched(True, patience=None) as (_, watch, notes, _hands):
            look(watch, clock, 1000)
            assert [what for what, _, _ in notes.all] == ["silent"]

    run(main())


def test_without_a_keeper_a_silent_worker_is_suspect(clock: Clock) -> None:
    """P12: workers watch those that their own calls go to, and leave the rest to the pool."""

    async def main() -> None:
        async with watched(True, True) as (proxy, _, notes, (_first, second)):
            watch = Watch(lambda: proxy.members)
            look(watch, clock, 1)
            await answer(second)
            look(watch, clock, 2)
            assert [one.state for one in proxy.members] == ["suspect", "ready"]
            assert notes.all == []

    run(main())


def test_a_worker_that_does_not_know_pings_is_never_suspect(clock: Clock) -> None:
    """V1, P12: a peer without the capability is neither pinged nor suspected."""

    async def main() -> None:
        async with watched(False) as (proxy, watch, notes, (hand,)):
            look(watch, clock, 100)
            assert await hand.nothing()
            assert proxy.members[0].state == "ready"
            assert notes.all == []

    run(main())


def test_a_loop_that_was_blocked_itself_suspects_nobody(clock: Clock) -> None:
    """P12: time in which the pool's own loop read nothing does not count."""

    async def main() -> None:
        async with watched(True) as (proxy, watch, notes, (hand,)):
            look(watch, clock, 1)
            clock.now += 100
            watch.look()
            assert proxy.members[0].state == "ready"
            await answer(hand)
            look(watch, clock, 1)
            assert notes.all == []
            # What comes after that counts.
            look(watch, clock, 2)
            assert proxy.members[0].state == "suspect"

    run(main())


def test_a_new_link_is_given_a_new_chance(clock: Clock) -> None:
    """P12: with its link a worker's silence ends; the next link shows whether it answers."""

    async def main() -> None:
        async with watched(True) as (proxy, watch, _notes, _hands):
            (member,) = proxy.members
            look(watch, clock, 5)
            assert member.state == "suspect"
            assert member.caller is not None
            member.caller.link.fail(ConnectionError("broken"))
            look(watch, clock, 1)
            assert member.state == "ready"

    run(main())


@pytest.mark.parametrize(("patience", "pause"), [(None, 1.0), (30.0, 1.0), (1.0, 0.25)])
def test_who_is_given_up_soon_is_looked_at_more_often(patience: float | None, pause: float) -> None:
    """P12: a worker is suspect before it is given up, whatever the patience."""
    assert look_pause(patience) == pause


def test_a_ping_waits_for_its_answer(clock: Clock) -> None:
    """P12: a silent worker is not sent one Ping after the other."""

    async def main() -> None:
        async with watched(True) as (_proxy, watch, _notes, (hand,)):
            look(watch, clock, 10)
            assert isinstance(await hand.frame(), Ping)
            await asyncio.sleep(0)
            assert await hand.nothing()

    run(main())
