"""The table of a worker's proxies: one live object for each pool, while anybody needs it."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from catena.errors import NoPool, ProtocolError
from catena.proxy import table as module
from catena.proxy.balance import Proxy
from catena.proxy.table import ProxyTable
from catena.transfer.states.bound import BoundProxy
from catena.wire import codec
from tests.link.ends import settle
from tests.support import run

ONE, TWO = (codec.MemberFacts(f"w{n}", f"unix:/nowhere/w{n}") for n in (1, 2))


def id_of(number: int) -> bytes:
    """Return the id of a pool."""
    return b"pool" + number.to_bytes(12, "big")


def form_of(number: int, *, epoch: int = 0) -> bytes:
    """Return the encoded form of the proxy of a pool."""
    return codec.encode_proxy(id_of(number), [ONE, TWO][: epoch + 1], epoch)


def get(table: ProxyTable, number: int, *, epoch: int = 0) -> Proxy:
    """Return the proxy of a pool."""
    found = table.get(form_of(number, epoch=epoch), b"")
    assert found is not None
    return found


def test_threads_that_restore_at_once_get_one_object() -> None:
    """P2: the get-or-insert is synchronous, and safe from any thread."""

    async def main() -> None:
        table = ProxyTable("w1")
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(8) as threads:
            for number in range(50):
                made = [loop.run_in_executor(threads, get, table, number) for _ in range(8)]
                found = await asyncio.gather(*made)
                assert len(set(map(id, found))) == 1
                assert found[0] is get(table, number)
                assert found[0].loop is loop
        await table.close()

    run(main())


def test_a_later_epoch_from_a_thread_changes_the_live_object() -> None:
    """P2: on the loop that its links live on."""

    async def main() -> None:
        table = ProxyTable("w1")
        proxy = get(table, 1)
        found = await asyncio.to_thread(lambda: get(table, 1, epoch=1))
        await settle()
        assert found is proxy
        assert [one.worker for one in proxy.members] == ["w1", "w2"]
        await table.close()

    run(main())


def test_to_restore_connects_to_nobody() -> None:
    """P2: what is made is a handle; the first call through it connects."""

    async def main() -> None:
        table = ProxyTable("w1")
        proxy = get(table, 1)
        await settle()
        assert not proxy.is_used
        assert not proxy.is_busy
        await table.close()

    run(main())


def holding(proxy: Proxy, how: str) -> Any:
    """Have a proxy needed, until what is returned is let go of."""
    if how == "bound":
        return BoundProxy(proxy, "chain")
    proxy.leases[proxy] = "chain", 0  # type: ignore[index]
    return None


@pytest.mark.parametrize("how", ["bound", "leased"])
def test_what_is_needed_is_kept(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """P4: a proxy that is leased or bound is neither forgotten nor closed; all others make room."""
    monkeypatch.setattr(module, "PROXY_MOST", 4)

    async def main() -> None:
        table = ProxyTable("w1")
        needed = [get(table, number) for number in range(3)]
        held = [holding(one, how) for one in needed]
        for number in range(10, 30):
            get(table, number)
            assert [get(table, one) for one in range(3)] == needed
        held.append(holding(get(table, 99), how))
        with pytest.raises(ProtocolError, match="4 pools are in use"):
            get(table, 100)
        held.clear()
        gc.collect()
        for one in needed:
            one.leases.clear()
        get(table, 100)
        await table.close()

    run(main())


def test_a_proxy_that_has_made_room_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """P4: whoever kept it beyond its call gets NoPool, and never a link that has ended."""
    monkeypatch.setattr(module, "PROXY_MOST", 1)
    monkeypatch.setattr(Proxy, "is_used", True)

    async def main() -> None:
        table = ProxyTable("w1")
        old = get(table, 1)
        assert get(table, 2) is not old
        await settle()
        assert old.closed
        with pytest.raises(NoPool, match="the pool was closed"):
            await old.reach_worker("job")
        assert get(table, 1) is not old
        await table.close()

    run(main())
