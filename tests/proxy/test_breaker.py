"""The circuit breaker: who cannot be reached is set aside, and tried again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from catena.proxy import breaker as breaker_module, member as member_module
from catena.proxy.balance import Proxy
from catena.proxy.breaker import Breaker
from tests.link.ends import link_and_hand
from tests.support import run


def test_the_pauses_grow_and_end() -> None:
    """P9: two failures are forgiven, from the third on the pauses double, up to half a minute."""

    async def main() -> None:
        breaker = Breaker(lambda: None, lambda: None)
        pauses: list[float] = []
        for _ in range(10):
            breaker.note_failure()
            pauses.append(breaker.pause)
        breaker.close()
        assert pauses == [0, 0, 1, 2, 4, 8, 16, 30, 30, 30]

    run(main())


def test_it_is_tried_again_after_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """P9: set aside is not evicted: after the pause it gets calls again."""
    monkeypatch.setattr(breaker_module, "_SHORTEST", 0.001)

    async def main() -> None:
        aside, again = asyncio.Event(), asyncio.Event()
        breaker = Breaker(aside.set, again.set)
        for _ in range(2):
            breaker.note_failure()
        assert not aside.is_set()
        breaker.note_failure()
        assert aside.is_set()
        assert not again.is_set()
        await again.wait()

    run(main())


def test_success_ends_the_count() -> None:
    """P9: only failures in a row count."""

    async def main() -> None:
        found: list[str] = []
        breaker = Breaker(lambda: found.append("aside"), lambda: found.append("again"))
        for _ in range(3):
            breaker.note_failure()
        breaker.note_success()
        for _ in range(2):
            breaker.note_failure()
        assert found == ["aside", "again"]

    run(main())


def test_a_worker_that_cannot_be_reached_is_suspect(tmp_path: Path) -> None:
    """P9: three failed attempts make it suspect; the pool's other workers serve meanwhile."""

    async def main() -> None:
        target = f"unix:{tmp_path}/nobody.sock"
        proxy = Proxy(b"p" * 16, (("w1", target), ("w2", target)), "caller")
        member = proxy.members[0]
        states: list[str] = []
        for _ in range(3):
            with pytest.raises(OSError, match="nobody"):
                await member.reach_worker()
            states.append(member.state)
        assert states == ["ready", "ready", "suspect"]
        assert proxy.serving == [proxy.members[1]]
        await proxy.close()

    run(main())


def test_links_that_break_before_anything_came_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """P9: a worker whose links come up and break at once is set aside as well."""

    async def main() -> None:
        async def connect(*_: object, **__: object) -> object:
            link, _ = await link_and_hand(peer="w1")
            return link

        monkeypatch.setattr(member_module, "connect", connect)
        proxy = Proxy(b"p" * 16, (("w1", "unix:/nowhere"), ("w2", "unix:/nowhere")), "caller")
        member = proxy.members[0]
        states: list[str] = []
        for _ in range(4):
            caller = await member.reach_worker()
            states.append(member.state)
            caller.link.fail(ConnectionError("broken"))
        assert states == ["ready", "ready", "ready", "suspect"]
        await proxy.close()

    run(main())
