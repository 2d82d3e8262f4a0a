"""A link that has much to send: who sends more waits, in turn, and a dead link keeps nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from catena.link import congestion
from catena.link.link import Link
from catena.wire.frames import Piece, Result
from tests.link.ends import Listener, link_and_hand, settle
from tests.support import run


class _Slow:
    """A transport that writes only when it is let."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.messages = 0

    async def write(self, message: bytes) -> None:
        await self.gate.wait()
        self.messages += 1

    async def read(self) -> Any:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.gate.set()


def test_who_sends_much_can_wait_until_less_is_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    """M7: a link says when too much is queued and wakes who waits for it to drain."""
    monkeypatch.setattr(congestion, "HIGH_WATER", 100_000)

    async def main() -> None:
        slow = _Slow()
        link = Link(slow, "near")
        link.start(Listener())
        await asyncio.wait_for(link.wait_drained(), 1)
        for call in range(1, 30):
            link.send(Result(call, b"x" * 60_000))
        assert link.congested
        waiting = [asyncio.ensure_future(link.wait_drained()) for _ in range(3)]
        await settle()
        assert not any(one.done() for one in waiting)
        slow.gate.set()
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        assert not link.congested
        assert slow.messages > 1
        await link.close()

    run(main())


def test_who_waits_for_a_link_to_drain_is_let_go_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D7: a dead link keeps nobody waiting."""
    monkeypatch.setattr(congestion, "HIGH_WATER", 10)

    async def main() -> None:
        link = Link(_Slow(), "near")
        link.start(Listener())
        link.send(Result(1, b"x" * 1000))
        waiting = asyncio.ensure_future(link.wait_drained())
        await settle()
        link.fail(ConnectionError("gone"))
        await asyncio.wait_for(waiting, 1)
        await link.close()

    run(main())


def test_who_waits_goes_on_in_order_each_when_the_one_before_has_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R5, M7: no more of them are woken than there is room for, and nobody overtakes."""
    monkeypatch.setattr(congestion, "HIGH_WATER", 100_000)
    order: list[int] = []
    most: list[int] = []

    async def main() -> None:
        slow = _Slow()
        link = Link(slow, "near")
        link.start(Listener())
        link.send(Result(1000, b"x" * 60_000))
        link.send(Result(1001, b"x" * 60_000))

        async def sends(call: int) -> None:
            await link.wait_drained()
            order.append(call)
            link.send(Result(call, b"x" * 60_000))
            most.append(link._outbox.bytes)

        waiting = [asyncio.ensure_future(sends(call)) for call in range(1, 40)]
        await settle()
        assert order == []
        waiting[4].cancel()
        slow.gate.set()
        await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
        assert order == [call for call in range(1, 40) if call != 5]
        assert max(most) < 100_000 + 2 * 61_000
        await link.close()

    run(main())


def test_who_comes_later_stands_behind_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """R5: while somebody waits a link stays congested for others, though there is room again."""
    monkeypatch.setattr(congestion, "HIGH_WATER", 100_000)

    async def main() -> None:
        slow = _Slow()
        link = Link(slow, "near")
        link.start(Listener())
        for call in (1, 2):
            link.send(Result(call, b"x" * 60_000))
        waiting = asyncio.ensure_future(link.wait_drained())
        await settle()
        link._outbox.clear()
        assert link.congested
        slow.gate.set()
        await asyncio.wait_for(waiting, 5)
        await settle()
        assert not link.congested
        await link.close()

    run(main())


def test_a_dead_link_lets_go_of_what_it_was_to_send() -> None:
    """R9: whoever still knows the link keeps neither its queue nor what arrived in part."""

    async def main() -> None:
        link, hand = await link_and_hand()
        link.start(Listener())
        await hand.send(Piece(1, 1, b"x" * 1000, False, 2000))
        link.send(Result(1, b"x" * 3_000_000))
        assert link.transfers == 1
        assert link._outbox.bytes > 3_000_000
        link.fail(ConnectionError("gone"))
        assert link.transfers == 0
        assert (link._outbox.bytes, link._joiner.bytes) == (0, 0)
        await link.close()

    run(main())
