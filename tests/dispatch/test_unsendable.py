"""Arguments, results, sent values and exceptions that cannot leave end their call alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from catena.errors import SerializationError
from catena.link import outbox
from catena.transfer.manifest import ChainManifest
from catena.wire import codec
from catena.wire.frames import Frame, Task
from tests.dispatch.ends import Ends, connected
from tests.link.ends import settle
from tests.support import isolated, run, variable

LIMIT = 200_000
word = variable("word")
log: list[str] = []


@pytest.fixture(autouse=True)
def _short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FRAME_LIMIT", LIMIT)
    log.clear()


@catena.routine
async def size(data: bytes = b"") -> int:
    """Return how long the argument is."""
    return len(data)


@catena.routine
async def made(length: int) -> bytes:
    """Return so many bytes, and set the word."""
    word.set("made")
    return b"x" * length


@catena.routine
async def fails(length: int) -> None:
    """Raise with so many bytes."""
    raise ValueError("x" * length)


@catena.routine
async def yields(*lengths: int) -> AsyncGenerator[bytes, Any]:
    """Yield so many bytes each time, and note the end."""
    try:
        for length in lengths:
            sent = yield b"x" * length
            log.append(f"sent {type(sent).__name__}")
    finally:
        log.append("closed")


@catena.routine(name="caf\udce9")
async def odd() -> int:
    """Return a number, under a name that UTF-8 cannot say."""
    return 1


async def _lives(ends: Ends) -> None:
    """Check that nothing is left of the call that failed, and that others go on."""
    await settle()
    assert ends.caller.open_calls == ends.sessions.open_calls == 0
    assert await size(b"ok") == 2
    assert ends.near.up
    assert ends.far.up


def _refused(error: SerializationError, what: str) -> None:
    assert (error.what, error.doing) == (what, "sent")
    assert "and the limit is 200,000" in str(error)


def test_arguments_over_the_limit_fail_their_call_alone() -> None:
    """R2: the error names what and the limit; a call in flight and later ones go on."""

    async def main() -> None:
        async with connected() as ends:
            beside = asyncio.create_task(made(10))
            with pytest.raises(SerializationError) as raised:
                await size(b"x" * LIMIT)
            _refused(raised.value, "the arguments")
            assert raised.value.routine.endswith("size")
            assert await beside == b"x" * 10
            await _lives(ends)

    run(main())


def test_arguments_over_the_limit_of_a_call_with_bounds() -> None:
    """R2, D6: the timers of such a call are stopped with it."""

    async def main() -> None:
        async with connected() as ends:
            with (
                catena.RuntimeContext(timeout=30, dispatch_timeout=20),
                pytest.raises(SerializationError) as raised,
            ):
                await size(b"x" * LIMIT)
            _refused(raised.value, "the arguments")
            timers = [one for one in asyncio.get_running_loop()._scheduled if not one.cancelled()]  # type: ignore[attr-defined]
            assert not any("BoundCall" in repr(one) for one in timers)
            await _lives(ends)

    run(main(), loop="asyncio")


@isolated
def test_a_result_over_the_limit_is_an_exception_of_its_call() -> None:
    """R2, D6: the caller learns what was too long, and has what the routine set."""

    async def main() -> None:
        async with connected() as ends:
            word.set("before")
            with pytest.raises(SerializationError) as raised:
                await made(LIMIT)
            _refused(raised.value, "the result")
            assert word.get() == "made"
            await _lives(ends)

    run(main())


def test_an_exception_over_the_limit_is_another_one() -> None:
    """R2, D5: the call ends with the error that says so."""

    async def main() -> None:
        async with connected() as ends:
            with pytest.raises(SerializationError) as raised:
                await fails(LIMIT)
            _refused(raised.value, "the exception")
            await _lives(ends)

    run(main())


def test_a_yielded_value_over_the_limit_closes_its_stream() -> None:
    """R2, D2: the step raises, and the generator is closed where it runs."""

    async def main() -> None:
        async with connected() as ends:
            stream = yields(3, LIMIT, 3)
            assert await anext(stream) == b"xxx"
            with pytest.raises(SerializationError) as raised:
                await anext(stream)
            _refused(raised.value, "the result")
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            await _lives(ends)
            assert log[-1] == "closed"

    run(main())


def test_a_sent_value_over_the_limit_ends_its_stream() -> None:
    """R2, D2: the step raises here, and the generator is closed there."""

    async def main() -> None:
        async with connected() as ends:
            stream = yields(1, 2, 3)
            await anext(stream)
            with pytest.raises(SerializationError) as raised:
                await stream.asend(b"x" * LIMIT)
            _refused(raised.value, "the sent value")
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            await _lives(ends)
            assert log == ["closed"]

    run(main())


def test_a_name_that_utf8_cannot_say_keeps_nobody_waiting() -> None:
    """R1: the call runs, and so do those whose frames leave in the same message."""

    async def main() -> None:
        async with connected() as ends:
            assert await asyncio.gather(size(b"a"), odd(), size(b"bb")) == [1, 1, 2]
            await _lives(ends)

    run(main())


def test_a_frame_that_cannot_be_encoded_fails_its_call_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R1: of the calls of one message that one fails; what it was to teach is taught anew."""
    encode = codec.encode_message

    def picky(batch: list[Frame], sent_at_ns: int = 0) -> bytes:
        for frame in batch:
            if isinstance(frame, Task) and b"bad" in frame.payload:
                drive = frame.drive and frame.drive._replace(manifest=_unsayable())
                return encode([frame._replace(drive=drive)])
        return encode(batch, sent_at_ns)

    async def main() -> None:
        async with connected() as ends:
            with monkeypatch.context() as patch:
                patch.setattr(codec, "encode_message", picky)
                answers = await asyncio.gather(
                    size(b"bad"), size(b"a"), made(3), return_exceptions=True
                )
            assert answers[1:] == [1, b"xxx"]
            assert isinstance(answers[0], SerializationError)
            assert answers[0].what == "the arguments"
            assert "UnicodeEncodeError" in answers[0].cause
            await _lives(ends)

    run(main())


def _unsayable() -> ChainManifest:
    return ChainManifest(b"", carrier={"a": "\udce9"})
