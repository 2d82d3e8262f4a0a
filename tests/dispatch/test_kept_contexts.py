"""One stream, driven by one chain or by several: which Context and task each step runs in."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator
from typing import Any

import catena
from tests.dispatch.tapped import Tapped, tapped
from tests.support import isolated, run

color: catena.ContextVar[str] = catena.ContextVar("color", namespace="tests.kept", default="-")
shape: catena.ContextVar[str] = catena.ContextVar("shape", namespace="tests.kept", default="-")


@catena.routine
async def holds_a_token() -> AsyncGenerator[tuple[str, str], str]:
    """Set the color before a yield; reset it in the step that is sent "reset"."""
    token = color.set("inside")
    while True:
        told = yield color.get(), shape.get()
        if told == "reset":
            color.reset(token)
            del token


@catena.routine
async def shows() -> AsyncGenerator[tuple[str, int], None]:
    """Yield the color and the task of each step."""
    while True:
        yield color.get(), id(asyncio.current_task())


@catena.routine
async def arms_itself() -> AsyncGenerator[tuple[str, int], str]:
    """Set the color when it is told to, and reset it a step later."""
    me = id(asyncio.current_task())
    while (yield color.get(), me) != "set":
        me = id(asyncio.current_task())
    token = color.set("armed there")
    yield color.get(), id(asyncio.current_task())
    color.reset(token)
    yield color.get(), id(asyncio.current_task())


def stream_at_work(ends: Tapped) -> Any:
    """Return what the worker runs for the one open call."""
    (session,) = ends.sessions.open_sessions.values()
    return session.running


async def driven(step: Any, **bound: str) -> Any:
    """Take a step in a task of its own, with colors of its own."""

    async def drive() -> Any:
        for name, value in bound.items():
            {"color": color, "shape": shape}[name].set(value)
        return await step

    return await asyncio.create_task(drive())


@isolated
def test_a_token_is_reset_after_another_chain_has_driven() -> None:
    """M8: a Context that a live token holds is kept, and the reset works where the set was."""

    async def main() -> None:
        async with tapped() as ends:
            color.set("A")
            shape.set("A's")
            stream = holds_a_token()
            assert await anext(stream) == ("inside", "A's")
            assert color.get() == "inside"
            assert await driven(anext(stream), color="B", shape="B's") == ("B", "B's")
            assert len(stream_at_work(ends)._kept) == 1
            assert await stream.asend("reset") == ("A", "A's")
            assert (color.get(), shape.get()) == ("A", "A's")
            assert await driven(anext(stream), shape="C's") == ("A", "C's")
            assert not stream_at_work(ends)._kept
            await stream.aclose()

    run(main())


@isolated
def test_a_context_without_a_live_token_is_dropped() -> None:
    """M8: when another chain takes over, nothing of the one before stays."""

    async def main() -> None:
        async with tapped() as ends:
            color.set("A")
            stream = shows()
            _, task = await anext(stream)
            driver = stream_at_work(ends)._driver
            before = weakref.ref(driver._context), weakref.ref(driver._task)
            del driver
            shade, other = await driven(anext(stream), color="B")
            assert shade == "B"
            assert other != task
            await asyncio.sleep(0)
            gc.collect()
            assert [one() for one in before] == [None, None]
            assert (await anext(stream))[0] == "A"
            await stream.aclose()

    run(main())


@isolated
def test_all_steps_of_one_chain_run_in_one_task() -> None:
    """M8: however its values change between the steps."""

    async def main() -> None:
        async with tapped():
            stream = shows()
            seen = set()
            for number in range(5):
                color.set(f"{number}")
                shade, task = await anext(stream)
                assert shade == f"{number}"
                seen.add(task)
            assert len(seen) == 1
            await stream.aclose()

    run(main())


@isolated
def test_an_unarmed_stream_belongs_to_the_chain_that_is_minted_there() -> None:
    """M8: what the routine arms is the caller's chain from then on, in the same Context."""

    async def main() -> None:
        async with tapped() as ends:
            stream = arms_itself()
            shade, task = await anext(stream)
            assert shade == "-"
            assert await stream.asend("set") == ("armed there", task)
            assert color.get() == "armed there"
            assert await anext(stream) == ("-", task)
            assert color.get() == "-"
            assert not stream_at_work(ends)._kept
            await stream.aclose()

    run(main())


@isolated
def test_an_unarmed_stream_belongs_to_the_first_chain_that_is_mounted() -> None:
    """M8: the first armed step goes on in the task of the unarmed one, another chain's does not."""

    async def main() -> None:
        async with tapped():
            stream = arms_itself()
            _, task = await anext(stream)
            color.set("A")
            assert await anext(stream) == ("A", task)
            shade, other = await driven(anext(stream), shape="B's")
            assert (shade, other != task) == ("A", True)
            await stream.aclose()

    run(main())


@isolated
def test_a_chain_finds_its_context_after_an_unarmed_driver() -> None:
    """M8: a chain that has a Context of its own does not take over the unarmed one."""

    async def main() -> None:
        async with tapped():
            stream = holds_a_token()

            async def drive() -> Any:
                await go.wait()
                return await anext(stream)

            go = asyncio.Event()
            unarmed = asyncio.create_task(drive())
            color.set("A")
            assert await anext(stream) == ("inside", "-")
            go.set()
            assert await unarmed == ("-", "-")
            assert await stream.asend("reset") == ("A", "-")
            assert color.get() == "A"
            await stream.aclose()

    run(main())


@isolated
def test_many_chains_driving_one_stream_leave_nothing() -> None:
    """M8: the last driver's Context and task are all there is, beside one that a token holds."""

    async def main() -> None:
        async with tapped() as ends:
            color.set("A")
            stream = holds_a_token()
            await anext(stream)
            await driven(anext(stream), color="first")
            await asyncio.sleep(0)
            before = len(asyncio.all_tasks())
            drivers = []
            for number in range(60):
                assert (await driven(anext(stream), color=f"{number}"))[0] == f"{number}"
                drivers.append(weakref.ref(stream_at_work(ends)._driver._context))
            await asyncio.sleep(0)
            gc.collect()
            assert len(asyncio.all_tasks()) == before
            assert len(stream_at_work(ends)._kept) == 1
            assert sum(one() is not None for one in drivers) == 1
            assert (await stream.asend("reset"))[0] == "A"
            await stream.aclose()
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == before - 2

    run(main())
