"""Which worker of a pool gets a call: hands play the workers, or a routine blocks a real one."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import catena
from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.dispatcher import dispatcher
from catena.pickling import pickler
from catena.proxy.balance import Proxy
from catena.wire.frames import Ack, Ping, Pong, Result, Task
from tests.integration.pools import pooled
from tests.link.ends import Hand, link_and_hand, settle
from tests.support import isolated, run

NONE = pickler.dumps(None)


@catena.routine
async def ping() -> None:
    """Return at once."""


@catena.routine
async def block(begun: str, released: str) -> None:
    """Block the worker's event loop until the test lets go."""
    os.close(os.open(begun, os.O_CREAT))
    # Opening a FIFO takes until somebody opens its other end.
    os.close(os.open(released, os.O_RDONLY))


@asynccontextmanager
async def through_hands(
    count: int, *, pings: bool = False
) -> AsyncIterator[tuple[Proxy, list[Hand]]]:
    """Dispatch through a proxy whose workers are played by hands."""
    members = tuple((f"w{n}", f"unix:/nowhere/{n}") for n in range(count))
    proxy, hands = Proxy(b"p" * 16, members, "caller"), list[Hand]()
    for member in proxy.members:
        link, hand = await link_and_hand(peer=member.worker, pings=pings)
        member.caller = WorkerConnection(link, (proxy.id, proxy.encoded))
        link.start(member.caller)
        hands.append(hand)
    token = dispatcher.set(proxy)
    try:
        yield proxy, hands
    finally:
        dispatcher.reset(token)
        await proxy.close()
        await settle()


async def held_up(proxy: Proxy, number: int, *, until: bool = True) -> None:
    """Wait until a worker counts as held up, or until it does not."""
    async with asyncio.timeout(10):
        while connection(proxy, number).pulse.held_up is not until:
            await asyncio.sleep(0.001)


def connection(proxy: Proxy, number: int) -> WorkerConnection:
    """Return the connection to a worker."""
    caller = proxy.members[number].caller
    assert caller is not None
    return caller


async def accepted(hand: Hand) -> Task:
    """Return the next call of a hand, and acknowledge it."""
    task = await hand.frame()
    assert isinstance(task, Task)
    await hand.frame()
    await hand.send(Ack(task.call))
    return task


@isolated
def test_a_worker_that_acknowledges_nothing_gets_no_call_while_another_one_does() -> None:
    """P12: a call without an Ack for 20 ms keeps further ones away, whatever is open elsewhere."""

    async def main() -> None:
        async with through_hands(2) as (proxy, (first, second)):
            calls = [asyncio.ensure_future(ping())]
            await first.symbols(2)
            await held_up(proxy, 0)
            for _ in range(4):
                calls.append(asyncio.ensure_future(ping()))
                await accepted(second)
            assert await first.nothing()
            assert len(connection(proxy, 1).calls) == 4
            await first.send(Ack(1))
            await held_up(proxy, 0, until=False)
            # It has the fewest calls.
            calls.append(asyncio.ensure_future(ping()))
            task = await accepted(first)
            assert task.call == 2
            for call in calls:
                call.cancel()

    run(main())


@isolated
def test_a_worker_that_acknowledged_its_call_is_asked_whether_it_answers() -> None:
    """P12: it may run for as long as it does, but one that answers no Ping gets no more calls."""

    async def main() -> None:
        async with through_hands(2, pings=True) as (proxy, (first, second)):
            calls = [asyncio.ensure_future(ping())]
            await accepted(first)
            asked = await first.frame()
            assert isinstance(asked, Ping)
            await first.send(Pong(0, asked.number))
            assert not connection(proxy, 0).pulse.measure_silence()
            assert isinstance(await first.frame(), Ping)
            await held_up(proxy, 0)
            for _ in range(3):
                calls.append(asyncio.ensure_future(ping()))
                await accepted(second)
            assert await first.nothing()
            for call in calls:
                call.cancel()

    run(main())


@isolated
def test_a_worker_that_does_not_know_pings_is_not_asked() -> None:
    """V1, P12: a peer without the capability is neither pinged nor held to be silent."""

    async def main() -> None:
        async with through_hands(1) as (proxy, (hand,)):
            call = asyncio.ensure_future(ping())
            await accepted(hand)
            pulse = connection(proxy, 0).pulse
            assert not pulse.can_ask
            # It has looked, and its looks get rarer.
            async with asyncio.timeout(10):
                while pulse.is_alert:
                    await asyncio.sleep(0.001)
            assert await hand.nothing()
            assert not pulse.held_up
            call.cancel()

    run(main())


@isolated
def test_where_all_are_held_up_calls_go_on_in_turn() -> None:
    """P12: without a worker that answers, a call is sent all the same."""

    async def main() -> None:
        async with through_hands(2) as (proxy, hands):
            calls = [asyncio.ensure_future(ping()) for _ in range(2)]
            await settle()
            for number in range(2):
                await held_up(proxy, number)
            calls += [asyncio.ensure_future(ping()) for _ in range(2)]
            assert [await hand.symbols(4) for hand in hands] == [["task", "next"] * 2] * 2
            for call in calls:
                call.cancel()

    run(main())


@isolated
def test_a_loop_that_was_busy_itself_blames_nobody() -> None:
    """P12: what came while the caller's own loop was blocked is read before anybody is judged."""

    async def main() -> None:
        async with through_hands(1) as (proxy, (hand,)):
            call = asyncio.ensure_future(ping())
            await hand.symbols(2)
            pulse = connection(proxy, 0).pulse
            pulse._look(time.monotonic() - 1)
            assert not pulse.held_up
            await held_up(proxy, 0)
            call.cancel()

    run(main())


@isolated
def test_no_timer_is_left_when_no_call_is_open() -> None:
    """P12: an idle link costs nothing, and the worker is watched again with the next call."""

    async def main() -> None:
        async with through_hands(1) as (proxy, (hand,)):
            pulse = connection(proxy, 0).pulse
            for _ in range(2):
                call = asyncio.ensure_future(ping())
                task = await accepted(hand)
                assert pulse.is_alert
                await hand.send(Result(task.call, NONE))
                await call
                async with asyncio.timeout(10):
                    while pulse._timer is not None:
                        await asyncio.sleep(0.001)
            assert not connection(proxy, 0).unacknowledged

    run(main())


def test_ten_calls_beside_a_blocked_worker_are_answered(tmp_path: Path) -> None:
    """P12: they are while the routine still blocks its worker, which ends only after them."""
    begun, released = tmp_path / "begun", tmp_path / "released"
    os.mkfifo(released)

    async def main(pool: catena.WorkerPool) -> None:
        proxy = pool.dispatcher
        assert isinstance(proxy, Proxy)
        blocked = asyncio.ensure_future(block(str(begun), str(released)))
        try:
            while not begun.exists() or not any(
                one.caller and one.caller.pulse.held_up for one in proxy.members
            ):
                await asyncio.sleep(0.001)
            await asyncio.gather(*(ping() for _ in range(10)))
            assert not blocked.done()
        finally:
            os.close(os.open(released, os.O_WRONLY))
        await blocked

    pooled(main, spawn=2)
