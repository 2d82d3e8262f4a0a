"""Tokens between processes: who minted them, which way they went, and what their reset comes to.

The cells of the matrix run in one pool, each in a task and a Context of its own; what CPython says
to the same mistake is asked of CPython.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple

import pytest

import catena
from catena.errors import SerializationError
from tests.integration.pools import pooled
from tests.integration.routines import Carrying
from tests.texts import normalise

SPACE = "tests.tokens"
color: catena.ContextVar[Any] = catena.ContextVar("color", namespace=SPACE, default="none")
shape: catena.ContextVar[Any] = catena.ContextVar("shape", namespace=SPACE, default="none")
holder: catena.ContextVar[Any] = catena.ContextVar("holder", namespace=SPACE)
Token = catena.Token[Any]

MINTERS = ("caller", "worker", "second worker")
WAYS = ("plain", "generator step", "two hops deep", "back through two hops")
FATES = ("ok", "used", "other variable", "other context", "never reset")


class OneWay:
    """A value that no process can write."""

    def __reduce__(self) -> Any:
        raise RuntimeError("stays here")


def _mint(fate: str) -> Token:
    """Set the color: in a sibling Context when the token is to open none here."""
    if fate == "other context":
        return contextvars.copy_context().run(color.set, "set")
    return color.set("set")


def _act(token: Token, fate: str) -> None:
    """Do to a token what a cell is about."""
    if fate != "never reset":
        (shape if fate == "other variable" else color).reset(token)


@catena.routine
async def mint(fate: str, hops: int) -> Token:
    """Mint a token, so many hops from here."""
    return await mint(fate, hops - 1) if hops else _mint(fate)


@catena.routine
async def act(token: Token, fate: str, hops: int = 0) -> None:
    """Act so many hops from here."""
    if hops:
        await act(token, fate, hops - 1)
    else:
        _act(token, fate)


@catena.routine
async def echo(token: Any, hops: int = 0) -> Any:
    """Return what came, after so many hops more."""
    return await echo(token, hops - 1) if hops else token


@catena.routine
async def steps() -> AsyncGenerator[str, tuple[Token, str]]:
    """Act on what is sent."""
    token, fate = yield "began"
    _act(token, fate)
    yield "done"


@catena.routine
async def echoes() -> AsyncGenerator[Any, Any]:
    """Yield what is sent."""
    sent: Any = None
    while True:
        sent = yield sent


@catena.routine
async def yielding() -> AsyncGenerator[Any, Any]:
    """Yield a token that nothing here holds, reset what is sent; yield the value after it."""
    color.reset((yield color.set("set there")))
    yield color.get()


@catena.routine
async def keeping() -> AsyncGenerator[Any, Any]:
    """Keep what is sent, and yield it at the next step."""
    sent = yield None
    yield None
    yield sent


@catena.routine
async def inside(place: str, token: Any) -> Any:
    """Take a token out of where it is and reset it; return where it was."""
    (token,) = _opened(place, token)
    color.reset(token)


@catena.routine
async def fail_with(token: Token) -> None:
    """Raise an exception that holds a token."""
    raise Carrying(token)


@catena.routine
async def reset_held() -> str:
    """Reset the token that a variable holds."""
    color.reset(holder.get()[0])
    return color.get()


@catena.routine
async def set_and_hold() -> None:
    """Leave a token in a variable."""
    holder.set([color.set("set")])


@catena.routine
async def set_from(value: Any) -> Token:
    """Return the token of a set whose old value was given."""
    color.set(value)
    return color.set("set")


@catena.routine
async def try_to_reset(token: Token) -> tuple[str, str]:
    """Return what a reset raised, and the value after it."""
    try:
        color.reset(token)
    except SerializationError as error:
        return error.doing, color.get()
    return "reset", color.get()


def _opened(place: str, given: Any) -> list[Token]:
    match place:
        case "list":
            return given
        case "dict":
            return [given["deep"][0]]
        case "exception":
            return [given.token]
        case _:
            return [given]


class Seen(NamedTuple):
    """What a cell came to: the error, the value on the caller, and a second reset there."""

    error: tuple[str, str] | None
    value: Any
    again: tuple[str, str] | None
    after: Any


def _said(error: BaseException | None) -> tuple[str, str] | None:
    return None if error is None else (type(error).__name__, normalise(str(error)))


def _tried(call: Callable[..., Any], *args: Any) -> BaseException | None:
    try:
        call(*args)
    except Exception as error:
        return error
    return None


async def _cell(minter: str, way: str, fate: str) -> Seen:
    color.set("before")
    token = _mint(fate) if minter == "caller" else await mint(fate, MINTERS.index(minter) - 1)
    if fate == "used":
        color.reset(token)
    error = None
    try:
        match way:
            case "plain":
                await act(token, fate)
            case "two hops deep":
                await act(token, fate, 1)
            case "generator step":
                stream = steps()
                await anext(stream)
                await stream.asend((token, fate))
                await stream.aclose()
            case _:
                back = await echo(token, 1)
                assert back is token
                _act(back, fate)
    except Exception as raised:
        error = raised
    value = color.get()
    again = _tried(color.reset, token)
    return Seen(_said(error), value, _said(again), color.get())


def _expected(fate: str) -> Seen:
    """Return what CPython comes to, all in one Context but for the sibling."""
    one: contextvars.ContextVar[Any] = contextvars.ContextVar("color", default="none")
    other: contextvars.ContextVar[Any] = contextvars.ContextVar("shape", default="none")
    one.set("before")
    mint = contextvars.copy_context().run if fate == "other context" else _call
    token = mint(one.set, "set")
    if fate == "used":
        one.reset(token)
    error = None
    if fate != "never reset":
        error = _tried((other if fate == "other variable" else one).reset, token)
    value = one.get()
    again = _tried(one.reset, token)
    return Seen(_said(error), value, _said(again), one.get())


def _call(call: Callable[..., Any], *args: Any) -> Any:
    return call(*args)


Cell = tuple[str, str, str]
CELLS: list[Cell] = list(itertools.product(MINTERS, WAYS, FATES))


@pytest.fixture(scope="module")
def matrix() -> dict[Cell, Seen]:
    """Run every cell in one pool."""

    async def work(_: catena.WorkerPool) -> dict[Cell, Seen]:
        seen: dict[Cell, Seen] = {}
        for cell in CELLS:
            context = contextvars.copy_context()
            seen[cell] = await asyncio.create_task(_cell(*cell), context=context)
        return seen

    return contextvars.Context().run(pooled, work)


@pytest.mark.parametrize("cell", CELLS, ids=", ".join)
def test_a_token_comes_to_the_same_as_in_cpython(cell: Cell, matrix: dict[Cell, Seen]) -> None:
    """T2, T3, T4, T6, T7: error, text and value are CPython's, and so is one more reset's."""
    assert matrix[cell] == contextvars.Context().run(_expected, cell[2])


def in_pool(work: Callable[[], Any]) -> Any:
    """Do work in a pool, in an empty Context."""

    async def with_pool(_: catena.WorkerPool) -> Any:
        return await work()

    return contextvars.Context().run(pooled, with_pool)


def test_a_token_travels_wherever_a_value_does() -> None:
    """T3: in containers, keyword arguments and exceptions; each reset there uses the original."""

    async def work() -> None:
        color.set("before")
        for place in ("list", "dict", "exception", "keyword"):
            token = color.set("set")
            held: Any = {
                "list": [token],
                "dict": {"deep": (token,)},
                "exception": Carrying(token),
                "keyword": token,
            }[place]
            await inside(place, token=held)
            assert (place, color.get(), token.used) == (place, "before", True)
            assert repr(token).startswith("<Token used ")

    in_pool(work)


def test_the_original_comes_back_as_itself() -> None:
    """T3: id and variable are kept, so the caller finds the object that it sent."""

    async def work() -> None:
        token = color.set("set")
        assert await echo(token) is token
        assert (await echo({"a": [token]}, 1))["a"][0] is token
        with pytest.raises(Carrying) as caught:
            await fail_with(token)
        assert caught.value.token is token
        stream = echoes()
        await anext(stream)
        assert await stream.asend(token) is token
        await stream.aclose()
        color.reset(token)

    in_pool(work)


def test_a_token_inside_a_propagated_value() -> None:
    """T3: a token that a variable holds is reset there, and one from there is reset here."""

    async def work() -> None:
        color.set("before")
        token = color.set("set")
        holder.set([token])
        assert await reset_held() == "before"
        assert (color.get(), token.used) == ("before", True)
        await set_and_hold()
        assert color.get() == "set"
        color.reset(holder.get()[0])
        assert color.get() == "before"

    in_pool(work)


def test_an_old_value_travels_with_its_token() -> None:
    """T3, T7: what a worker's token brings back is equal to what was before the set."""

    async def work() -> None:
        token = await set_from([1, {"a": 2}])
        assert token.old_value == [1, {"a": 2}]
        color.reset(token)
        assert color.get() == [1, {"a": 2}]

    in_pool(work)


def test_an_old_value_that_stays_fails_only_the_reset_there() -> None:
    """T3: the token crosses, a reset there raises and changes nothing, and here it is good."""

    async def work() -> None:
        color.set(old := OneWay())
        token = color.set("set")
        assert await try_to_reset(token) == ("read", "set")
        assert not token.used
        color.reset(token)
        assert color.get() is old

        color.set("fine")

    in_pool(work)


def test_a_token_opens_for_the_task_that_received_it_alone() -> None:
    """T7: a task that the receiver creates cannot reset it; the receiver can afterwards."""

    async def work() -> None:
        color.set("before")
        token = await mint("ok", 0)

        async def elsewhere() -> BaseException | None:
            return _tried(color.reset, token)

        assert "in a different Context" in str(await asyncio.create_task(elsewhere()))
        color.reset(token)
        assert color.get() == "before"

    in_pool(work)


def test_a_stream_knows_a_token_that_it_has_yielded_and_let_go() -> None:
    """T5: the object there is gone, and the caller sends back what it got; in both directions."""

    async def work() -> None:
        color.set("before")
        stream = yielding()
        token = await anext(stream)
        assert await stream.asend(token) == "before"
        assert token.used
        await stream.aclose()
        stream = keeping()
        await anext(stream)
        await stream.asend(color.set("set"))
        token = await anext(stream)
        color.reset(token)
        assert color.get() == "before"
        await stream.aclose()

    in_pool(work)
