"""``find_reachable`` finds what an object holds and leaves the rest of the program alone."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from types import SimpleNamespace
from typing import Any

import pytest

from catena.context.tasks.reachable import find_reachable


class Sought:
    """What is looked for."""


def found(top: object) -> Sought | None:
    """Return what is found of it."""
    return find_reachable(top, Sought, lambda _: True)


class Held:
    """Holds it in a slot, and answers for another class, which must not be asked."""

    __slots__ = ("one",)

    def __init__(self, one: object) -> None:
        self.one = one

    @property
    def __class__(self) -> Any:
        """Run code where one is only looked at."""
        raise AssertionError("code of the object ran")

    def method(self) -> object:
        """Return it."""
        return self.one


HOLDERS = {
    "slot": Held,
    "bound method": lambda one: Held(one).method,
    "attribute": lambda one: SimpleNamespace(one=one),
    "class attribute": lambda one: type("Holder", (), {"one": one}),
    "attribute of a base": lambda one: type("Derived", (type("Base", (), {"one": one}),), {})(),
    "closure": lambda one: lambda: one,
    "default": lambda one: lambda one=one: one,
    "keyword default": lambda one: lambda *, one=one: one,
    "partial": lambda one: functools.partial(print, one),
    "keyword of a partial": lambda one: functools.partial(print, end=one),
    "list": lambda one: [one],
    "dictionary": lambda one: {"one": one},
    "several": lambda one: functools.partial(Held([lambda: one]).method),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_it_is_found_in(holder: str) -> None:
    """C7: wherever a factory keeps the one before."""
    sought = Sought()

    assert found(HOLDERS[holder](sought)) is sought  # type: ignore[no-untyped-call]


def test_a_global_is_found_in_the_functions_that_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """C7: and in no other function of the module."""
    sought = Sought()
    monkeypatch.setitem(globals(), "kept", sought)

    def naming() -> object:
        return kept  # type: ignore[name-defined]  # noqa: F821

    assert found(naming) is sought
    assert found(lambda: None) is None


def test_only_the_wanted_one_is_found() -> None:
    """C7: a factory of ours for another loop is passed over."""
    first, second = Sought(), Sought()

    assert find_reachable([first, second], Sought, lambda one: one is second) is second
    assert find_reachable([first], Sought, lambda one: one is second) is None


def test_the_rest_of_the_program_is_left_alone() -> None:
    """C7: a loop, a future, a Context and a coroutine lead to everything, and are not followed."""
    sought = Sought()
    context = contextvars.Context()
    context.run(contextvars.ContextVar[Any]("var").set, sought)
    loop = asyncio.new_event_loop()

    async def held(one: Sought) -> Sought:
        return one

    coro = held(sought)
    try:
        loop.call_soon(print, sought)
        future: asyncio.Future[Sought] = loop.create_future()
        future.set_result(sought)
        assert [found([one]) for one in (loop, future, context, coro)] == [None] * 4
    finally:
        coro.close()
        loop.close()


def test_the_search_ends() -> None:
    """C7: so many objects are looked at, in circles and in long chains alike."""
    sought = Sought()
    circle: list[Any] = []
    circle.append(circle)
    chain: list[Any] = [sought]
    for _ in range(10_000):
        chain = [chain]

    assert found(circle) is None
    assert found(chain) is None
