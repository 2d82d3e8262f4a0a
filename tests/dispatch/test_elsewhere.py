"""Calls from where the pool is not: another event loop, another thread, after it has closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest

import catena
from tests.dispatch.ends import connected
from tests.support import isolated, run

ran: list[str] = []


@catena.routine
async def witness() -> None:
    """Leave a trace."""
    ran.append("call")


@catena.routine
async def steps() -> AsyncGenerator[int, None]:
    """Leave a trace at each step."""
    while True:
        ran.append("step")
        yield 1


@catena.routine
async def bridging() -> str:
    """Call from a loop in another thread, on the worker."""
    return await asyncio.to_thread(in_another_loop, witness)


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


async def first() -> int:
    """Begin a stream."""
    return await anext(steps())


async def bounded() -> None:
    """Call with a bound."""
    with catena.RuntimeContext(timeout=5):
        await witness()


@isolated
@pytest.mark.parametrize("call", [witness, first, bounded])
def test_a_call_from_another_loop_is_refused_before_anything_is_sent(call: Any) -> None:
    """D1: NoPool says where the pool is and how to call it there, and the routine does not run."""
    ran.clear()

    async def main() -> None:
        async with connected() as ends:
            text = await asyncio.to_thread(in_another_loop, call)
            assert text.startswith("NoPool: ")
            assert "belongs to another event loop" in text
            assert "run_coroutine_threadsafe" in text
            assert ends.caller.open_calls == 0
            loop = asyncio.get_running_loop()
            coro = asyncio.run_coroutine_threadsafe
            await asyncio.to_thread(lambda: coro(witness(), loop).result(5))
            assert ran == ["call"]

    run(main())


def test_a_stream_is_not_driven_from_another_loop() -> None:
    """D2: a step, or a close, from there is refused, and the stream goes on where it was."""
    ran.clear()

    async def main() -> None:
        async with connected():
            stream = steps()
            await anext(stream)
            for step in (stream.__anext__, stream.aclose):
                assert "another event loop" in await asyncio.to_thread(in_another_loop, step)
            assert ran == ["step"]
            assert await anext(stream) == 1
            await stream.aclose()

    run(main())


def test_a_nested_call_from_another_loop_is_refused() -> None:
    """D3: on a worker, too."""
    ran.clear()

    async def main() -> None:
        async with connected():
            assert "belongs to another event loop" in await bridging()
            assert ran == []

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
