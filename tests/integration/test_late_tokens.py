"""Tokens whose ids cross long before they do: inside old values, and in streams."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest

import catena
from tests.integration.pools import pooled

color: catena.ContextVar[Any] = catena.ContextVar(
    "color", namespace="tests.late_tokens", default="none"
)
Token = catena.Token[Any]


@catena.routine
async def mint() -> Token:
    """Return the token of a set."""
    return color.set("set")


@catena.routine
async def echo(value: Any) -> Any:
    """Return what came."""
    return value


@catena.routine
async def undo(token: Token) -> None:
    """Reset a token."""
    color.reset(token)


@catena.routine
async def set_twice() -> Token:
    """Return a token whose old value holds another one."""
    color.set([color.set("set")])
    return color.set("set again")


@catena.routine
async def open_inside(outer: Token) -> str:
    """Reset a token, and then the one that is there again; return what that raised."""
    color.reset(outer)
    try:
        color.reset(color.get()[0])
    except RuntimeError as error:
        return str(error)
    return "opened"


@catena.routine
async def late_tokens() -> AsyncGenerator[Any, Any]:
    """Yield tokens a step after they came."""
    token = await mint()
    yield "minted below"
    token = yield token
    yield "has it"
    yield token


def in_pool(work: Callable[[], Awaitable[None]]) -> None:
    """Do work in a pool, in an empty Context."""

    async def with_pool(_: catena.WorkerPool) -> None:
        await work()

    contextvars.Context().run(pooled, with_pool)


def test_a_token_inside_an_old_value_is_known_until_somebody_takes_it_out() -> None:
    """T3, T8: the outer token is reset after further calls, and what comes out opens."""

    async def work() -> None:
        outer = await set_twice()
        await echo(None)
        color.reset(outer)
        color.reset(color.get()[0])
        assert color.get() == "none"

    in_pool(work)


def test_a_token_inside_an_old_value_is_used_wherever_it_comes() -> None:
    """T4: it was spent after the value had been written for the first time."""

    async def work() -> None:
        inner = color.set("set")
        color.set([inner])
        outer = color.set("set again")
        await echo(outer)
        color.reset(inner)
        assert "has already been used once" in await open_inside(outer)

    in_pool(work)


def test_an_old_value_that_holds_its_own_token_is_a_flaw() -> None:
    """T3: the value cannot be written inside of itself; the token crosses, and opens here."""

    async def work() -> None:
        held: list[Any] = []
        color.set(held)
        token = color.set("set")
        held.append(token)
        assert await echo(token) is token
        color.reset(token)
        assert color.get() is held
        held.clear()

    in_pool(work)


def test_a_token_that_a_stream_has_for_long_opens_when_it_comes() -> None:
    """T3, T8: from a routine below, or sent in by a caller that let go of it meanwhile."""

    async def work() -> None:
        color.set("before")
        stream = late_tokens()
        assert await anext(stream) == "minted below"
        await echo(None)
        color.reset(await anext(stream))
        assert color.get() == "before"
        assert await stream.asend(color.set("set")) == "has it"
        gc.collect()
        await echo(None)
        color.reset(await anext(stream))
        assert color.get() == "before"
        await stream.aclose()

    in_pool(work)


@catena.routine
async def with_a_token(*, below: bool) -> AsyncGenerator[str, None]:
    """Set before a yield, here or in a routine below, and reset two steps later."""
    token = await mint() if below else color.set("set")
    yield color.get()
    yield color.get()
    color.reset(token)
    yield color.get()


@catena.routine
async def reset_later(token: Token) -> AsyncGenerator[str, None]:
    """Reset a token two steps after it came."""
    yield color.get()
    yield color.get()
    color.reset(token)
    yield color.get()


async def two_steps(stream: AsyncGenerator[str, None]) -> None:
    """Take one step here and one in a created task."""

    async def elsewhere() -> None:
        await anext(stream)

    await anext(stream)
    await asyncio.create_task(elsewhere())


@pytest.mark.parametrize("below", [False, True], ids=["in the stream", "below"])
@pytest.mark.parametrize("armed", [False, True], ids=["unarmed", "armed"])
def test_a_token_keeps_the_context_of_a_stream(*, below: bool, armed: bool) -> None:
    """M8, T8: another chain drives in between, and the reset works where the set was."""

    async def work() -> None:
        if armed:
            color.set("none")
        stream = with_a_token(below=below)
        await two_steps(stream)
        assert await anext(stream) == color.get() == "none"
        await stream.aclose()

    in_pool(work)


def test_a_token_that_its_caller_let_go_of_keeps_the_context_of_a_stream() -> None:
    """M8, T8: it is alive in the stream alone."""

    async def work() -> None:
        color.set("before")
        stream = reset_later(color.set("set"))
        await two_steps(stream)
        gc.collect()
        assert await anext(stream) == color.get() == "before"
        await stream.aclose()

    in_pool(work)


def test_a_token_from_before_its_task_crosses_with_it() -> None:
    """T5, C5: it was minted in the task's Context, on the chain that this had before the fork."""

    async def work() -> None:
        color.set("before")
        context = contextvars.copy_context()
        token = context.run(color.set, "set")

        async def task() -> str:
            await undo(token)
            return color.get()

        assert await asyncio.create_task(task(), context=context) == "before"
        assert token.used

    in_pool(work)
