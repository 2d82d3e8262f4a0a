"""Named states that are odd: forgotten, too many, refused, unreadable, with little in common."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import catena
from catena.errors import SerializationError, SerializationWarning
from catena.pickling import pickler
from catena.transfer.manifest import ChainManifest
from catena.transfer.states import kept as kept_states
from catena.transfer.states.sent import SentStates
from catena.wire.frames import Ack, Nack, NackCode, Result
from tests.dispatch.ends import caller_and_hand
from tests.dispatch.tapped import Tapped, changed, tapped
from tests.support import isolated, run

word: catena.ContextVar[str] = catena.ContextVar("word", namespace="tests.odd", default="-")
box: catena.ContextVar[Any] = catena.ContextVar("box", namespace="tests.odd")
many = [catena.ContextVar[Any](f"many{n}", namespace="tests.odd") for n in range(20)]
ANSWER = pickler.dumps("red")


@catena.routine
async def look() -> str:
    """Return the word."""
    return word.get()


def kept(ends: Tapped) -> Any:
    """Return the one table of kept states of the worker."""
    return ends.sessions._states._kept


@isolated
def test_a_forgotten_number_is_sent_anew() -> None:
    """Move 8: a worker that has forgotten refuses before the call begins, and nobody notices."""

    async def main() -> None:
        async with tapped() as ends:
            word.set("red")
            box.set({"pair": (1, [])})
            await look()
            await look()
            kept(ends).clear()
            ends.forget()
            assert await look() == "red"
            refusals = [one for one in ends.answered if isinstance(one, Nack)]
            assert [one.code for one in refusals] == [NackCode.UNKNOWN]
            named, anew = ends.told
            assert named.base
            assert not anew.base
            assert len(changed(anew)) == 2
            ends.forget()
            assert await look() == "red"
            assert not changed(ends.told[0])

    run(main())


@isolated
def test_many_calls_at_once_with_a_forgotten_number() -> None:
    """Move 8: all of them are told anew, whichever refusal comes first."""

    async def main() -> None:
        async with tapped() as ends:
            word.set("red")
            await look()
            await look()
            kept(ends).clear()
            assert await asyncio.gather(*(look() for _ in range(50))) == ["red"] * 50
            ends.forget()
            await look()
            assert ends.told[0].base

    run(main())


class Unreadable:
    """A value that nobody can read."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise RuntimeError("not to be read")


@isolated
def test_a_state_with_a_value_that_cannot_be_read_is_named_too() -> None:
    """Move 8, M2: the worker keeps that entry as bytes, warns at each call and refuses none."""

    async def main() -> None:
        async with tapped() as ends:
            word.set("red")
            box.set(Unreadable())
            for _ in range(4):
                with pytest.warns(SerializationWarning, match="box could not be read"):
                    assert await look() == "red"
            assert [bool(one.base) for one in ends.told] == [False, False, True, True]
            assert not any(isinstance(one, Nack) for one in ends.answered)
            box.set(1)
            assert await look() == "red"

    run(main())


@isolated
def test_a_state_whose_call_was_refused_is_told_by_the_next() -> None:
    """Move 8: a Nack proves that nothing was kept, so the number is given up, not the state."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            word.set("red")
            told: list[ChainManifest] = []
            answers = Ack(1), Nack(2, NackCode.UNLOADABLE, "no"), Ack(3), Ack(4)
            for call, answer in enumerate(answers, 1):
                task = asyncio.create_task(look())
                await hand.frame()
                drive: Any = await hand.frame()
                told.append(drive.manifest)
                await hand.send(answer, *([Result(call, ANSWER)] if call != 2 else []))
                await asyncio.wait([task])
                assert (task.exception() is None) == (call != 2)
            assert [bool(one.name) for one in told] == [False, True, True, False]
            assert (told[3].base, told[3].entries) == (told[2].name, b"")

    run(main())


@isolated
def test_a_call_that_was_never_sent_told_nothing() -> None:
    """Move 8: code that cannot be written is an error before the state is given a number."""

    async def main() -> None:
        lock = threading.Lock()

        @catena.routine
        async def locked() -> bool:
            return lock.locked()

        async with tapped() as ends:
            word.set("red")
            with pytest.raises(SerializationError, match="the code"):
                await locked()
            assert [await look() for _ in range(3)] == ["red"] * 3
            _, second, third = ends.told
            assert third == ChainManifest(second.chain_id, second.parent_id, base=second.name)

    run(main())


@isolated
def test_a_chain_that_has_little_in_common_is_told_whole() -> None:
    """Move 8: no state is told by more entries than it has variables."""

    async def main() -> None:
        async with tapped() as ends:

            async def many_bound() -> None:
                for var in many:
                    var.set("bound")
                await look()

            async def one_bound() -> str:
                word.set("red")
                return await look()

            await asyncio.create_task(many_bound())
            assert await asyncio.create_task(one_bound()) == "red"
            assert not ends.told[1].base
            assert [entry.key[1] for entry in changed(ends.told[1])] == ["word"]

    run(main())


@isolated
def test_both_sides_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Move 8: the least recently used states go, here and there, and every call finds its own."""
    monkeypatch.setattr(kept_states, "STATES", 1)

    async def main() -> None:
        async with tapped() as ends:
            ends.caller.states = table = SentStates(states=4, short=0)
            for number in range(30):
                word.set(f"w{number}")
                assert await look() == f"w{number}"
                assert len(table) <= 4
                assert len(kept(ends)) <= 2

    run(main())


@isolated
def test_both_sides_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Move 8: so are the bytes that the states stand for; a very large one is not kept at all."""
    monkeypatch.setattr(kept_states, "STATES_BYTES", 5000)

    async def main() -> None:
        async with tapped() as ends:
            ends.caller.states = table = SentStates(size=10_000, short=0)
            for number in range(30):
                word.set(f"{number}" * 1000)
                assert await look() == f"{number}" * 1000
                assert table._size <= 10_000
                assert sum(one.size for one in kept(ends).values()) <= 10_000
            word.set("x" * 6000)
            ends.forget()
            assert [len(await look()) for _ in range(2)] == [6000] * 2
            assert not any(one.name for one in ends.told)
            assert [len(changed(one)) for one in ends.told] == [1, 1]

    run(main())
