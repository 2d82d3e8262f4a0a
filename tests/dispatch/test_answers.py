"""What an answer brings back: nothing of what is as it came, and everything that is not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

import catena
from catena.context.chain import Chain, current
from catena.context.ownership import take_ownership
from catena.events import KeysUndeclared, Unmounted
from catena.testing import recording
from catena.wire.versions import DELTA
from tests.dispatch.tapped import Tapped, changed, tapped
from tests.support import LOOPS, isolated, run

word: catena.ContextVar[str] = catena.ContextVar("word", namespace="tests.answers", default="-")
box: catena.ContextVar[list[int]] = catena.ContextVar("box", namespace="tests.answers")

_tokens: list[catena.Token[str]] = []
_chains: list[Chain] = []
_others: list[asyncio.Task[Any]] = []


@pytest.fixture(autouse=True)
def _nothing_noted() -> Iterator[None]:
    yield
    _tokens.clear()
    _chains.clear()


def note() -> None:
    """Note the chain that a routine runs on."""
    chain = current.get()
    if chain is not None:
        _chains.append(chain)


@catena.routine
async def look() -> str:
    """Change nothing."""
    note()
    await asyncio.sleep(0)
    return word.get()


@catena.routine
async def spell(text: str) -> None:
    """Set the word."""
    word.set(text)


@catena.routine
async def spell_and_undo() -> str:
    """Set the word and reset it."""
    word.reset(word.set("for a moment"))
    return word.get()


@catena.routine
async def spell_and_keep() -> None:
    """Keep the token of a set in the worker."""
    _tokens.append(word.set("kept"))


@catena.routine
async def hand_over() -> Any:
    """Return a token that was kept; change nothing."""
    return _tokens[-1]


@catena.routine
async def spell_later() -> None:
    """Leave the set to a callback in this very Context."""
    context = asyncio.current_task().get_context()  # type: ignore[union-attr]
    asyncio.get_running_loop().call_soon(word.set, "called back", context=context)
    await asyncio.sleep(0)


@catena.routine
async def push(item: int) -> None:
    """Change a list in place."""
    box.get().append(item)


@catena.routine
async def let_claim() -> None:
    """Come back to a chain that another live task has claimed meanwhile."""
    chain = current.get()
    assert chain is not None
    _others.append(asyncio.create_task(asyncio.Event().wait()))
    take_ownership(chain, _others[-1])


@catena.routine
async def fail() -> NoReturn:
    """Raise, on a chain that is as it came."""
    note()
    raise KeyError("there")


async def named(ends: Tapped) -> None:
    """Bring the caller's state to the worker, which from then on knows its name."""
    await look()
    await look()
    ends.forget()
    _chains.clear()


@pytest.mark.parametrize("loop", LOOPS)
@isolated
def test_a_call_that_changes_nothing_is_answered_with_nothing(loop: str) -> None:
    """M9: a name and nothing else goes there, nothing comes back, and the chain is let go of."""

    async def main() -> None:
        async with tapped() as ends:
            word.set("red")
            await named(ends)
            assert [await look(), await look()] == ["red", "red"]
            assert [(one.base, one.entries) for one in ends.told] == [(2, b"")] * 2
            assert [one.manifest for one in ends.answers] == [None, None]
            assert [one.home.proof for one in _chains] == [None, None]
            assert _chains[0] is not _chains[1]

    run(main(), loop=loop)


@isolated
def test_an_unarmed_call_is_answered_with_nothing() -> None:
    """C4: no chain goes, none is made, none comes back."""

    async def main() -> None:
        async with tapped() as ends:
            assert await look() == "-"
            assert (ends.told, ends.answers[0].manifest) == ([], None)
            assert _chains == []

    run(main())


@pytest.mark.parametrize("armed", [True, False])
@isolated
def test_what_a_routine_sets_comes_back(armed: bool) -> None:
    """M9: a set makes another chain, also where there was none."""

    async def main() -> None:
        async with tapped() as ends:
            if armed:
                word.set("red")
                await named(ends)
            await spell("blue")
            assert word.get() == "blue"
            assert len(changed(ends.answers[0].manifest)) == 1

    run(main())


@isolated
def test_a_set_that_was_undone_brings_nothing_back() -> None:
    """M9: a reset brings the binding back, not the chain; the answer has nothing to tell."""

    async def main() -> None:
        async with tapped() as ends:
            word.set("red")
            await named(ends)
            assert await spell_and_undo() == "red"
            assert word.get() == "red"
            assert changed(ends.answers[0].manifest) == []

    run(main())


if sys.version_info >= (3, 12):

    @isolated
    def test_what_a_callback_sets_in_the_calls_own_context_comes_back() -> None:
        """C6: it may write there, and makes another chain as everybody does."""

        async def main() -> None:
            async with tapped() as ends:
                word.set("red")
                await named(ends)
                await spell_later()
                assert word.get() == "called back"

        run(main())


@isolated
def test_a_token_of_another_call_opens_nothing() -> None:
    """T6: it comes back although this call's chain is as it came, and is refused here."""

    async def main() -> None:
        async with tapped() as ends:
            await asyncio.create_task(spell_and_keep())
            word.set("red")
            await named(ends)
            token = await hand_over()
            assert token == _tokens[-1]
            with pytest.raises(ValueError, match="created in a different Context"):
                word.reset(token)

    run(main())


@isolated
def test_a_change_in_place_comes_back() -> None:
    """C15: it is found although the call began with a name alone."""

    async def main() -> None:
        async with tapped() as ends:
            box.set([1])
            await named(ends)
            await push(2)
            await look()
            assert box.get() == [1, 2]
            assert [one.base > 0 for one in ends.told] == [True, True]
            assert [one.manifest is not None for one in ends.answers] == [True, False]

    run(main())


@isolated
def test_a_peer_that_knows_no_deltas_gets_everything() -> None:
    """M9: in each answer, also when nothing changed."""

    async def main() -> None:
        async with tapped(lacking=(DELTA,), old="caller") as ends:
            word.set("red")
            # Each in a task, for what an answer repeats makes another state of its caller's.
            await asyncio.create_task(look())
            await asyncio.create_task(look())
            ends.forget()
            await asyncio.create_task(look())
            assert [(one.base, one.entries) for one in ends.told] == [(2, b"")]
            (answer,) = ends.answers
            assert answer.manifest is not None
            assert answer.manifest.whole
            assert len(changed(answer.manifest)) == 1

    run(main())


@isolated
def test_a_chain_that_another_task_claimed_meanwhile_is_refused() -> None:
    """C9: the guard is asked, for a claim makes another chain."""

    async def main() -> None:
        async with tapped() as ends:
            word.set("red")
            await named(ends)
            with pytest.raises(catena.ChainContention) as caught:
                await let_claim()
            assert caught.value.kind == "task"
            _others.pop().cancel()

    run(main())


@isolated
def test_what_a_routine_raises_lets_go_of_the_chain_too() -> None:
    """D5: an exception is captured with its chain, which has changed nothing."""

    async def main() -> None:
        async with tapped() as ends:
            word.set("red")
            await named(ends)
            with pytest.raises(KeyError, match="there"):
                await fail()
            assert [one.home.proof for one in _chains] == [None]
            assert ends.answers[0].manifest is None

    run(main())


@isolated
def test_the_end_of_a_chain_is_announced_once() -> None:
    """C12: a chain that nobody touched is unmounted like any other, once."""

    async def main() -> None:
        async with tapped() as ends:
            word.set("red")
            await named(ends)
            with recording(Unmounted) as ended:
                await look()
                await look()
            assert [one.chain_id for one in ended.of(Unmounted)] == [one.id for one in _chains]
            with recording(KeysUndeclared):
                await look()
            assert _chains[-1].home.proof is None

    run(main())
