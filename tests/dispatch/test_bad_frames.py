"""Frames that parse and say what no peer of ours would: each is refused with an error of a type."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from catena.errors import ChainSerializationError, SerializationError
from catena.pickling import pickler
from catena.remote_exceptions.pickled import unpickle_exception
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from catena.wire import manifests as closed
from catena.wire.frames import ExceptionFrame, NackCode, Next, Throw
from tests.dispatch.ends import hand_and_sessions, opening
from tests.link.ends import Hand
from tests.support import run, variable

color = variable("color")


@catena.routine
async def look(default: str = "none") -> str:
    """Return the color."""
    return color.get(default)


@catena.routine
async def count() -> AsyncGenerator[str, None]:
    """Yield, and take what is thrown for an answer."""
    try:
        yield "began"
    except Exception as error:
        yield f"caught {error!r}"


async def refusal(hand: Hand) -> BaseException:
    """Return the exception that the next frame carries."""
    frame = await hand.frame()
    assert isinstance(frame, ExceptionFrame)
    return unpickle_exception(frame.payload)


@pytest.mark.parametrize(
    "found", [None, 7, (), ((),), ((), {}, ()), ([], {}), ((), []), "ab"], ids=repr
)
def test_a_payload_that_is_no_call_is_named(found: Any) -> None:
    """D5: whatever opens but is not (args, kwargs) fails the begun call as arguments do."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            task, drive = opening(1, look)
            await hand.send(task._replace(payload=pickler.dumps(found)), drive)
            assert await hand.symbols(1) == ["ack"]
            error = await refusal(hand)
            assert isinstance(error, SerializationError)
            assert (error.what, error.doing) == ("the arguments", "read")
            assert f"a {type(found).__name__}, not (args, kwargs)" in str(error)

    run(main())


def test_what_is_thrown_and_does_not_open_ends_the_stream() -> None:
    """D5: the generator is closed, not told of an exception that nobody threw."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            await hand.send(*opening(1, count))
            assert await hand.symbols(2) == ["ack", "yield"]
            await hand.send(Throw(1, b"no exception"))
            error = await refusal(hand)
            assert isinstance(error, SerializationError)
            assert (error.what, error.doing) == ("the thrown exception", "read")

    run(main())


@pytest.mark.parametrize(
    ("routine", "what"), [(look, "a coroutine"), (count, "an async generator")]
)
def test_a_routine_of_the_other_kind_is_a_refusal(routine: Any, what: str) -> None:
    """D5, M7: nothing runs when a frame calls a coroutine a stream, or a generator a task."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            task, drive = opening(1, routine)
            await hand.send(task._replace(stream=not task.stream), drive)
            nack: Any = await hand.frame()
            assert nack.code is NackCode.UNLOADABLE
            assert f"is {what}, not" in nack.text
            await hand.send(*(one._replace(call=2) for one in opening(2, routine)))
            assert (await hand.symbols(1)) == ["ack"]

    run(main())


def test_a_manifest_without_a_chain_builds_on_no_state() -> None:
    """M2, M9: what another chain named is not seen in a context that stays unarmed."""
    entry = Entry(color.key, EntryKind.VALUE, pickler.dumps("red"))
    told = ChainManifest(b"c" * 16, entries=closed.pack_entries([entry]), name=1)

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            for call, manifest in enumerate((told, ChainManifest(b"c" * 16, base=1)), start=1):
                await hand.send(*opening(call, look, manifest=manifest))
                assert await hand.symbols(1) == ["ack"]
                assert pickler.loads((await hand.frame()).payload) == "red"
            await hand.send(opening(3, look)[0], Next(3, ChainManifest(b"", base=1)))
            assert await hand.symbols(1) == ["ack"]
            error = await refusal(hand)
            assert isinstance(error, ChainSerializationError)
            assert "builds on a state" in str(error)

    run(main())
