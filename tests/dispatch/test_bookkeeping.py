"""T9: what is spent is spent, though a value beside it cannot be read; both ends in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from catena.dispatch.payloads import LENIENT, STRICT
from catena.errors import ChainSerializationError, SerializationError, SerializationWarning
from catena.ids import new_id
from catena.pickling import pickler
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from catena.wire.frames import Ack, ExceptionFrame, Next, Result
from tests.dispatch.ends import caller_and_hand, hand_and_sessions, opening
from tests.dispatch.tapped import tapped
from tests.dispatch.test_tokens import Lasting, asked, outcome
from tests.link.ends import Hand
from tests.support import isolated, run
from tests.transfer.ends import BAD

SPACE = "tests.bookkeeping"
color: catena.ContextVar[Any] = catena.ContextVar("color", namespace=SPACE)
other: catena.ContextVar[Any] = catena.ContextVar("other", namespace=SPACE)
UNREADABLE = LENIENT.pack([Entry(other.key, EntryKind.VALUE, BAD)])
CHAIN = b"c" * 16
seen: list[Any] = []


class Unreadable:
    """Is written and never read."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> Any:
    raise RuntimeError("not here")


@catena.routine
async def reset_and_spoil(token: catena.Token[Any], *, result: bool = False) -> Any:
    """Reset a token; leave what cannot be read in the result, or in a variable."""
    color.reset(token)
    if result:
        return Unreadable()
    other.set(Unreadable())
    return "done"


@catena.routine
async def holding(token: catena.Token[Any]) -> AsyncGenerator[Any, Any]:
    """Note at the next step, however it begins, whether the token is used."""
    try:
        yield "holds"
        yield "goes on"
    finally:
        seen.append(token.used)


@catena.routine
async def uses(token: catena.Token[Any]) -> bool:
    """Return whether a token is used."""
    return token.used


@catena.routine
async def work() -> str:
    """A hand does it."""
    return ""


async def stepped(hand: Hand, manifest: ChainManifest) -> list[str]:
    """Drive a stream once more; return what is answered."""
    await hand.send(Next(1, manifest))
    return await hand.symbols(1)


@isolated
@pytest.mark.parametrize("strict", [False, True])
def test_an_answer_spends_though_a_variable_of_it_cannot_be_read(strict: bool) -> None:
    """T9, M6: the caller's token is used; in strict mode nothing but that was mounted."""

    async def main() -> None:
        async with tapped(strict=strict) as ends:
            color.set("before")
            token = color.set("set")
            if strict:
                with pytest.raises(ChainSerializationError) as caught:
                    await reset_and_spoil(token)
                assert caught.value.value == "done"
            else:
                with pytest.warns(SerializationWarning, match="other could not be read"):
                    assert await reset_and_spoil(token) == "done"
            assert [one.manifest and one.manifest.spent for one in ends.answers] == [(token.id,)]
            with pytest.raises(RuntimeError, match="already been used once"):
                color.reset(token)
            assert color.get() == ("set" if strict else "before")
            assert await uses(token)

    run(main())


@isolated
@pytest.mark.parametrize("strict", [False, True])
def test_an_answer_spends_though_its_result_cannot_be_read(strict: bool) -> None:
    """T9: the chain was mounted before the result was opened."""

    async def main() -> None:
        async with tapped(strict=strict):
            color.set("before")
            token = color.set("set")
            with pytest.raises(SerializationError, match="the result"):
                await reset_and_spoil(token, result=True)
            assert token.used
            assert color.get() == "before"

    run(main())


@isolated
@pytest.mark.parametrize("strict", [False, True])
def test_the_ledger_of_an_answer_is_enough(strict: bool) -> None:
    """T9: where the caller has nothing but that: the other side is played by a hand."""

    async def main() -> None:
        async with caller_and_hand() as (caller, hand):
            caller.values = STRICT if strict else LENIENT
            color.set("before")
            token = color.set("set")
            pickler.dumps(token)

            async def play() -> None:
                task, drive = await asked(hand)
                assert drive.manifest is not None
                told = ChainManifest(
                    drive.manifest.chain_id, entries=UNREADABLE, whole=False, spent=(token.id,)
                )
                await hand.send(Ack(task.call), Result(task.call, pickler.dumps("done"), told))

            playing = asyncio.create_task(play())
            if strict:
                with pytest.raises(ChainSerializationError):
                    await work()
            else:
                with pytest.warns(SerializationWarning, match="other could not be read"):
                    assert await work() == "done"
            await playing
            assert token.used
            assert color.get() == "set"

    run(main())


@pytest.mark.parametrize("strict", [False, True])
def test_a_later_drive_spends_though_a_variable_of_it_cannot_be_read(strict: bool) -> None:
    """T9: the worker's token is used, also for the generator that a strict worker then closes."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            seen.clear()
            sessions._values = STRICT if strict else LENIENT
            token = Lasting(id := new_id(), old=pickler.dumps("old"))
            chain = ChainManifest(CHAIN, live=(id,))
            await hand.send(*opening(1, holding, token, manifest=chain))
            assert await hand.symbols(2) == ["ack", "yield"]
            news = ChainManifest(CHAIN, entries=UNREADABLE, whole=False, spent=(id,))
            if strict:
                await hand.send(Next(1, news))
                assert isinstance(await hand.frame(), ExceptionFrame)
            else:
                with pytest.warns(SerializationWarning, match="other could not be read"):
                    assert await stepped(hand, news) == ["yield"]
                await hand.send(Next(1, ChainManifest(CHAIN, whole=False)))
                assert await hand.symbols(1) == ["return"]
            assert seen == [True]

    run(main())


@pytest.mark.parametrize("strict", [False, True])
def test_a_first_drive_spends_though_a_variable_of_it_cannot_be_read(strict: bool) -> None:
    """T9: a token that the worker still has from an earlier call is used, called or refused."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            sessions._values = STRICT if strict else LENIENT
            token = pickler.loads(pickler.dumps(Lasting(id := new_id())))
            news = ChainManifest(CHAIN, entries=UNREADABLE, spent=(id,))
            if strict:
                error = await outcome(hand, 1, news, uses, Lasting(id))
                assert isinstance(error, ChainSerializationError)
            else:
                with pytest.warns(SerializationWarning, match="other could not be read"):
                    assert await outcome(hand, 1, news, uses, Lasting(id))
            assert token.used
            assert await outcome(hand, 2, ChainManifest(CHAIN), uses, Lasting(id))

    run(main())
