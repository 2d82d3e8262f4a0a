"""Request variables and dependencies as a type checker sees them; nobody runs this file.

A line with ``pyright: ignore`` proves that a mistake is an error: one that is not needed fails.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self, assert_type

import catena
from catena.background import Depends
from catena.background.request import (
    AccessToken,
    Headers,
    access_token,
    http_headers,
    origin_request_id,
    read_access_token,
    read_expiry,
    read_http_headers,
    read_origin_request_id,
    read_variable,
    set_persistence,
)

tenant = catena.ContextVar[str]("tenant", namespace="tests.typing")


class Session:
    """A context manager whose class is a factory."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def variables(fields: Mapping[str, str]) -> None:
    """They have the types of their values, and so have the functions that read them."""
    assert_type(access_token.get(), AccessToken | None)
    assert_type(http_headers.get()["accept"], str)
    assert_type(origin_request_id.get(), str | None)
    assert_type(read_access_token(), AccessToken | None)
    assert_type(read_http_headers(), Headers)
    assert_type(read_origin_request_id(), str | None)
    assert_type(read_variable(tenant), str)
    assert_type(read_expiry("token"), float | None)
    http_headers.set(Headers([("a", "b")]))
    http_headers.set(Headers(fields))
    http_headers.set(fields)  # pyright: ignore[reportArgumentType]


def rules() -> None:
    """What finds the end of a value takes such a value."""
    set_persistence(tenant, "never")
    set_persistence(tenant, "encrypted", expires=lambda value: float(len(value.upper())))
    set_persistence(tenant, "always")  # pyright: ignore[reportArgumentType]
    set_persistence(tenant, "plain", expires=lambda value: value)  # pyright: ignore[reportArgumentType]


def make_plainly() -> int:
    """A function."""
    return 1


async def make_later() -> int:
    """A coroutine function."""
    return 1


def yield_plainly() -> Iterator[int]:
    """A generator function, annotated as FastAPI's documentation has it."""
    yield 1


async def yield_later() -> AsyncIterator[int]:
    """An async generator function."""
    yield 1


@contextmanager
def manage_plainly() -> Generator[int]:
    """A context manager."""
    yield 1


@asynccontextmanager
async def manage_later() -> AsyncGenerator[int]:
    """An async context manager."""
    yield 1


async def depend_on_functions(
    plain: int = Depends(make_plainly),
    later: int = Depends(make_later),
    yielded: int = Depends(yield_plainly),
    yielded_later: int = Depends(yield_later),
    wrong: str = Depends(make_later),  # pyright: ignore[reportArgumentType]
) -> Any:
    """A parameter has the type of what its factory makes."""
    return plain, later, yielded, yielded_later, wrong


async def depend_on_managers(
    session: Session = Depends(Session),
    managed: int = Depends(manage_plainly),
    managed_later: int = Depends(manage_later, a="binding"),
    wrong: str = Depends(manage_later),  # pyright: ignore[reportArgumentType]
) -> Any:
    """Of a context manager it is the type of what entering gives."""
    return session, managed, managed_later, wrong
