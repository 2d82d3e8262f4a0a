"""The heartbeat: it polls at its start and at every beat, until it stops."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from catena.events import LoopTicked, bus
from catena.events.bus import on_poll, poll
from catena.pool.heartbeat import Heartbeat
from catena.testing import recording
from tests.support import LOOPS, run


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The looks of the only one there is to poll."""
    monkeypatch.setattr(bus, "_polled", [])
    found: list[int] = []
    on_poll(lambda: found.append(len(found)))
    return found


async def until(condition: object) -> None:
    """Wait until a callable says so."""
    assert callable(condition)
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("loop", LOOPS)
def test_attendants_look_at_once_and_at_every_beat(loop: str, looks: list[int]) -> None:
    """The seam: at the start, again and again, and no more after the stop."""

    async def main() -> None:
        heartbeat = Heartbeat(0.001)
        heartbeat.start()
        assert len(looks) == 1
        await until(lambda: len(looks) > 3)
        heartbeat.stop()
        heartbeat.stop()
        before = len(looks)
        await asyncio.sleep(0.02)
        assert len(looks) == before

    run(main(), loop=loop)


def test_a_busy_loop_shows(looks: list[int]) -> None:
    """LoopTicked: a loop that was blocked tells by how much, at the least."""

    async def main() -> None:
        heartbeat = Heartbeat(0.01)
        with recording(LoopTicked) as recorded:
            heartbeat.start()
            await until(lambda: recorded.events)
            time.sleep(0.1)  # noqa: ASYNC251 - a blocked loop is the subject
            before = len(recorded.events)
            await until(lambda: len(recorded.events) > before)
        heartbeat.stop()
        assert max(one.lag_ns for one in recorded.of(LoopTicked)) > 50_000_000

    run(main())


def test_an_attendant_that_raises_is_asked_no_more(
    looks: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """The seam: one line says so, the others are asked as before."""
    on_poll(lambda: 1 / 0)

    for _ in range(3):
        poll()

    assert len(looks) == 3
    assert [one.levelno for one in caplog.records] == [logging.ERROR]


def test_a_loop_that_is_gone_ends_the_beat(looks: list[int]) -> None:
    """A pool that nobody closed leaves no thread that fails."""

    async def main() -> None:
        Heartbeat(0.001).start()

    run(main())
    beating = [one for one in threading.enumerate() if one.name == "catena-heartbeat"]
    for thread in beating:
        thread.join(10)
    assert not any(thread.is_alive() for thread in beating)
