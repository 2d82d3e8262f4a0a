"""The members of a proxy change: here and, by their epoch, on the workers that know the proxy."""

from __future__ import annotations

import pytest

from catena.errors import ProtocolError
from catena.events import FrameDropped
from catena.proxy.balance import Proxy
from catena.proxy.table import ProxyTable
from catena.testing import recording
from catena.wire import codec
from catena.wire.frames import Members
from tests.dispatch.ends import caller_and_hand, hand_and_sessions
from tests.link.ends import settle
from tests.support import run

POOL = b"the pool's id..."
ONE, TWO, THREE = (codec.MemberFacts(f"w{n}", f"unix:/w{n}") for n in (1, 2, 3))


def names(proxy: Proxy | None) -> list[str]:
    """Return who gets calls."""
    assert proxy is not None
    return [member.worker for member in proxy.serving]


def test_a_later_epoch_changes_the_live_object() -> None:
    """P2: the same proxy has other members then; what stays is the same member as before."""

    async def main() -> None:
        table = ProxyTable("w1")
        proxy = table.get(codec.encode_proxy(POOL, [ONE, TWO]), POOL)
        assert proxy is not None
        first = proxy.find_member("w1")

        assert table.get(codec.encode_proxy(POOL, [ONE, THREE], 1), POOL) is proxy

        assert names(proxy) == ["w1", "w3"]
        assert proxy.find_member("w1") is first
        assert codec.decode_proxy(proxy.encoded) == (POOL, (ONE, THREE), 1, 0)
        await table.close()

    run(main())


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_an_epoch_that_is_not_later_changes_nothing(epoch: int) -> None:
    """P2: a link that is slow does not bring back who is gone."""

    async def main() -> None:
        table = ProxyTable("w1")
        table.get(codec.encode_proxy(POOL, [ONE, TWO], 2), POOL)
        assert names(table.get(codec.encode_proxy(POOL, [ONE], epoch), POOL)) == ["w1", "w2"]
        await table.close()

    run(main())


def test_states_decide_who_gets_calls() -> None:
    """P12: a suspect gets calls only while no other is ready; who drains or is gone gets none."""

    async def main() -> None:
        proxy = Proxy(POOL, (ONE, TWO, THREE), "caller")
        first, second, third = proxy.members
        first.suspect()
        assert names(proxy) == ["w2", "w3"]
        second.drain()
        second.suspect()
        third.leave()
        third.trust()
        assert [one.state for one in proxy.members] == ["suspect", "draining", "gone"]
        assert names(proxy) == ["w1"]
        first.trust()
        assert first.state == "ready"
        first.leave()
        assert names(proxy) == []
        assert proxy.pick_connection() is None
        await proxy.close()

    run(main())


def test_members_are_sent_once_over_each_link() -> None:
    """P2: also where no call went: a worker may know the pool from another one."""

    async def main() -> None:
        async with caller_and_hand() as (caller, hand):
            caller.renew_proxy(b"changed")
            assert await hand.frame() == Members(0, b"changed")
            assert await hand.nothing()

    run(main())


def test_who_drains_is_a_member_of_no_epoch_and_found_all_the_same() -> None:
    """P12: calls do not go there any more; what it still has ends with its process, if need be."""

    async def main() -> None:
        proxy = Proxy(POOL, (ONE, TWO), "caller")
        first, second = proxy.members
        proxy.part_with(first)
        assert names(proxy) == ["w2"]
        assert codec.decode_proxy(proxy.encoded) == (POOL, (TWO,), 1, 0)
        assert proxy.find_member("w1") is first
        assert (first.state, second.state) == ("draining", "ready")
        await proxy.close()

    run(main())


def test_a_worker_takes_members_and_a_caller_drops_them() -> None:
    """P2: the frame is for workers; one that does not parse ends the link."""

    async def main() -> None:
        table = ProxyTable("w1")
        async with hand_and_sessions(proxies=table.get) as (hand, sessions):
            table.get(codec.encode_proxy(POOL, [ONE]), POOL)
            await hand.send(Members(0, codec.encode_proxy(POOL, [ONE, TWO], 1)))
            await settle()
            assert names(table.get(b"", POOL)) == ["w1", "w2"]
            with pytest.raises(ProtocolError, match="does not parse"):
                sessions.receive(Members(0, b"\xff"))
            with pytest.raises(ProtocolError, match="the limit is"):
                sessions.receive(Members(0, bytes(2 << 20)))
            await table.close()
        async with caller_and_hand() as (_, hand):
            with recording(FrameDropped) as recorded:
                await hand.send(Members(0, b"proxy"))
                await settle()
            assert recorded.events == [FrameDropped(0, "members")]

    run(main())
