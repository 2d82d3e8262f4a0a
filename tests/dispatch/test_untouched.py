"""What a routine changed comes back to its caller, however it was changed, and nothing else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

import catena
from catena.context.chain import Chain
from catena.context.current import current, stamp
from catena.dispatch.worker import run_coroutine as running
from catena.wire.versions import DELTA
from tests.dispatch.tapped import Tapped, changed, tapped
from tests.support import isolated, run

word: catena.ContextVar[str] = catena.ContextVar("word", namespace="tests.untouched", default="-")
box: catena.ContextVar[list[int]] = catena.ContextVar("box", namespace="tests.untouched")

_tokens: list[catena.Token[str]] = []
_chains: list[Chain] = []
_captures: list[bool] = []
_others: list[asyncio.Task[Any]] = []


@pytest.fixture(autouse=True)
def captures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Note for each answer that is captured whether its chain still has a home."""
    capture = running.capture_answer

    def noted(*args: Any, **options: Any) -> Any:
        chain = current.get()
        _captures.append(chain is not None and chain.home.proof is not None)
        return capture(*args, **options)

    monkeypatch.setattr(running, "capture_answer", noted)
    yield _captures
    for noted_ones in (_tokens, _chains, _captures):
        noted_ones.clear()


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
    stamp(chain, _others[-1])


@catena.routine
async def fail() -> NoReturn:
    """Raise, on a chain that is as it came."""
    note()
    raise KeyError("there")


async def named(ends: Tapped) -> None:
    """Bring the caller's state to the worker, which from then on knows its name."""
    await look()
    ends.forget()
    _captures.clear()
    _chains.clear()


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
            assert _captures == [True]
            assert len(changed(ends.answers[0].manifest)) == 1

    run(main())


@isolated
def test_a_set_that_was_undone_is_looked_at() -> None:
    """M9: a reset brings the binding back, not the chain; the answer has nothing to tell."""

    async def main() -> None:
        async with tapped() as ends:
            word.set("red")
            await named(ends)
            assert await spell_and_undo() == "red"
            assert (_captures, word.get()) == ([True], "red")
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
                assert (_captures, word.get()) == ([True], "called back")

        run(main())


@isolated
def test_a_token_that_crosses_is_looked_at() -> None:
    """T5: the ledger tells it in the answer, though the chain is the one that was mounted."""

    async def main() -> None:
        async with tapped() as ends:
            await asyncio.create_task(spell_and_keep())
            word.set("red")
            await named(ends)
            token = await hand_over()
            assert token == _tokens[-1]
            assert _captures == [True]
            with pytest.raises(ValueError, match="created in a different Context"):
                word.reset(token)

    run(main())


@isolated
def test_a_change_in_place_comes_back() -> None:
    """C15: a state that holds what can change is no mere name, whether it was changed or not."""

    async def main() -> None:
        async with tapped() as ends:
            box.set([1])
            await named(ends)
            await push(2)
            await look()
            assert box.get() == [1, 2]
            assert [one.base > 0 for one in ends.told] == [True, True]
            assert _captures == [True, True]

    run(main())


@isolated
def test_a_peer_that_knows_no_deltas_is_told_everything() -> None:
    """M9: in each answer, also when nothing changed."""

    async def main() -> None:
        async with tapped(lacking=(DELTA,), old="caller") as ends:
            word.set("red")
            # Each in a task, for what an answer repeats makes another state of its caller's.
            await asyncio.create_task(named(ends))
            await asyncio.create_task(look())
            assert [(one.base, one.entries) for one in ends.told] == [(1, b"")]
            assert _captures == [True]
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
            assert _captures
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
