"""Resets of tokens that crossed: what is said, what is announced, and what survives a bad value."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import catena
from catena.errors import ChainSerializationError, SerializationError, SerializationWarning
from catena.events import TokenReset
from catena.ids import ID_BYTES, new_id
from catena.testing import recording
from tests.integration.pools import pooled
from tests.texts import normalise

SPACE = "tests.token_refusals"
color: catena.ContextVar[Any] = catena.ContextVar("color", namespace=SPACE, default="none")
shape: catena.ContextVar[Any] = catena.ContextVar("shape", namespace=SPACE, default="none")
Token = catena.Token[Any]

MINTED = ("here", "there", "two hops away")
RESET = ("here", "there", "two hops away")
OUTCOMES = ("ok", "used", "foreign", "orphan")


class Tried(NamedTuple):
    """What one reset came to: the error's type and text, and what was announced of it."""

    error: tuple[str, str] | None
    told: list[tuple[str, bytes, bytes]]
    value: Any


class NotHere:
    """Is read in other processes than the one that is named."""

    def __init__(self, where: int) -> None:
        self.where = where

    def __reduce__(self) -> Any:
        return _read, (self.where,)


def _read(where: int) -> NotHere:
    if os.getpid() == where:
        raise RuntimeError("not here")
    return NotHere(where)


def _tried(var: Any, token: Any) -> Tried:
    """Reset a token and note what came of it."""
    error = None
    with recording(TokenReset) as recorded:
        try:
            var.reset(token)
        except Exception as raised:
            error = type(raised).__name__, normalise(str(raised))
    told = [(one.outcome, one.token_id, one.minted_by) for one in recorded.of(TokenReset)]
    return Tried(error, told, color.get())


def _mint(outcome: str) -> tuple[Token, bytes]:
    """Return a token, and what the ids that are drawn here have in common."""
    if outcome == "orphan":
        token = contextvars.copy_context().run(color.set, "set")
    else:
        token = color.set("set")
    return token, new_id()[: ID_BYTES // 2]


@catena.routine
async def mint(outcome: str, hops: int) -> tuple[Token, bytes]:
    """Mint so many hops from here."""
    return await mint(outcome, hops - 1) if hops else _mint(outcome)


@catena.routine
async def attempt(outcome: str, token: Token, hops: int) -> Tried:
    """Try a reset so many hops from here."""
    if hops:
        return await attempt(outcome, token, hops - 1)
    return _tried(shape if outcome == "foreign" else color, token)


@catena.routine
async def attempt_without_token(given: Any) -> Tried:
    """Try to reset what is no token."""
    return _tried(color, given)


@catena.routine
async def spoil(token: Token, *, result: bool, where: int) -> Any:
    """Reset a token; leave what one process cannot read in the result, or in a variable."""
    color.reset(token)
    if result:
        return NotHere(where)
    shape.set(NotHere(where))
    return "done"


@catena.routine
async def used_and_shape(token: Token) -> tuple[bool, str]:
    """Return whether a token is used, and the kind of the shape."""
    return token.used, type(shape.get()).__name__


def in_pool(work: Callable[[], Any], **options: Any) -> Any:
    """Do work in a pool, in an empty Context."""

    async def with_pool(_: catena.WorkerPool) -> Any:
        return await work()

    return contextvars.Context().run(pooled, with_pool, **options)


def in_cpython(outcome: str) -> tuple[tuple[str, str] | None, Any]:
    """Return the error and the value that CPython comes to."""
    one: Any = contextvars.ContextVar("color", default="none")
    other: Any = contextvars.ContextVar("shape", default="none")
    one.set("before")
    mint = contextvars.copy_context().run if outcome == "orphan" else _call
    token = mint(one.set, "set")
    if outcome == "used":
        one.reset(token)
    error = None
    try:
        (other if outcome == "foreign" else one).reset(token)
    except Exception as raised:
        error = type(raised).__name__, normalise(str(raised))
    return error, one.get()


def _call(call: Callable[..., Any], *args: Any) -> Any:
    return call(*args)


Cell = tuple[str, str, str]
CELLS: list[Cell] = list(itertools.product(MINTED, RESET, OUTCOMES))


async def _cell(minted: str, reset: str, outcome: str) -> tuple[Tried, bytes, bytes]:
    """Return what a reset came to, the token's id, and what ids have in common where it is from."""
    color.set("before")
    away = MINTED.index(minted)
    token, origin = await mint(outcome, away - 1) if away else _mint(outcome)
    if outcome == "used":
        color.reset(token)
    away = RESET.index(reset)
    if away:
        tried = await attempt(outcome, token, away - 1)
    else:
        tried = _tried(shape if outcome == "foreign" else color, token)
    return tried, token.id, origin


@pytest.fixture(scope="module")
def cells() -> dict[Cell, tuple[Tried, bytes, bytes]]:
    """Try every cell in one pool, each in a task and a Context of its own."""

    async def work() -> dict[Cell, tuple[Tried, bytes, bytes]]:
        seen: dict[Cell, tuple[Tried, bytes, bytes]] = {}
        for cell in CELLS:
            context = contextvars.copy_context()
            seen[cell] = await asyncio.create_task(_cell(*cell), context=context)
        return seen

    return in_pool(work)


@pytest.mark.parametrize("cell", CELLS, ids=", ".join)
def test_a_refusal_says_what_cpython_says(cell: Cell, cells: dict[Cell, Any]) -> None:
    """T2: type and text, to the byte around the repr, wherever the token is from."""
    tried, _, _ = cells[cell]

    assert (tried.error, tried.value) == contextvars.Context().run(in_cpython, cell[2])


@pytest.mark.parametrize("cell", CELLS, ids=", ".join)
def test_every_reset_is_announced_where_it_is_tried(cell: Cell, cells: dict[Cell, Any]) -> None:
    """T2: once, refused or not, with its outcome, the token's id and the process it is from."""
    tried, id, origin = cells[cell]

    assert tried.told == [(cell[2], id, origin)]


def test_the_cells_are_about_three_processes(cells: dict[Cell, Any]) -> None:
    """T2: tokens come from the caller and from both workers."""
    assert len({origin for _, _, origin in cells.values()}) == 3


def test_what_is_no_token_is_refused_on_a_worker_too() -> None:
    """T1, T2: with CPython's TypeError; nothing is announced, for there is no token."""
    variable: Any = contextvars.ContextVar("color")
    given = ["text", None, 1]

    async def work() -> list[Tried]:
        return [await attempt_without_token(one) for one in given]

    for one, tried in zip(given, in_pool(work, spawn=1), strict=True):
        with pytest.raises(TypeError) as caught:
            variable.reset(one)
        assert tried == (("TypeError", str(caught.value)), [], "none")


@pytest.mark.parametrize("strict", [False, True])
def test_what_is_spent_survives_a_value_that_the_caller_cannot_read(strict: bool) -> None:
    """T9, M6: of a variable and of a result; and the worker answers afterwards."""

    async def work() -> None:
        color.set("before")
        token = color.set("set")
        with pytest.raises(SerializationError, match="the result"):
            await spoil(token, result=True, where=os.getpid())
        assert (token.used, color.get()) == (True, "before")
        token = color.set("set")
        if strict:
            with pytest.raises(ChainSerializationError):
                await spoil(token, result=False, where=os.getpid())
        else:
            with pytest.warns(SerializationWarning, match="shape could not be read"):
                assert await spoil(token, result=False, where=os.getpid()) == "done"
        assert (token.used, color.get()) == (True, "set" if strict else "before")
        with pytest.raises(RuntimeError, match="already been used once"):
            color.reset(token)
        assert await used_and_shape(token) == (True, "str")

    in_pool(work, spawn=1, strict=strict)


@catena.routine
async def pid() -> int:
    """Return the process of the worker."""
    return os.getpid()


@pytest.mark.parametrize("strict", [False, True])
def test_what_is_spent_survives_a_value_that_the_worker_cannot_read(strict: bool) -> None:
    """T9: the call is refused or loses that variable; the next one knows the token used."""

    async def work() -> None:
        token = color.set("set")
        assert await used_and_shape(token) == (False, "str")
        color.reset(token)
        shape.set(NotHere(await pid()))
        if strict:
            with pytest.raises(ChainSerializationError):
                await used_and_shape(token)
        else:
            assert await used_and_shape(token) == (True, "str")
        shape.set("fine")
        assert await used_and_shape(token) == (True, "str")

    in_pool(work, spawn=1, strict=strict)
