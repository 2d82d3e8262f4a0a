"""Which of an engine's processes hold a worker."""

from __future__ import annotations

import asyncio

from catena.engines.places import Places
from tests.support import run


def test_workers_are_spread_over_hosts() -> None:
    """P8: one place for each worker, and first where the fewest are."""

    async def main() -> None:
        places = Places()
        places.replace({"a:1": "a", "a:2": "a", "b:1": "b"})
        taken = [await places.take(f"w{number}") for number in range(3)]
        assert {taken[0][0], taken[1][0]} == {"a", "b"}
        assert sorted(taken) == ["a:1", "a:2", "b:1"]

    run(main())


def test_who_finds_no_place_waits_for_one() -> None:
    """P8: until one joins, or is freed."""

    async def main() -> None:
        places = Places()
        waiting = [asyncio.create_task(places.take(f"w{number}")) for number in range(3)]
        await asyncio.sleep(0)
        places.replace({"a:1": "a"})
        assert await waiting[0] == "a:1"
        places.free("w0")
        assert await waiting[1] == "a:1"
        places.replace({"a:1": "a", "a:2": "a"})
        assert await waiting[2] == "a:2"

    run(main())


def test_a_place_that_was_lost_does_not_come_back_by_an_old_list() -> None:
    """A list that was asked for before the loss knows nothing of it; a later joiner is welcome."""

    async def main() -> None:
        places = Places()
        places.replace({"a:1": "a"})
        await places.take("w1")
        losing = asyncio.create_task(places.await_lost("a:1"))
        await asyncio.sleep(0)
        places.lose("a:1")
        await losing
        assert places.find("w1") is None
        places.replace({"a:1": "a"})
        assert not places.has("a:1")
        places.welcome("a:1")
        places.replace({"a:1": "a"})
        assert places.find("w1") == "a:1"

    run(main())


def test_it_can_be_used_on_another_loop() -> None:
    """P10: what waited on a loop that has ended keeps nobody from waiting on another one."""
    places = Places()
    places.replace({"a:1": "a"})

    async def wait_in_vain() -> None:
        waiting = asyncio.create_task(places.await_lost("a:1"))
        await asyncio.sleep(0)
        waiting.cancel()

    async def wait() -> None:
        losing = asyncio.create_task(places.await_lost("a:1"))
        await asyncio.sleep(0)
        places.lose("a:1")
        await losing

    run(wait_in_vain())
    run(wait())
