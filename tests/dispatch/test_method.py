"""Routines as methods: what an instance hands out is a bound method that keeps ``self``."""

from __future__ import annotations

import abc
import asyncio
import copy
import dataclasses
import functools
import inspect
import pickle
import weakref
from types import FunctionType, MethodType
from typing import Any, Protocol, runtime_checkable
from unittest import mock

import pytest

import catena
from catena.dispatch.declaration import declaration_of
from catena.pickling import pickler, references
from tests.dispatch.ends import connected
from tests.support import run


class Base(abc.ABC):
    """Routines of every kind, one of them abstract."""

    factor = 2

    @catena.routine
    async def times(self, x: int) -> int:
        """Multiply."""
        return self.factor * x

    @catena.routine
    async def up_to(self, n: int) -> Any:
        """Count in steps."""
        for i in range(n):
            yield i * self.factor

    @classmethod
    @catena.routine
    async def named(cls, x: int) -> str:
        return f"{cls.__name__} {x}"

    @staticmethod
    @catena.routine
    async def same(x: int) -> int:
        return x

    @abc.abstractmethod
    @catena.routine
    async def missing(self) -> None: ...


class Child(Base):
    """Overrides with ``super()``, and is compared by value."""

    @catena.routine
    async def times(self, x: int) -> int:
        """Multiply more."""
        return 10 * await super().times.local(x)

    @catena.routine
    async def missing(self) -> None: ...

    def __eq__(self, other: object) -> bool:
        return type(other) is Child

    def __hash__(self) -> int:
        return 1


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """Has slots, and no room for anything else."""

    x: int

    @catena.routine
    async def plus(self, y: int) -> int:
        return self.x + y


@runtime_checkable
class Multiplies(Protocol):
    async def times(self, x: int) -> int: ...


@catena.routine
async def here_and_there(method: Any, x: int) -> tuple[int, int]:
    """Call a method that is given, by both of its ways."""
    return await method.local(x), await method.__func__.local(method.__self__, x)


def test_local_of_a_bound_method_keeps_self() -> None:
    """D1: with inheritance, super() and slots; accessed on the class it is the function."""

    async def main() -> None:
        child = Child()
        assert await child.times.local(1) == 20
        assert await Base.times.local(child, 1) == 2
        assert [i async for i in child.up_to.local(3)] == [0, 2, 4]
        assert await Point(1).plus.local(2) == 3
        assert await Child.same.local(4) == await child.same.local(4) == 4
        assert child.times.local == MethodType(Child.times.local, child)

    run(main())


def test_local_of_a_classmethod_is_given_the_class() -> None:
    """D1: since 3.13 a classmethod binds by itself, so it is the same on every Python."""

    async def main() -> None:
        assert await Child.named.local(Child, 1) == "Child 1"
        assert await Child().named.local(Base, 1) == "Base 1"

    run(main())


def test_a_bound_routine_is_what_a_bound_method_is() -> None:
    """D1: compared, hashed, named, referred to and documented like one."""
    child = Child()
    assert type(Child.times) is FunctionType
    assert isinstance(child.times, MethodType)
    assert child.times == child.times
    assert hash(child.times) == hash(child.times)
    assert child.times != Child().times
    assert child.times != child.up_to
    assert child.times.__self__ is child  # type: ignore[attr-defined]
    assert child.times.__func__ is Child.times  # type: ignore[attr-defined]
    assert child.times.__name__ == "times"
    assert child.times.__doc__ == "Multiply more."
    assert child.times.__wrapped__ is Child.times.local  # type: ignore[attr-defined]
    assert repr(child.times).startswith("<bound method Child.times of")
    assert weakref.WeakMethod(child.times)() == child.times
    with pytest.raises(AttributeError):
        child.times.more = 1  # type: ignore[attr-defined]


def test_inspect_takes_a_bound_routine_for_what_its_function_is() -> None:
    """D1: kind and signature, without ``self`` where it is bound."""
    child = Child()
    for one in (child.times, Child.times, child.named, Child.named, Child.same, child.same):
        assert inspect.iscoroutinefunction(one)
        assert inspect.iscoroutinefunction(functools.partial(one, 1))
        assert not inspect.isasyncgenfunction(one)
    assert inspect.isasyncgenfunction(child.up_to)
    assert inspect.ismethod(child.times)
    assert inspect.isfunction(Child.same)
    for one in (child.times, child.named, child.same):
        assert list(inspect.signature(one).parameters) == ["x"]
    assert list(inspect.signature(Child.times).parameters) == ["self", "x"]


def test_a_bound_routine_is_copied_and_pickled_like_a_bound_method() -> None:
    """D1: by its instance and its name, which need not be known to Catena."""
    point = Point(1)
    for again in (
        pickle.loads(pickle.dumps(point.plus)),
        pickler.loads(pickler.dumps(point.plus)),
        copy.deepcopy(point.plus),
        copy.copy(point.plus),
    ):
        assert type(again) is type(point.plus)
        assert again.__func__ is Point.plus
        assert again.__self__ == point
        assert asyncio.run(again.local(2)) == 3
    for dumps, loads in ((pickle.dumps, pickle.loads), (pickler.dumps, pickler.loads)):
        assert declaration_of(loads(dumps(Child.same))) is declaration_of(Child.same)
    assert references.find_reference(declaration_of(Child.named).wrapper)
    assert references.find_reference(declaration_of(Child.same).wrapper)


def test_a_bound_routine_crosses_and_keeps_self() -> None:
    """D3: as an argument, alone and in a partial."""

    async def main() -> None:
        async with connected():
            assert await here_and_there(Point(1).plus, 2) == (3, 3)
            assert await Child().named(1) == "Child 1"
            assert await functools.partial(Point(1).plus, 2)() == 3
            assert await Child().times(1) == 20

    run(main())


def test_what_looks_into_classes_finds_a_function() -> None:
    """D1: abstract methods, protocols, mocks, and bound methods kept in a class."""
    child = Child()

    class Keeps:
        kept = child.times

    with pytest.raises(TypeError, match="missing"):
        Base()  # type: ignore[abstract]
    assert isinstance(child, Multiplies)
    assert Keeps().kept == child.times
    before = vars(Child)["times"]
    with mock.patch.object(Child, "times") as times:
        assert isinstance(times, mock.AsyncMock)
    assert vars(Child)["times"] is before
    with mock.patch.object(child, "times", return_value=5):
        assert asyncio.run(child.times(1)) == 5  # type: ignore[arg-type]
    assert asyncio.run(child.times.local(1)) == 20
    with mock.patch.object(Child, "times", autospec=True, return_value=7):
        assert asyncio.run(child.times(1)) == 7  # type: ignore[arg-type]


@pytest.mark.parametrize("made", [Child.times, Child().times, Child.same, vars(Child)["times"]])
def test_a_method_that_is_a_routine_is_not_declared_again(made: Any) -> None:
    """D1: however it was reached."""
    with pytest.raises(TypeError, match="is a routine already"):
        catena.routine(made)


def test_a_decorator_above_a_method_finds_the_function() -> None:
    """D1: what it copies is the routine's, and the routine keeps its reference."""
    assert Decorated.through.__name__ == "through"  # type: ignore[attr-defined]
    assert inspect.iscoroutinefunction(Decorated.through.__wrapped__)  # type: ignore[attr-defined]
    wrapper = declaration_of(Decorated.through).wrapper
    name = references.find_reference(wrapper)
    assert name is not None
    assert references.load_reference(name) is wrapper


def _through(function: Any) -> Any:
    @functools.wraps(function)
    async def outer(*args: Any) -> Any:
        return await function(*args)

    return outer


class Decorated:
    @_through
    @catena.routine
    async def through(self) -> None: ...
