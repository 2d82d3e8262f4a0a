"""T6: a call that is made in a copy of a Context is told no token of the original.

Only code that one task runs can do that: a coroutine driven by hand in a copy, in a callback too.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Generator
from typing import Any

import pytest

import catena
from tests.dispatch.tapped import tapped
from tests.support import isolated, run

color: catena.ContextVar[Any] = catena.ContextVar("color", namespace="tests.token_copies")


class Driven:
    """A coroutine whose steps run in a Context, in the task that awaits this."""

    def __init__(self, context: contextvars.Context, coro: Coroutine[Any, Any, Any]) -> None:
        self.context = context
        self.coro = coro

    def __await__(self) -> Generator[Any, Any, Any]:
        """Pass on what the coroutine waits for."""
        while True:
            try:
                waits = self.context.run(self.coro.send, None)
            except StopIteration as end:
                return end.value
            yield waits


@catena.routine
async def reset(token: catena.Token[Any]) -> Any:
    """Reset a token; return the value after it."""
    color.reset(token)
    return color.get()


@catena.routine
async def mint() -> catena.Token[Any]:
    """Return the token of a set."""
    return color.set("there")


def refusal(token: catena.Token[Any]) -> str:
    """Return what a reset here says."""
    with pytest.raises(ValueError, match="Context") as caught:
        color.reset(token)
    return str(caught.value)


@isolated
@pytest.mark.parametrize("crossed", [False, True])
def test_a_call_in_a_copy_cannot_have_the_originals_token_reset(crossed: bool) -> None:
    """T6: as in CPython, where the copy is another Context; the token stays good."""

    async def main() -> None:
        async with tapped() as ends:
            color.set("before")
            token = color.set("set")
            if crossed:
                await mint_and_drop(token)
            copied = contextvars.copy_context()
            ends.forget()
            with pytest.raises(ValueError, match="was created in a different Context"):
                await Driven(copied, reset(token))
            assert [one.live for one in ends.told] == [()]
            assert (token.used, color.get()) == (False, "set")
            assert await reset(token) == "before"
            assert (token.used, color.get()) == (True, "before")

    run(main())


@catena.routine
async def mint_and_drop(token: catena.Token[Any]) -> None:
    """Take a token, and do nothing with it."""


@isolated
def test_a_token_that_came_to_a_copy_opens_nothing_in_the_original() -> None:
    """T6, T7: what a call in the copy returned was minted in the copy, as it were."""

    async def main() -> None:
        async with tapped():
            color.set("before")
            await mint_and_drop(color.set("set"))
            copied = contextvars.copy_context()
            token = await Driven(copied, mint())
            assert copied[color.backing] == "there"
            assert "in a different Context" in refusal(token)
            assert (token.used, color.get()) == (False, "set")

    run(main())


@isolated
def test_a_callback_starts_a_task_that_knows_no_token() -> None:
    """C5, T6: the task is a fork, whoever created it."""

    async def main() -> None:
        async with tapped() as ends:
            color.set("before")
            token = color.set("set")
            await mint_and_drop(token)
            started: asyncio.Future[asyncio.Task[Any]] = asyncio.Future()
            ends.forget()

            def callback() -> None:
                started.set_result(asyncio.ensure_future(reset(token)))

            asyncio.get_running_loop().call_soon(callback)
            with pytest.raises(ValueError, match="was created in a different Context"):
                await (await started)
            assert [one.live for one in ends.told] == [()]
            color.reset(token)
            assert color.get() == "before"

    run(main())


@isolated
@pytest.mark.parametrize("offload", [asyncio.to_thread, catena.to_thread])
def test_a_loop_in_a_thread_knows_no_token(offload: Any) -> None:
    """C5, T6: what runs in a thread's own loop is a fork as well."""

    async def main() -> None:
        color.set("before")
        token = color.set("set")

        def work() -> list[Any]:
            async def with_ends() -> list[Any]:
                async with tapped() as ends:
                    with pytest.raises(ValueError, match="was created in a different Context"):
                        await reset(token)
                    return [one.live for one in ends.told]

            return asyncio.run(with_ends())

        assert await offload(work) == [()]
        assert not token.used
        color.reset(token)
        assert color.get() == "before"

    run(main())


@isolated
def test_a_callback_that_drives_a_call_by_hand_tells_no_token() -> None:
    """T6: its Context is a copy, too, though no task runs it."""

    async def main() -> None:
        async with tapped() as ends:
            color.set("before")
            token = color.set("set")
            await mint_and_drop(token)
            ends.forget()
            call = reset(token)
            begun: asyncio.Future[Any] = asyncio.Future()

            def callback() -> None:
                try:
                    begun.set_result(call.send(None))
                except RuntimeError as error:
                    begun.set_exception(error)

            asyncio.get_running_loop().call_soon(callback)
            try:
                await begun
                while not ends.told:
                    await asyncio.sleep(0)
            finally:
                call.close()
            assert [one.live for one in ends.told] == [()]
            color.reset(token)
            assert color.get() == "before"

    run(main())
