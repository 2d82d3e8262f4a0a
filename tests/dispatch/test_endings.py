"""However a call ends, reference counting alone frees what it held, at both ends."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from catena.context.chain import current
from catena.context.home import Home, context_of
from catena.dispatch.worker.run_generator import RunningStream
from catena.events import Dispatch, Execution, Lease, Mount
from catena.events.bus import observe
from tests.dispatch.endings import ENDINGS, begun, held
from tests.dispatch.ends import connected
from tests.link.ends import settle
from tests.support import LOOPS, Looking, isolated, run


@contextmanager
def uncollected(found: list[Any]) -> Iterator[None]:
    """Keep the garbage collector from its work, and hand it over what was left to it."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        found.extend(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.collect()


def leftovers(name: str, *, loop: str = "asyncio") -> tuple[int, list[str]]:
    """Make a call end; return how many of its values live, and what the collector finds."""
    garbage: list[Any] = []
    alive: list[int] = []

    async def main() -> None:
        # The first time fills what is kept for good.
        for _ in range(2):
            garbage.clear()
            begun.clear()
            async with connected() as ends:
                with uncollected(garbage):
                    await asyncio.create_task(ENDINGS[name](ends))  # type: ignore[arg-type]
                    await settle()
                    alive.append(len(held))

    run(main(), loop=loop)
    kinds = sorted({type(one).__name__ for one in garbage})
    garbage.clear()
    return alive[-1], kinds


@isolated
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", ENDINGS)
def test_nothing_of_a_call_waits_for_the_collector(name: str, loop: str) -> None:
    """T8: no circle holds arguments, values, exceptions or chain of a call that has ended."""
    assert leftovers(name, loop=loop) == (0, [])


@isolated
@pytest.mark.parametrize("name", ENDINGS)
def test_nothing_of_a_call_that_is_observed_waits_for_the_collector(name: str) -> None:
    """T8: nor does what is announced of it keep any of that, once its observers are done."""
    with observe(Looking(), Dispatch, Execution, Lease, Mount):
        assert leftovers(name) == (0, [])


def _strong(self: Home, chain: Any) -> None:
    place = context_of(current.set(chain))
    self.proof = lambda: place  # type: ignore[assignment]


@isolated
def test_a_proof_that_keeps_its_context_is_found() -> None:
    """Planted: the home of a forked chain holds the Context."""
    with patch.object(Home, "take_context", _strong):
        alive, kinds = leftovers("forked")

    assert alive == 1
    assert "Home" in kinds


@isolated
def test_a_stream_that_its_drivers_keep_is_found() -> None:
    """Planted: the driver of a stream refers to the stream."""
    plain = RunningStream.run_step

    async def kept(self: RunningStream, frame: Any, driver: Any) -> Any:
        driver.stream = self
        return await plain(self, frame, driver)

    with patch.object(RunningStream, "run_step", kept):
        _, kinds = leftovers("stream_closed")

    assert "RunningStream" in kinds
