"""Exceptions between a caller and a worker: as ends, as values, in variables, thrown in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from tests.dispatch.ends import connected
from tests.remote_exceptions import strange
from tests.remote_exceptions.crossing import said, traceback_of
from tests.support import run

SEEN: catena.ContextVar[Any] = catena.ContextVar("seen", namespace="tests.exceptions")


class Refused(Exception):
    """An error whose constructor makes its message."""

    def __init__(self, host: str, code: int) -> None:
        super().__init__(f"{host} said {code}")
        self.host, self.code = host, code


@catena.routine
async def gather_all(errors: list[BaseException]) -> list[Any]:
    """Raise each of the exceptions; return what came of it, and leave it in a variable."""

    async def fail(error: BaseException) -> None:
        raise error

    found = await asyncio.gather(*map(fail, errors), return_exceptions=True)
    SEEN.set(found[0])
    return found


@catena.routine
async def relay(name: str, hops: int) -> None:
    """Raise a strange exception, some calls away."""
    if hops:
        await relay(name, hops - 1)
    raise strange.RESISTING[name]


@catena.routine
async def relay_steps(name: str) -> AsyncGenerator[Any, Any]:
    """Yield whatever is thrown in; end by a strange exception."""
    try:
        yield None
    except BaseException as error:
        yield error
    raise strange.RESISTING[name]


@catena.routine
async def recurse(n: int) -> int:
    """Recurse until it fails."""

    def deeper(n: int) -> int:
        return deeper(n + 1)

    return deeper(n)


def test_exceptions_as_values_are_what_a_local_call_gives() -> None:
    """D5: arguments, results of gather(return_exceptions=True) and variables hold them alike."""
    errors = [Refused("b", 503), OSError(2, "none", "file"), KeyError("k")]

    async def main() -> None:
        async with connected():
            found = await gather_all(errors)
            for one, there in zip(errors, found, strict=True):
                assert (type(there), there.args, str(there)) == (type(one), one.args, str(one))
            assert (found[0].host, found[0].code, found[1].filename) == ("b", 503, "file")
            assert (type(SEEN.get()), SEEN.get().code) == (Refused, 503)
            assert traceback_of(found[0]).hops[0].frames[-1][2] == "fail"

    run(main())


@pytest.mark.parametrize("name", [one for one in strange.RESISTING if one != "cancellation"])
def test_every_call_ends_however_its_exception_resists(name: str) -> None:
    """D5: as its class, over two hops, from a step, and thrown into one; the worker answers on."""
    kind = type(strange.RESISTING[name])

    async def main() -> None:
        async with asyncio.timeout(20), connected():
            for hops in (0, 1):
                with pytest.raises(BaseException) as ended:  # noqa: PT011 - any class
                    await relay(name, hops)
                assert ended.type is kind
            stream = relay_steps(name)
            await anext(stream)
            assert type(await stream.athrow(strange.RESISTING[name])) is kind
            with pytest.raises(BaseException) as ended:  # noqa: PT011 - any class
                await anext(stream)
            assert ended.type is kind
            assert (await gather_all([ValueError(1)]))[0].args == (1,)

    run(main())


@pytest.mark.parametrize(
    "kind", [asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit, StopIteration]
)
def test_what_is_no_error_keeps_class_and_args(kind: type[BaseException]) -> None:
    """D5, D6: in a call as in a local one; a StopIteration is a RuntimeError in both."""

    @catena.routine
    async def fail() -> None:
        raise kind("why", 4)

    async def ended(call: Any) -> BaseException:
        try:
            await call()
        except BaseException as error:
            return error
        raise AssertionError("it did not end")

    async def main() -> None:
        async with connected():
            local, there = await ended(fail.local), await ended(fail)
            assert (type(there), there.args) == (type(local), local.args)
            assert type(there.__cause__) is type(local.__cause__)
            with contextlib.suppress(AttributeError):
                assert there.code == local.code  # type: ignore[attr-defined]

    run(main())


@catena.routine
async def resource(log: str, hops: int = 0) -> AsyncGenerator[str, Any]:
    """Behave as a context manager's generator: pass on what is thrown in, some calls away."""
    if hops:
        async with contextlib.asynccontextmanager(resource)(log, hops - 1) as name:
            yield name
        return
    try:
        yield "resource"
    except Refused as error:
        error.add_note(log)
        error.seen = log  # type: ignore[attr-defined]
        raise


@pytest.mark.parametrize("hops", [0, 1])
def test_what_is_thrown_and_raised_again_is_the_same_exception(hops: int) -> None:
    """D2: as asynccontextmanager needs it over a stream; the traceback is the user's."""

    def fails(error: BaseException) -> None:
        raise error

    async def used(routine: Any) -> tuple[Any, ...]:
        thrown = Refused("b", 503)
        with pytest.raises(Refused) as raised:
            async with contextlib.asynccontextmanager(routine)("seen", hops):
                fails(thrown)
        error: Any = raised.value
        same = error is thrown, error.__context__, error.seen, said(error)
        return *same, any(one.name == "fails" for one in raised.traceback)

    async def main() -> None:
        async with connected():
            there = await used(resource)
            assert there == (True, None, "seen", ["seen"], True)
            if not hops:
                assert there == await used(resource.local)
            stream = resource("seen", hops)
            await anext(stream)
            with pytest.raises(Refused) as raised:
                await stream.athrow(Refused("b", 503))
            assert [hop.worker for hop in traceback_of(raised.value).hops] == ["w1"] * (hops + 1)

    run(main())


def test_another_exception_than_the_thrown_one_is_raised_as_it_is() -> None:
    """D2: a generator that answers with another exception, even an equal one, is not mistaken."""

    @catena.routine
    async def replace() -> AsyncGenerator[None, None]:
        try:
            yield
        except KeyError as error:
            raise KeyError(*error.args) from error

    async def main() -> None:
        async with connected():
            stream = replace()
            await anext(stream)
            thrown = KeyError("k")
            with pytest.raises(KeyError) as raised:
                await stream.athrow(thrown)
            assert raised.value is not thrown
            assert type(raised.value.__cause__) is KeyError

    run(main())


def test_the_remote_traceback_of_a_recursion_is_short() -> None:
    """D5: of a thousand frames the first and the last are shown, and how many are not."""

    async def main() -> None:
        async with connected():
            with pytest.raises(RecursionError) as ended:
                await recurse(0)
            note = traceback_of(ended.value)
            assert "frames left out" in note
            assert note.count("\n") < 100
            assert said(ended.value) == []

    run(main())
