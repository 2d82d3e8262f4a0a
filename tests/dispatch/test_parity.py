"""D2: a stream behaves as a local async generator, step by step, for scripts of any kind."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import strategies as st

import catena
from tests.dispatch.ends import connected
from tests.laws.law import Seen, law
from tests.support import run


class Poke(Exception):
    """An exception that scripts throw."""


class Late(Exception):
    """What a generator raises while it is closed."""


@catena.routine
async def echo() -> Any:
    """Yield what is sent, with a count; end when told to."""
    n, got = 0, None
    while got != "end":
        got = yield (n, got)
        n += 1


@catena.routine
async def catching() -> Any:
    """Yield what is thrown."""
    got: Any = None
    while True:
        try:
            got = yield got
        except Poke as error:
            got = ("caught", error.args)


@catena.routine
async def short() -> Any:
    """Yield twice."""
    yield 1
    await asyncio.sleep(0)
    yield 2


@catena.routine
async def empty() -> Any:
    """Yield nothing."""
    return
    yield


@catena.routine
async def broken() -> Any:
    """Yield, then raise."""
    yield 1
    raise Poke("broken")


@catena.routine
async def stops() -> Any:
    """Raise what ends iteration."""
    yield 1
    raise StopAsyncIteration


@catena.routine
async def clean() -> Any:
    """Await something while it is closed, and turn that into an error."""
    try:
        yield 1
        yield 2
    finally:
        await asyncio.sleep(0)
        raise Late("closing")


@catena.routine
async def turning() -> Any:
    """Return where something is thrown."""
    try:
        while True:
            yield 1
    except Poke:
        return


ROUTINES = [echo, catching, short, empty, broken, stops, clean, turning]

steps = st.one_of(
    st.just(("anext",)),
    st.just(("anext",)),
    st.tuples(st.just("asend"), st.sampled_from([None, 1, "end"])),
    st.tuples(
        st.just("athrow"),
        st.sampled_from([Poke, Poke("p", 1), ValueError, GeneratorExit, StopAsyncIteration]),
    ),
    st.just(("aclose",)),
)


async def _observe(generator: Any, script: list[tuple[Any, ...]]) -> list[Any]:
    """Drive a generator by a script; return what each step came to."""
    seen: list[Any] = []
    for name, *args in script:
        try:
            if name == "anext":
                seen.append(("value", await anext(generator)))
            else:
                seen.append(("value", await getattr(generator, name)(*args)))
        except (Exception, GeneratorExit) as error:
            seen.append((type(error), str(error), type(error.__cause__)))
    return seen


def _both(routine: Any, script: list[tuple[Any, ...]]) -> tuple[list[Any], list[Any], int]:
    async def main() -> tuple[list[Any], list[Any], int]:
        local_one = routine.local()
        local = await _observe(local_one, script)
        async with connected() as ends:
            stream = routine()
            remote = await _observe(stream, script)
            for generator in (local_one, stream):
                with contextlib.suppress(Late):
                    await generator.aclose()
            return local, remote, ends.caller.open_calls + ends.sessions.open_calls

    return run(main())


FIRST: tuple[tuple[Any, list[Any]], ...] = (
    (echo, [("anext",), ("asend", 1), ("asend", "end"), ("anext",), ("aclose",)]),
    (catching, [("anext",), ("athrow", Poke("p", 1)), ("anext",), ("aclose",), ("anext",)]),
    (clean, [("anext",), ("aclose",), ("anext",)]),
    (stops, [("anext",), ("anext",), ("anext",)]),
    (echo, [("asend", 1), ("anext",)]),
    (echo, [("athrow", Poke), ("anext",)]),
    (echo, [("aclose",), ("asend", 1)]),
    (short, [("anext",), ("athrow", GeneratorExit), ("anext",)]),
    (short, [("anext",), ("anext",), ("anext",), ("athrow", Poke)]),
    (short, [("aclose",), ("athrow", Poke)]),
    (short, [("athrow", GeneratorExit), ("athrow", Poke)]),
)


# Most scripts start their generator; the others are about one that was not.
scripts = st.lists(steps, max_size=6) | st.lists(steps, min_size=1, max_size=6).map(
    lambda script: [("anext",), *script]
)


@law(
    st.sampled_from(ROUTINES),
    scripts,
    first=FIRST,
    examples=200,
    floors={
        "anext: value": 60,
        "anext: StopAsyncIteration": 50,
        "anext: Poke": 1,
        "anext: RuntimeError": 1,
        "asend: value": 5,
        "asend: StopAsyncIteration": 20,
        "asend: TypeError": 2,
        "athrow: value": 20,
        "athrow: Poke": 2,
        "athrow: GeneratorExit": 2,
        "athrow: ValueError": 1,
        "athrow: RuntimeError": 1,
        "aclose: value": 40,
        "aclose: Late": 1,
    },
)
def test_a_stream_behaves_as_a_local_generator(
    seen: Seen, routine: Any, script: list[tuple[Any, ...]]
) -> None:
    """D2: anext, asend, athrow and aclose come to the same, and nothing stays open."""
    local, remote, left = _both(routine, script)
    for (name, *_), outcome in zip(script, local, strict=True):
        came = "value" if outcome[0] == "value" else outcome[0].__name__
        seen[name] += 1
        seen[came] += 1
        seen[f"{name}: {came}"] += 1
    assert remote == local
    assert left == 0


def test_a_generator_that_ignores_its_close_says_so() -> None:
    """D2: a yield while closing is the stdlib's RuntimeError."""

    async def main() -> None:
        texts = []
        async with connected() as ends:
            for make in (ignoring.local, ignoring):
                generator: Any = make()
                await anext(generator)
                with pytest.raises(RuntimeError) as refused:
                    await generator.aclose()
                texts.append(str(refused.value))
                with pytest.raises(StopAsyncIteration):
                    await anext(generator)
            async with asyncio.timeout(5):
                while ends.caller.open_calls + ends.sessions.open_calls:
                    await asyncio.sleep(0.001)
        assert texts == ["async generator ignored GeneratorExit"] * 2

    run(main())


@catena.routine
async def ignoring() -> Any:
    """Yield once more where it is closed."""
    try:
        yield 1
    except GeneratorExit:
        yield 2


@catena.routine
async def waiting() -> Any:
    """Wait for ever in its second step."""
    yield 1
    await asyncio.Event().wait()


@pytest.mark.parametrize("name", ["anext", "asend", "athrow", "aclose"])
def test_concurrent_steps_are_the_stdlibs_error(name: str) -> None:
    """D2: a second step while one is outstanding raises RuntimeError with the stdlib's text."""

    async def main() -> None:
        texts: list[str] = []
        async with connected():
            for make in (waiting.local, waiting):
                generator: Any = make()
                await anext(generator)
                step = asyncio.ensure_future(anext(generator))
                await asyncio.sleep(0.01)
                drive = anext if name == "anext" else getattr(type(generator), name)
                args = {"asend": (None,), "athrow": (Poke(),)}.get(name, ())
                with pytest.raises(RuntimeError) as refused:
                    await drive(generator, *args)
                texts.append(str(refused.value))
                step.cancel()
                await asyncio.wait([step])
        assert texts[0] == texts[1]
        assert "already running" in texts[1]

    run(main())


def test_athrow_takes_its_three_forms() -> None:
    """D2: a class, a class with its argument, an instance; anything else is a TypeError."""

    async def main() -> None:
        async with connected():
            stream: Any = catching()
            await anext(stream)
            assert await stream.athrow(Poke) == ("caught", ())
            assert await stream.athrow(Poke, "x") == ("caught", ("x",))
            assert await stream.athrow(Poke, Poke(1, 2)) == ("caught", (1, 2))
            assert await stream.athrow(Poke("y")) == ("caught", ("y",))
            with pytest.raises(TypeError, match="must be classes or instances"):
                await stream.athrow(5)
            assert await anext(stream) is None
            await stream.aclose()

    run(main())


def test_async_for_and_early_leave() -> None:
    """D2: a loop over a stream ends with it, and one that is left early closes it."""

    async def main() -> None:
        async with connected() as ends:
            assert [value async for value in short()] == [1, 2]
            stream: Any = echo()
            async for value in stream:
                if value[0] == 2:
                    break
            assert ends.caller.open_calls == 1
            await stream.aclose()
            assert ends.caller.open_calls == ends.sessions.open_calls == 0

    run(main())
