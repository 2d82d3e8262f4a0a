"""Calls where they do not belong: a stream on another event loop, a call after the pool closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest

import catena
from tests.dispatch.ends import connected
from tests.support import run

ran: list[str] = []


@catena.routine
async def steps() -> AsyncGenerator[int, None]:
    """Leave a trace at each step."""
    while True:
        ran.append("step")
        yield 1


@catena.routine
async def waiting() -> None:
    """Wait for ever."""
    ran.append("waiting")
    await asyncio.Event().wait()


def in_another_loop(call: Callable[[], Coroutine[Any, Any, Any]]) -> str:
    """Make a call from a loop of this thread's own; return what refuses it."""
    try:
        asyncio.run(call())
    except catena.CatenaError as error:
        return f"{type(error).__name__}: {error}"
    return "it was made"


def test_a_stream_is_not_driven_from_another_loop() -> None:
    """D2: a step, or a close, from there is refused, and the stream goes on where it was."""
    ran.clear()

    async def main() -> None:
        async with connected():
            stream = steps()
            await anext(stream)
            for step in (stream.__anext__, stream.aclose):
                refused = await asyncio.to_thread(in_another_loop, step)
                assert "has begun on another event loop" in refused
            assert ran == ["step"]
            assert await anext(stream) == 1
            await stream.aclose()

    run(main())


def test_closing_a_pool_under_a_call_says_so() -> None:
    """D7: the error says that the pool was closed, and whether the call had begun."""
    ran.clear()

    async def main() -> None:
        async with connected() as ends:
            call = asyncio.ensure_future(waiting())
            stream = steps()
            await anext(stream)
            while "waiting" not in ran:
                await asyncio.sleep(0.001)
            await ends.caller.close()
            for ended in (call, anext(stream)):
                with pytest.raises(catena.WorkerLost) as lost:
                    await ended
                assert lost.value.closed
                assert lost.value.begun
                text = str(lost.value)
                assert text.startswith("the pool was closed while a call of routine tests.")
                assert "had begun on worker far" in text

    run(main())
