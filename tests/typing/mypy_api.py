"""Routines as mypy sees them, which binds by rules of its own; nobody runs this file.

A test lets mypy read it. The rest of the public API is in ``api``, for pyright.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import assert_type

import catena


@catena.routine
async def add(number: int) -> int:
    """Bare decorator."""
    return number


@catena.routine(timeout=3)
async def slow(number: int) -> list[str]:
    """Decorator with options."""
    return [str(number)]


@catena.routine
async def count(to: int) -> AsyncGenerator[int, None]:
    """A stream."""
    for number in range(to):
        yield number


async def plain(number: int) -> list[str]:
    """Not a routine."""
    return [str(number)]


class Shop:
    """Methods of every kind."""

    @catena.routine
    async def price(self, item: str) -> int:
        """A method."""
        return len(item)

    @classmethod
    @catena.routine
    async def opened(cls, name: str) -> str:
        """A classmethod."""
        return name

    @staticmethod
    @catena.routine
    async def same(number: int) -> int:
        """A staticmethod."""
        return number


async def calls() -> None:
    """What calls return, alone and gathered."""
    assert_type(await add(1), int)
    assert_type(await add.local(1), int)
    assert_type([number async for number in count(2)], list[int])
    one, texts = await asyncio.gather(add(1), slow(2))
    assert_type(one, int)
    assert_type(texts, list[str])
    two, others = await asyncio.gather(add(1), plain(2))
    assert_type(two, int)
    assert_type(others, list[str])


async def methods(shop: Shop) -> None:
    """What methods return, bound and unbound."""
    assert_type(await shop.price("tea"), int)
    assert_type(await shop.price.local("tea"), int)
    assert_type(await Shop.price(shop, "tea"), int)
    assert_type(await Shop.opened("x"), str)
    assert_type(await Shop.same(3), int)
    assert_type(await Shop().same(3), int)


async def tasks() -> None:
    """What submissions return."""
    assert_type(await (await add.submit(1)).result(), int)
    assert_type(await (await add.on(key="k").submit(1)).result(), int)
    assert_type(await (await slow.on(key="l").submit(2)).result(), list[str])
