"""Plain functions called from other loops and threads: they wait in the same line as others."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import pytest

import catena
from tests.dispatch.handed import WAYS, call_there, in_thread
from tests.support import isolated, run

# A fixed key: a worker that imports this file declares the same one.
color: catena.ContextVar[str] = catena.ContextVar("hand_over_slots.color", namespace="tests")


@catena.routine
def paint(new: str, seconds: float = 0.0) -> tuple[str, int]:
    """Return the color and set another one, after a while."""
    time.sleep(seconds)
    old = color.get("-")
    color.set(new)
    return old, os.getpid()


@catena.routine
def paint_deeper(depth: int) -> int:
    """Call itself from the thread of a worker, and return how deep that went."""
    return 0 if not depth else 1 + paint_deeper.blocking(depth - 1)


@isolated
@pytest.mark.parametrize("way", WAYS)
def test_a_plain_function_is_called_from_anywhere(way: str) -> None:
    """D1b, D1c, P13: its chain goes and comes back; more calls than slots wait in line."""

    def work(number: int) -> str:
        color.set(f"{number}")
        return call_there(way, paint, "new", 0.01)[0]

    async def main() -> None:
        async with catena.WorkerPool(1):
            calls = [in_thread(work, number) for number in range(6)]
            mine = paint("mine")
            assert await asyncio.gather(*calls) == [f"{number}" for number in range(6)]
            assert (await mine)[0] == "-"
        assert catena.statistics().calls == 0

    run(main(), 60)


def test_nested_blocking_calls_lend_their_slots() -> None:
    """P13: one worker, one slot, plain functions ten deep by `blocking`."""

    async def main() -> None:
        async with catena.WorkerPool(1):
            assert await paint_deeper(10) == 10
            assert await in_thread(paint_deeper.blocking, 3) == 3
            # The slot has been given back.
            assert (await paint("x"))[0] == "-"

    run(main(), 60)


def test_a_call_that_leaves_the_line_takes_no_slot() -> None:
    """P13: timed out in line, from a thread; the next call gets the slot."""

    async def main() -> None:
        async with catena.WorkerPool(1):
            busy = asyncio.create_task(paint("busy", 0.5))
            await asyncio.sleep(0.1)
            refused = threading.Event()

            def work() -> None:
                with catena.RuntimeContext(timeout=0.05), pytest.raises(TimeoutError):
                    paint.blocking("late")
                refused.set()

            await in_thread(work)
            assert refused.is_set()
            assert not busy.done()
            await busy
            assert (await in_thread(paint.blocking, "next"))[0] == "-"

    run(main(), 60)
