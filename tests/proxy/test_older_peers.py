"""Workers of 0.1.0 keep the members that came first with a pool's id: changes bring another id."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import catena
from catena.dispatch.caller import connection
from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.dispatcher import dispatcher
from catena.link.link import Link
from catena.link.memory import make_pair
from catena.pickling import pickler
from catena.proxy.table import ProxyTable
from catena.wire import codec, versions
from catena.wire.frames import Ack, Result, Task
from tests.dispatch.ends import Through
from tests.link.ends import Hand
from tests.support import run

POOL = b"the pool's id..."
ONE, TWO = (codec.MemberFacts(f"w{n}", f"unix:/w{n}") for n in (1, 2))
color = catena.ContextVar("color", namespace="tests.older", default="none")


@catena.routine
async def ask() -> None:
    """Do nothing."""


async def meet_older() -> tuple[Hand, WorkerConnection]:
    """Return a hand that plays a worker of 0.1.0, and the way to it."""
    near, far = make_pair()
    link, hand = Link(near, "near"), Hand(far)
    hello = versions.make_hello("older")
    known = (versions.DELTA, versions.NAMES)
    await far.write(codec.encode_message([hello._replace(capabilities=known, minor=0)]))
    await link.exchange_hello(first=True)
    await hand.frame()
    caller = WorkerConnection(link, (POOL, codec.encode_proxy(POOL, [ONE])))
    link.start(caller)
    dispatcher.set(Through(caller))
    return hand, caller


async def serve_one(hand: Hand) -> Task:
    """Have a call made and answered; return its Task."""
    calling = asyncio.ensure_future(ask())
    task: Any = await hand.frame()
    await hand.frame()
    await hand.send(Ack(task.call), Result(task.call, pickler.dumps(None)))
    await calling
    return task


def test_a_change_of_members_comes_with_the_next_call_under_another_id() -> None:
    """V1, P2: no frame is sent that it does not know; its table keeps a proxy for each id."""

    async def main() -> None:
        hand, caller = await meet_older()
        first = await serve_one(hand)
        caller.renew_proxy(codec.encode_proxy(POOL, [ONE, TWO], 1))
        assert await hand.nothing()
        second, third = await serve_one(hand), await serve_one(hand)

        assert (first.proxy_id, second.proxy_id != POOL) == (POOL, True)
        facts = codec.decode_proxy(second.proxy)
        assert (facts.id, facts.members, facts.epoch) == (second.proxy_id, (ONE, TWO), 0)
        assert (third.proxy_id, third.proxy) == (second.proxy_id, b"")
        table = ProxyTable("older")
        for task in (first, second):
            assert table.get(task.proxy, task.proxy_id) is not None
        await table.close()
        await caller.link.close()

    run(main())


def test_states_of_chains_are_sent_anew_after_a_change() -> None:
    """V1: what it has kept of chains belongs to the id before."""

    async def main() -> None:
        hand, caller = await meet_older()
        color.set("red")
        drives: list[Any] = []
        for epoch in range(2):
            calling = asyncio.ensure_future(ask())
            task: Any = await hand.frame()
            drives.append(await hand.frame())
            await hand.send(Ack(task.call), Result(task.call, pickler.dumps(None)))
            await calling
            caller.renew_proxy(codec.encode_proxy(POOL, [ONE, TWO], epoch + 1))
        assert [one.manifest.base for one in drives] == [0, 0]
        assert all(one.manifest.entries for one in drives)
        await caller.link.close()

    run(main())


def test_the_same_change_has_the_same_id_whoever_says_it() -> None:
    """P2: callers of one pool lead to one proxy there; a pool that never changed keeps its id."""
    changed = codec.encode_proxy(POOL, [ONE, TWO], 7)

    assert codec.rename_proxy(changed) == codec.rename_proxy(changed)
    assert (
        codec.rename_proxy(changed)[0]
        != codec.rename_proxy(codec.encode_proxy(POOL, [ONE, TWO], 8))[0]
    )
    unchanged = codec.encode_proxy(POOL, [ONE])
    assert codec.rename_proxy(unchanged) == (POOL, unchanged)


def test_ids_do_not_become_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """V1: 0.1.0 forgets none of them, and refuses calls when it knows 256."""
    monkeypatch.setattr(connection, "RENEWALS", 2)

    async def main() -> None:
        hand, caller = await meet_older()
        ids: list[bytes] = []
        for epoch in range(1, 5):
            caller.renew_proxy(codec.encode_proxy(POOL, [ONE], epoch))
            ids.append((await serve_one(hand)).proxy_id)
        assert len(set(ids)) == 2
        assert ids[1] == ids[2] == ids[3]
        await caller.link.close()

    run(main())
