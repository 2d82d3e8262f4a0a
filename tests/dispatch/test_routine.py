"""The decorator, and what a call says when it cannot be made."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import threading
from typing import Any

import pytest

import catena
from catena.dispatch.declaration import declaration_of
from catena.errors import NoPool, SerializationError
from catena.events import SerializationFailed
from catena.testing import recording
from tests.dispatch.ends import connected
from tests.support import run


@catena.routine
async def add(a: int, b: int = 2, *rest: Any, **named: Any) -> int:
    """Add two numbers."""
    return a + b


@catena.routine
async def count(to: int) -> Any:
    """Count."""
    for n in range(to):
        yield n


@catena.routine(name="short", cancel_grace=0.5)
async def renamed() -> None:
    """Do nothing under another name."""


@catena.routine
async def lock() -> Any:
    """Return what stays here."""
    return threading.Lock()


@catena.routine
async def locks() -> Any:
    """Yield what stays here, after what does not."""
    yield 1
    yield threading.Lock()


class Unreadable:
    """Can be written and cannot be read."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise RuntimeError("not to be read")


@catena.routine
async def unreadable() -> Any:
    """Return what cannot be read."""
    return Unreadable()


class Holder:
    """A class with routines for methods."""

    base = 100

    @catena.routine
    async def method(self, x: int) -> int:
        """Use the instance."""
        return self.base + x

    @classmethod
    @catena.routine
    async def on_class(cls, x: int) -> int:
        """Use the class."""
        return cls.base + x

    @staticmethod
    @catena.routine
    async def on_nothing(x: int) -> int:
        """Use neither."""
        return x


# ---- D1


def _plain() -> None: ...


def _numbers() -> Any:
    yield 1


class _Callable:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (_numbers, "_numbers is a generator function"),
        ((x for x in ()), "not generator"),
        (5, "a function, not int"),
        (_Callable(), "declared with `def` or `async def`"),
        (asyncio.Queue, "declared with `def` or `async def`; Queue is not"),
        (functools.partial(len, ""), "declared with `def` or `async def`"),
        (len, "declared with `def` or `async def`; len is not"),
        (add, "is a routine already"),
        (classmethod(add.local), "below @classmethod"),
        (staticmethod(add.local), "below @staticmethod"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_function_fails_at_decoration(thing: Any, text: str) -> None:
    """D1: anything but a function, async or plain, fails with a clear error."""
    for decorate in (catena.routine, catena.routine(name="x")):
        with pytest.raises(TypeError, match=text):
            decorate(thing)


def test_a_negative_grace_fails_at_decoration() -> None:
    """D1: options are checked where they are written."""
    with pytest.raises(ValueError, match="cancel_grace must not be negative, it is -1"):
        catena.routine(cancel_grace=-1)


def test_a_routine_looks_like_its_function() -> None:
    """D1: name, documentation and signature are the function's, and local is the function."""
    assert add.__name__ == "add"
    assert add.__doc__ == "Add two numbers."
    assert inspect.signature(add) == inspect.signature(add.local)
    assert asyncio.run(add.local(1)) == 3
    assert declaration_of(add).name == f"{__name__}.add"
    assert declaration_of(renamed).name == "short"
    assert declaration_of(renamed).cancel_grace == 0.5
    assert declaration_of(count).stream


def test_what_is_no_routine_has_no_declaration() -> None:
    """D1: only what the decorator returned is a routine."""
    for thing in (_plain, add.local, functools.partial(add, 1), 5):
        with pytest.raises(TypeError, match="is not a routine"):
            declaration_of(thing)


def test_methods_dispatch() -> None:
    """D1: routines work as methods, below classmethod and staticmethod."""

    async def main() -> None:
        holder = Holder()
        holder.base = 10
        async with connected():
            assert await holder.method(1) == 11
            assert await Holder.method(holder, 2) == 12
            assert await Holder.on_class(1) == 101
            assert await Holder.on_nothing(1) == 1

    run(main())


def test_arguments_go_as_in_a_local_call() -> None:
    """D2: positions, names and defaults are the function's; a wrong call is its TypeError."""

    async def main() -> None:
        async with connected():
            assert await add(1) == 3
            assert await add(b=5, a=1) == 6
            assert await add(1, 2, 3, x=4) == 3
            with pytest.raises(TypeError, match=r"add\(\) missing 1 required positional argument"):
                await add()  # type: ignore[call-arg]

    run(main())


# ---- D4


def test_without_a_pool_the_error_says_how_to_open_one() -> None:
    """D4: NoPool names the routine, the pool to open and the local call."""

    async def main() -> None:
        with pytest.raises(NoPool) as refused:
            await add(1)
        assert refused.value.routine == f"{__name__}.add"
        text = str(refused.value)
        assert f"routine {__name__}.add cannot be dispatched: no worker pool is open here" in text
        assert "async with catena.WorkerPool(spawn=2):" in text
        assert "`add.local(...)`" in text
        with pytest.raises(NoPool):
            await anext(count(1))
        with pytest.raises(NoPool, match=r"`price\.local\(\.\.\.\)`"):
            await Shop().price("tea")
        assert await Shop().price.local("tea") == "tea EUR"

    run(main())


# ---- D5


def test_an_argument_that_cannot_be_pickled_is_named() -> None:
    """D5: the error names routine and argument, by position, name or number, and is announced."""

    async def main() -> None:
        bad = threading.Lock()
        async with connected() as ends:
            with recording(SerializationFailed) as recorded:
                for call, what in (
                    (lambda: add(1, bad), "argument 'b'"),  # type: ignore[arg-type]
                    (lambda: add(a=bad), "argument 'a'"),  # type: ignore[arg-type]
                    (lambda: add(1, 2, bad), "argument 'rest'"),
                    (lambda: add(1, other=[bad]), "argument 'other'"),
                    (lambda: anext(count(bad)), "argument 'to'"),  # type: ignore[arg-type]
                ):
                    with pytest.raises(SerializationError) as refused:
                        await call()
                    assert refused.value.what == what
                    assert refused.value.doing == "sent"
                    assert "lock" in str(refused.value)
                    assert isinstance(refused.value.__cause__, TypeError)
            assert len(recorded.events) == 5
            assert ends.caller.open_calls == ends.sessions.open_calls == 0
            assert await add(1) == 3

    run(main())


def test_a_result_that_cannot_be_pickled_is_named() -> None:
    """D5: the error of an unpicklable result or yield names the routine."""

    async def main() -> None:
        async with connected():
            with pytest.raises(SerializationError) as refused:
                await lock()
            assert (refused.value.what, refused.value.routine) == ("the result", f"{__name__}.lock")
            stream = locks()
            assert await anext(stream) == 1
            with pytest.raises(SerializationError):
                await anext(stream)
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    run(main())


def test_what_does_not_open_is_an_error_of_its_end() -> None:
    """D5: arguments that do not open fail the begun call; a result that does not, its caller."""

    async def main() -> None:
        async with connected():
            with pytest.raises(SerializationError) as refused:
                await add(Unreadable())  # type: ignore[arg-type]
            assert (refused.value.what, refused.value.doing) == ("the arguments", "read")
            assert "not to be read" in str(refused.value)
            with pytest.raises(SerializationError) as refused:
                await unreadable()
            assert (refused.value.what, refused.value.doing) == ("the result", "read")

    run(main())


def test_a_value_sent_into_a_stream_that_cannot_be_pickled_is_named() -> None:
    """D5: the stream stays where it was and goes on with the next step."""

    async def main() -> None:
        async with connected():
            stream = count(3)
            assert await anext(stream) == 0
            with pytest.raises(SerializationError, match="the sent value"):
                await stream.asend(threading.Lock())
            assert await anext(stream) == 1
            await stream.aclose()

    run(main())


def test_a_closure_that_cannot_be_pickled_names_its_routine() -> None:
    """D5: a routine by value that holds what cannot be pickled says so before anything is sent."""
    held = threading.Lock()

    @catena.routine
    async def closing() -> Any:
        return held

    async def main() -> None:
        async with connected() as ends:
            with pytest.raises(SerializationError, match=r"the code of routine .*closing"):
                await closing()
            assert ends.caller.open_calls == 0

    run(main())


def test_routines_by_value_dispatch_and_see_what_changed() -> None:
    """D3: closures cross by value; a changed closure is sent anew."""
    factor = 2

    @catena.routine
    async def times(x: int) -> int:
        return factor * x

    async def main() -> None:
        nonlocal factor
        async with connected():
            assert await times(3) == 6
            factor = 5
            assert await times(3) == 15

    run(main())


# ---- what a call promises


class Shop:
    """Routines of a class, and functions with every kind of parameter."""

    @catena.routine
    async def price(self, item: str, /, *, currency: str = "EUR") -> str:
        """Return a price."""
        return f"{item} {currency}"

    @staticmethod
    @catena.routine
    async def close(_: int, *rest: int, key: Any = None, **named: int) -> int:
        """Count what it is given."""
        return len(rest) + len(named)

    @catena.routine
    async def items(self, to: int) -> Any:
        """Yield numbers."""
        for n in range(to):
            yield n


@pytest.mark.parametrize(
    "call",
    [
        lambda way: way(Shop.price)(Shop()),
        lambda way: way(Shop.price)(Shop(), item="tea"),
        lambda way: way(Shop.price)(Shop(), "tea", "USD"),
        lambda way: way(Shop.price)(Shop(), "tea", price=1),
        lambda way: way(Shop.close)(),
        lambda way: way(Shop.close)(1, _=2),
        lambda way: way(Shop.items)(Shop()),
        lambda way: way(Shop.items)(Shop(), 1, 2),
        lambda way: way(add)(1, a=2),
    ],
)
def test_wrong_arguments_are_refused_where_a_routine_is_called(call: Any) -> None:
    """D1: at the call, not where it is awaited, with the text of the local call; no pool needed."""
    with pytest.raises(TypeError) as local:
        call(lambda routine: routine.local)
    with pytest.raises(TypeError) as refused:
        call(lambda routine: routine)
    assert str(refused.value) == str(local.value)


def test_the_stub_asks_for_the_routines_own_signature() -> None:
    """D1: a decorator between the decorator and the function is what is called, and decides."""

    @catena.routine
    @functools.wraps(add.local)
    async def anything(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    for made in (anything(1, 2, a=3, nobody=4), Shop.close(1, 2, 3, x=4)):
        assert made.__name__ in ("add", "close")  # type: ignore[attr-defined]
        made.close()  # type: ignore[attr-defined]


def test_inspect_takes_a_routine_for_what_its_function_is() -> None:
    """D1: a coroutine function or an async-generator function, as a method as well."""
    for routine in (add, Shop.price, Shop().price, Shop.close):
        assert inspect.iscoroutinefunction(routine)
        if sys.version_info < (3, 14):  # deprecated since
            assert asyncio.iscoroutinefunction(routine)
        assert not inspect.isasyncgenfunction(routine)
        assert inspect.isfunction(inspect.unwrap(routine))
    for stream in (count, Shop.items, Shop().items):
        assert inspect.isasyncgenfunction(stream)
        assert not inspect.iscoroutinefunction(stream)
        assert not inspect.isawaitable(stream(*[Shop()] * (stream is Shop.items), 1))


def test_a_stream_that_is_awaited_says_what_to_do() -> None:
    """D2: the TypeError of an await names what takes a stream."""

    async def main() -> None:
        with pytest.raises(TypeError, match="async for"):
            await count(1)

    run(main())
