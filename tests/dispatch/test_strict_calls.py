"""Chains that cannot be written or read: refused in strict mode, told by a warning otherwise."""

from __future__ import annotations

import contextvars
import threading
import warnings
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

import catena
from catena.errors import ChainSerializationError, SerializationWarning
from catena.wire.frames import Task
from tests.dispatch.tapped import Tapped, tapped
from tests.support import isolated, run

good: catena.ContextVar[str] = catena.ContextVar("good", namespace="tests.strict", default="-")
bad: catena.ContextVar[Any] = catena.ContextVar("bad", namespace="tests.strict", default="-")
worse: catena.ContextVar[Any] = catena.ContextVar("worse", namespace="tests.strict", default="-")
side: contextvars.ContextVar[str] = contextvars.ContextVar("side", default="worker")


class Unreadable:
    """Can be written anywhere; reading it raises on one side, "caller" or "worker"."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __reduce__(self) -> Any:
        return _read, (self.where,)


def _read(where: str) -> Unreadable:
    if side.get() == where:
        raise RuntimeError(f"not to be read by the {where}")
    return Unreadable(where)


@catena.routine
async def look() -> tuple[str, str]:
    """Return the good value, and the kind of the bad one."""
    return good.get(), type(bad.get()).__name__


@catena.routine
async def unreadable_here(fail: bool) -> str:
    """Set both, the bad one to what the caller cannot read; return, or raise with a context."""
    good.set("there")
    bad.set(Unreadable("caller"))
    if not fail:
        return "the result"
    try:
        int("first")
    except ValueError:
        raise KeyError("second")  # noqa: B904 - the context is what the test looks at


@catena.routine
async def set_a_lock(fail: bool) -> str:
    """Bind what cannot be written, then return or raise."""
    good.set("there")
    bad.set(threading.Lock())
    if fail:
        raise KeyError("second")
    return "the result"


@catena.routine
async def steps() -> AsyncGenerator[str, None]:
    """Set what the caller cannot read at the second step."""
    yield "first"
    bad.set(Unreadable("caller"))
    yield "second"
    yield "third"


async def _refuses(ends: Tapped, call: Any) -> ChainSerializationError:
    with pytest.raises(ChainSerializationError) as refused:
        await call
    assert ends.caller.open_calls == ends.sessions.open_calls == 0
    return refused.value


@pytest.fixture(params=["option", "filter"])
def strictly(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Both ways to ask for strictness; the value is that of the option."""
    with warnings.catch_warnings():
        # The option needs no filter: not pytest's own either, which makes errors of warnings.
        warnings.simplefilter("ignore")
        if request.param == "filter":
            warnings.filterwarnings("error", category=catena.SerializationWarning)
        yield request.param == "option"


@isolated
def test_what_cannot_be_written_is_refused_before_anything_is_sent(strictly: bool) -> None:
    """M5: one error lists every bad entry, and the worker never hears of the call."""

    async def main() -> None:
        async with tapped(strict=strictly) as ends:
            bad.set(threading.Lock())
            worse.set(threading.Lock())
            good.set("here")
            error = await _refuses(ends, look())
            assert [one.key[1] for one in error.warnings] == ["bad", "worse"]
            assert all(type(one) is SerializationWarning for one in error.warnings)
            assert error.doing == "sent"
            assert not any(isinstance(one, Task) for one in ends.sent)
            bad.set("well")
            worse.set("well")
            assert await look() == ("here", "str")

    run(main())


@isolated
def test_what_the_worker_cannot_read_is_refused_there(strictly: bool) -> None:
    """M5: the routine does not run; the caller gets the error with the worker's warnings."""

    async def main() -> None:
        side.set("caller")
        async with tapped(strict=strictly) as ends:
            good.set("here")
            bad.set(Unreadable("worker"))
            error = await _refuses(ends, look())
            (one,) = error.warnings
            assert (one.key[1], one.doing) == ("bad", "read")
            assert "not to be read by the worker" in one.cause
            bad.set("well")
            assert await look() == ("here", "str")

    run(main())


@isolated
def test_what_the_caller_cannot_read_is_raised_with_the_value(strictly: bool) -> None:
    """M6: nothing of the chain is mounted, and the result is on the error."""

    async def main() -> None:
        side.set("caller")
        async with tapped(strict=strictly) as ends:
            good.set("here")
            bad.set("mine")
            error = await _refuses(ends, unreadable_here(fail=False))
            assert error.value == "the result"
            assert [one.key[1] for one in error.warnings] == ["bad"]
            assert (good.get(), bad.get()) == ("here", "mine")

    run(main())


@isolated
def test_an_exception_is_never_replaced(strictly: bool) -> None:
    """M6: what is wrong with the chain stands at the tail of the exception's context."""

    async def main() -> None:
        side.set("caller")
        async with tapped(strict=strictly):
            good.set("here")
            with pytest.raises(KeyError, match="second") as raised:
                await unreadable_here(fail=True)
            first = raised.value.__context__
            assert type(first) is ValueError
            last = first.__context__
            assert type(last) is ChainSerializationError
            assert [one.key[1] for one in last.warnings] == ["bad"]
            assert (good.get(), bad.get()) == ("here", "-")

    run(main())


@isolated
def test_what_the_worker_cannot_write(strictly: bool) -> None:
    """M6: instead of a value it is raised; an exception keeps its class and gets it as context."""

    async def main() -> None:
        async with tapped(strict=strictly) as ends:
            good.set("here")
            error = await _refuses(ends, set_a_lock(fail=False))
            assert [(one.key[1], one.doing) for one in error.warnings] == [("bad", "sent")]
            with pytest.raises(KeyError, match="second") as raised:
                await set_a_lock(fail=True)
            last = raised.value.__context__
            assert type(last) is ChainSerializationError
            assert last.warnings[0].key == bad.key
            assert good.get() == "here"

    run(main())


@isolated
def test_a_step_of_a_stream_is_refused_with_its_value(strictly: bool) -> None:
    """M6: the yielded value is on the error, and the stream can be driven on or closed."""

    async def main() -> None:
        side.set("caller")
        async with tapped(strict=strictly) as ends:
            good.set("here")
            stream = steps()
            assert await anext(stream) == "first"
            with pytest.raises(ChainSerializationError) as refused:
                await anext(stream)
            assert refused.value.value == "second"
            assert bad.get() == "-"
            assert await anext(stream) == "third"
            await stream.aclose()
            assert ends.caller.open_calls == ends.sessions.open_calls == 0

    run(main())


@isolated
def test_lenient_calls_warn_and_go_on() -> None:
    """M2: a bad entry costs that entry, with a warning, wherever it is met."""

    async def main() -> None:
        side.set("caller")
        async with tapped() as ends:
            good.set("here")
            bad.set(threading.Lock())
            with pytest.warns(SerializationWarning, match="tests.strict:bad could not be sent"):
                assert await look() == ("here", "str")
            bad.set(Unreadable("worker"))
            with pytest.warns(SerializationWarning, match="bad could not be read") as warned:
                assert await look() == ("here", "str")
            assert warned[0].message.key == bad.key  # type: ignore[union-attr]
            bad.set("mine")
            with pytest.warns(SerializationWarning, match="bad could not be read"):
                assert await unreadable_here(fail=False) == "the result"
            assert (good.get(), bad.get()) == ("there", "mine")
            with pytest.warns(SerializationWarning), pytest.raises(KeyError) as raised:
                await unreadable_here(fail=True)
            first = raised.value.__context__
            assert type(first) is ValueError
            assert first.__context__ is None
            assert ends.caller.open_calls == ends.sessions.open_calls == 0

    run(main())
