"""Bad ledgers and bad tokens, sent by a hand that plays the worker or the caller."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

import catena
from catena.context.ledger import LEDGER_LIMIT
from catena.context.registry import find
from catena.errors import ChainSerializationError, SerializationError
from catena.ids import new_id
from catena.pickling import pickler
from catena.remote_exceptions.pickled import unpickle_exception
from catena.transfer.manifest import ChainManifest
from catena.wire.frames import Ack, ExceptionFrame, Frame, Next, Result, Task
from tests.dispatch.ends import caller_and_hand, hand_and_sessions, opening
from tests.link.ends import Hand
from tests.support import isolated, run

color: catena.ContextVar[Any] = catena.ContextVar("color", namespace="tests.bad_tokens")
CHAIN = b"c" * 16


class Lasting:
    """A token as a peer writes it: with an id, an old value or why it has none."""

    def __init__(self, id: bytes, *, name: str = "color", old: bytes | None = None) -> None:
        self.id, self.name, self.old, self.flaw = id, name, old, ""

    def __reduce__(self) -> Any:
        return _token, (self.id, self.name, self.old, self.flaw)


def _token(id: bytes, name: str, old: bytes | None, flaw: str) -> Any:
    from catena.context.var import restore, restore_token

    var = restore("tests.bad_tokens", name, "both")
    return restore_token(id, var, pickler.loads, old, flaw, False)


@catena.routine
async def reset(token: catena.Token[Any]) -> Any:
    """Reset a token by its own variable; return the value after it."""
    token.var.reset(token)
    return token.var.get("unset")


@catena.routine
async def try_to_reset(token: catena.Token[Any]) -> tuple[str, bool, Any]:
    """Return what a reset raised, and token and value after it."""
    token.var.set("set")
    try:
        token.var.reset(token)
    except Exception as error:
        return type(error).__name__, token.used, token.var.get("unset")
    return "", token.used, token.var.get("unset")


@catena.routine
async def work() -> None:
    """A hand does it."""


async def outcome(hand: Hand, call: int, manifest: ChainManifest, routine: Any, token: Any) -> Any:
    """Call a routine of a worker; return its result, or the exception."""
    await hand.send(*opening(call, routine, token, manifest=manifest))
    assert await hand.symbols(1) == ["ack"]
    frame = await hand.frame()
    if isinstance(frame, ExceptionFrame):
        return unpickle_exception(frame.payload)
    assert isinstance(frame, Result)
    return pickler.loads(frame.payload)


async def asked(hand: Hand) -> tuple[Task, Next]:
    """Return the frames that open the next call of a caller."""
    task, drive = await hand.frame(), await hand.frame()
    assert isinstance(task, Task)
    assert isinstance(drive, Next)
    return task, drive


def answer(task: Task, drive: Next, **ledgers: tuple[bytes, ...]) -> tuple[Frame, Frame]:
    """Return the frames of an answer that changes nothing but ledgers."""
    assert drive.manifest is not None
    told = ChainManifest(drive.manifest.chain_id, whole=False, **ledgers)  # type: ignore[arg-type]
    return Ack(task.call), Result(task.call, pickler.dumps(None), told)


def test_a_token_that_was_not_told_live_is_an_orphan() -> None:
    """T5: a forged token of an id that the ledger does not name opens nothing."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            manifest = ChainManifest(CHAIN, live=(new_id(),))
            token = Lasting(new_id(), old=pickler.dumps("old"))
            kind, used, value = await outcome(hand, 1, manifest, try_to_reset, token)
            assert (kind, used, value) == ("ValueError", False, "set")
            token = Lasting(id := new_id(), old=pickler.dumps("old"))
            assert await outcome(hand, 2, ChainManifest(CHAIN, live=(id,)), reset, token) == "old"

    run(main())


def test_a_token_of_a_variable_that_nobody_declares() -> None:
    """T3, C8: its variable is a stub, and it is reset as any other."""
    id = new_id()
    assert find(("tests.bad_tokens", "nobody")) is None

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            token = Lasting(id, name="nobody", old=pickler.dumps("old"))
            assert await outcome(hand, 1, ChainManifest(CHAIN, live=(id,)), reset, token) == "old"

    run(main())


def test_ids_that_no_token_has_do_nothing() -> None:
    """T5: of whatever length, live and spent."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            ids = (b"", b"x", new_id(), b"y" * 100)
            manifest = ChainManifest(CHAIN, spent=ids, live=ids)
            token = Lasting(id := new_id(), old=pickler.dumps("old"))
            good = manifest._replace(live=(*ids, id))
            assert await outcome(hand, 1, good, reset, token) == "old"

    run(main())


def test_an_old_value_that_cannot_be_read_fails_only_the_reset() -> None:
    """T3: SerializationError, and neither value nor token changes."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            for call, old in enumerate((b"no pickle", b""), start=1):
                token = Lasting(id := new_id(), old=old)
                token.flaw = "" if old else "RuntimeError: stays there"
                manifest = ChainManifest(CHAIN, live=(id,))
                kind, used, value = await outcome(hand, call, manifest, try_to_reset, token)
                assert (kind, used, value) == (SerializationError.__name__, False, "set")

    run(main())


@pytest.mark.parametrize("count", [LEDGER_LIMIT + 1, 1_000_000])
@pytest.mark.parametrize("kind", ["spent", "live"])
def test_a_ledger_over_the_limit_ends_its_call_alone(kind: str, count: int) -> None:
    """T8: the worker refuses the chain and answers the next call."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            ids = tuple(n.to_bytes(16, "big") for n in range(count))
            token = Lasting(good := new_id(), old=pickler.dumps("old"))
            manifest = ChainManifest(CHAIN)._replace(**{kind: ids})
            error = await outcome(hand, 1, manifest, reset, token)
            assert isinstance(error, ChainSerializationError)
            assert f"names {count} tokens" in str(error)
            assert await outcome(hand, 2, ChainManifest(CHAIN, live=(good,)), reset, token) == "old"

    run(main())


@isolated
@pytest.mark.parametrize("told", [True, False])
def test_an_answer_spends_only_what_its_call_was_told(told: bool) -> None:
    """T4: the id of a token that crossed after the call began, or a forged one, changes nothing."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            color.set("before")
            token = color.set("set")
            if told:
                pickler.dumps(token)

            async def play() -> None:
                task, drive = await asked(hand)
                assert drive.manifest is not None
                assert drive.manifest.live == ((token.id,) if told else ())
                pickler.dumps(token)
                await hand.send(*answer(task, drive, spent=(token.id, new_id()), live=(new_id(),)))

            playing = asyncio.create_task(play())
            await work()
            await playing
            assert token.used is told
            if not told:
                color.reset(token)
                assert color.get() == "before"

    run(main())


@isolated
def test_an_answer_makes_no_orphan_live() -> None:
    """T6: a peer that names an id live opens the token of a sibling Context for nobody here."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            color.set("before")
            orphan = contextvars.copy_context().run(color.set, "set")

            async def play() -> None:
                task, drive = await asked(hand)
                await hand.send(*answer(task, drive, live=(orphan.id,)))

            playing = asyncio.create_task(play())
            await work()
            await playing
            with pytest.raises(ValueError, match="in a different Context"):
                color.reset(orphan)
            assert color.get() == "before"

    run(main())


@isolated
def test_an_answer_does_not_spend_what_another_call_was_told() -> None:
    """T4: an id of a call of another chain does nothing here, and nothing there."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            color.set("before")
            theirs: list[catena.Token[Any]] = []
            told, go_on = asyncio.Event(), asyncio.Event()

            async def other_call() -> Any:
                theirs.append(color.set("theirs"))
                pickler.dumps(theirs[0])
                told.set()
                await work()
                await go_on.wait()
                color.reset(theirs[0])
                return color.get()

            other = asyncio.create_task(other_call())
            await told.wait()
            first = await asked(hand)
            id = theirs[0].id
            assert first[1].manifest is not None
            assert first[1].manifest.live == (id,)

            async def play() -> None:
                task, drive = await asked(hand)
                await hand.send(*answer(task, drive, spent=(id,)))

            playing = asyncio.create_task(play())
            await work()
            await playing
            assert not theirs[0].used
            with pytest.raises(ValueError, match="in a different Context"):
                color.reset(theirs[0])
            assert (color.get(), theirs[0].used) == ("before", False)
            await hand.send(*answer(*first))
            go_on.set()
            assert await other == "before"

    run(main())


@isolated
@pytest.mark.parametrize("count", [LEDGER_LIMIT + 1, 1_000_000])
def test_ledgers_over_the_limit_in_an_answer(count: int) -> None:
    """T8: the caller refuses the chain, and its own stays as it was."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            color.set("before")
            ids = tuple(n.to_bytes(16, "big") for n in range(count))

            async def play() -> None:
                task, drive = await asked(hand)
                await hand.send(*answer(task, drive, live=ids))

            async def play_well() -> None:
                await hand.send(*answer(*await asked(hand)))

            playing = asyncio.create_task(play())
            with pytest.raises(ChainSerializationError, match="tokens, at most"):
                await work()
            await playing
            assert color.get() == "before"
            playing = asyncio.create_task(play_well())
            await work()
            await playing

    run(main())
