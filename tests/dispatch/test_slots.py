"""Slots: counted by the worker, waited for in line, lent to nested calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest

import catena
from catena.dispatch.caller import line as lines, long_waits
from catena.dispatch.caller.line import line_of
from catena.dispatch.holding import Loan
from catena.dispatch.worker.slots import Slots
from catena.errors import Busy, DispatchTimeout, NoPool, SerializationError
from catena.events import CallWaited
from catena.testing import recording
from tests.dispatch.ends import Through
from tests.dispatch.slot_ends import pool
from tests.link.ends import settle
from tests.support import run

color: catena.ContextVar[str] = catena.ContextVar("slots.color", default="none")
_gates: dict[int, asyncio.Event] = {}
_order: list[Any] = []
_most = [0, 0]


@catena.routine(slots=1)
async def hold(number: int) -> str:
    """Hold a slot until the gate opens."""
    _order.append(number)
    _most[0] += 1
    _most[1] = max(_most)
    try:
        await _gates[number].wait()
    finally:
        _most[0] -= 1
    return color.get()


@catena.routine(slots=2)
async def wide(number: int) -> int:
    """Hold two slots."""
    _order.append(number)
    await asyncio.sleep(0)
    return number


@catena.routine(slots=1)
async def quick(number: Any) -> Any:
    """Take a slot for a moment."""
    _order.append(number)
    await asyncio.sleep(0)
    return number


@catena.routine(slots=1)
async def nest(depth: int) -> int:
    """Wait for a call of its own, ten deep."""
    return 1 + await nest(depth - 1) if depth else 1


@catena.routine(slots=1)
async def nest_both(depth: int) -> int:
    """Wait for two calls of its own at a time."""
    if not depth:
        return 1
    return sum(await asyncio.gather(nest_both(depth - 1), nest_both(depth - 1)))


@catena.routine
def plain() -> str:
    """Take a slot and a thread."""
    return color.get()


@catena.routine(slots=1)
async def mixed(depth: int) -> str:
    """Wait for a stream that waits for a plain function."""
    async for step in steps(depth):
        color.set(step)
    return color.get()


@catena.routine
async def steps(depth: int) -> AsyncIterator[str]:
    """Yield what calls that need slots return."""
    for _ in range(2):
        yield await (mixed(depth - 1) if depth else plain())


@pytest.fixture(autouse=True)
def _afresh() -> None:
    _order.clear()
    _gates.clear()
    _most[:] = [0, 0]


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def start(*numbers: int, of: Callable[[int], Awaitable[Any]] = hold) -> list[asyncio.Future[Any]]:
    """Begin calls in this order."""
    for number in numbers:
        _gates.setdefault(number, asyncio.Event())
    return [asyncio.ensure_future(of(number)) for number in numbers]


# ---- P13: counting, and the line


def test_a_worker_runs_as_many_as_it_has_slots() -> None:
    """P13: no more at a time than there are slots, and the others follow in their order."""

    async def main() -> None:
        async with pool(slots=2, workers=2):
            calls = start(*range(20))
            await until(lambda: len(_order) == 4)
            for number in range(20):
                _gates[number].set()
                await until(lambda number=number: len(_order) >= min(20, number + 5))
            await asyncio.gather(*calls)
        # The first ones begin on two workers, in whose order is their own affair.
        assert sorted(_order[:4]) + _order[4:] == list(range(20))
        assert _most[1] == 4

    run(main())


def test_slots_of_another_caller_count() -> None:
    """P13: the worker counts; a call that finds no slot waits until the worker offers one."""

    async def main() -> None:
        async with pool() as made:
            other = await made.connect(Through())
            (first,) = start(1)
            await until(lambda: _order)
            _gates[2] = _gates[3] = asyncio.Event()
            second = asyncio.ensure_future(hold.on(_Way(other))(2))
            await settle()
            (third,) = start(3)
            await settle()
            assert _order == [1]
            _gates[1].set()
            await first
            await until(lambda: len(_order) == 2)
            assert _order == [1, 2]
            _gates[2].set()
            await asyncio.gather(second, third)
            assert _order == [1, 2, 3]
            assert not len(line_of(other))

    run(main())


class _Way:
    def __init__(self, dispatcher: Through) -> None:
        self.dispatcher = dispatcher


def test_calls_with_different_needs_do_not_block_each_other() -> None:
    """P13: what needs two slots waits, and what needs one goes past it."""

    async def main() -> None:
        async with pool(slots=2):
            first, _ = start(1, 2)[0], start(3)[0]
            await until(lambda: len(_order) == 2)
            both = asyncio.ensure_future(wide(100))
            await settle()
            _gates[2].set()
            await until(lambda: len(_order) == 3)
            assert _order == [1, 2, 3]
            _gates[1].set()
            _gates[3].set()
            assert await both == 100
            await first

    run(main())


def test_coroutines_and_streams_take_no_slot() -> None:
    """P13: by default only a plain function takes one."""

    async def main() -> None:
        async with pool():
            (held,) = start(1)
            await until(lambda: _order)
            assert [step async for step in none()] == ["none"]
            _gates[1].set()
            await held
            assert await plain() == "none"

    @catena.routine
    async def none() -> AsyncIterator[str]:
        yield color.get()

    run(main())


def test_a_routine_that_wants_more_than_there_are_fails_at_the_call() -> None:
    """P13: the error names the routine, what it wants, what there is, and the remedy."""

    async def main() -> None:
        async with pool(slots=1, workers=2):
            with pytest.raises(
                NoPool, match=r"takes 2 slots, and no worker .* more than 1.*slots=2"
            ):
                await wide(1)

    run(main())


def test_arguments_and_chain_are_captured_when_the_turn_comes() -> None:
    """P13: what changes while a call waits is seen by it."""

    async def main() -> None:
        async with pool():
            (held,) = start(1)
            await until(lambda: _order)
            given: list[int] = []
            waiting = asyncio.ensure_future(quick(given))
            await settle()
            given.append(7)
            _gates[1].set()
            assert await waiting == [7]
            await held

    run(main())


def test_a_cancelled_call_leaves_the_line() -> None:
    """P13: whoever stood behind it gets its turn, also when the offer had come already."""

    async def main() -> None:
        async with pool() as made:
            first, second, third = start(1, 2, 3)
            await until(lambda: len(line_of(made.through)) == 2)
            second.cancel("no more")
            with pytest.raises(asyncio.CancelledError, match="no more"):
                await second
            assert len(line_of(made.through)) == 1
            # The offer comes in the very turn in which the call is cancelled.
            fourth = start(4)[0]
            await settle()
            real = line_of(made.through).take_offer

            def cancel_then_take(connection: Any, slots: int) -> None:
                real(connection, slots)
                third.cancel()

            made.through.callers[0].line = _Line(cancel_then_take)  # type: ignore[assignment]
            _gates[1].set()
            _gates[4].set()
            await first
            with pytest.raises(asyncio.CancelledError):
                await third
            await fourth
        assert _order == [1, 4]

    run(main())


class _Line:
    def __init__(self, take: Any) -> None:
        self.take_offer = take

    def look_again(self) -> None:
        """Nobody waits here."""


def test_an_argument_that_cannot_be_pickled_passes_the_offer_on() -> None:
    """P13, D5: the call fails and the next one in line is served."""

    async def main() -> None:
        async with pool():
            (first,) = start(1)
            await until(lambda: _order)
            broken = asyncio.ensure_future(quick(n for n in range(3)))
            good = asyncio.ensure_future(quick(5))
            await settle()
            _gates[1].set()
            await first
            assert await good == 5
            with pytest.raises(SerializationError, match="argument 'number'"):
                await broken

    run(main())


def test_waiting_counts_towards_the_bounds() -> None:
    """P13: timeout and dispatch_timeout end a call that waits."""

    async def main() -> None:
        async with pool():
            (first,) = start(1)
            await until(lambda: _order)
            late = pytest.raises(TimeoutError, match="ran out of time")
            with catena.RuntimeContext(timeout=0.05), late:
                await quick(2)
            not_taken = pytest.raises(DispatchTimeout, match=r"accepted .*quick within 0\.05 s")
            with catena.RuntimeContext(dispatch_timeout=0.05), not_taken:
                await quick(3)
            _gates[1].set()
            await first
        assert _order == [1]

    run(main())


def test_a_long_wait_says_once_what_holds_the_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """P13: one announcement names the routine that waits, the worker and what runs there."""
    monkeypatch.setattr(long_waits, "LONG", 0.3)
    monkeypatch.setattr(lines, "LOOK_AGAIN", 0.01)

    async def main() -> None:
        async with pool() as made:
            other = await made.connect(Through())
            (first,) = start(1)
            await until(lambda: _order)
            for way, held_by in (
                (made.through, "slots of w0 are held by"),
                (other, "w0: its slot is held by"),
            ):
                with recording(CallWaited) as recorded:
                    calls = [asyncio.ensure_future(quick.on(_Way(way))(n)) for n in range(3)]
                    await until(partial(recorded.of, CallWaited))
                (waited,) = recorded.of(CallWaited)
                assert waited.routine.endswith("quick")
                assert (waited.calls, waited.seconds >= 0.3) == (3, True)
                assert held_by in waited.cause
                assert ".hold" in waited.cause
                for call in calls:
                    call.cancel()
                await asyncio.wait(calls)
            _gates[1].set()
            await first

    run(main())


def test_max_waiting_refuses_more() -> None:
    """P13: a call that would be one too many in line is refused with Busy."""

    async def main() -> None:
        async with pool() as made:
            type(made.through).max_waiting = property(lambda _: 1)  # type: ignore[assignment, method-assign]
            try:
                first, second = start(1, 2)
                await until(lambda: len(line_of(made.through)) == 1)
                with pytest.raises(Busy, match="max_waiting"):
                    await quick(3)
                for gate in _gates.values():
                    gate.set()
                await asyncio.gather(first, second)
            finally:
                type(made.through).max_waiting = property(lambda _: None)  # type: ignore[assignment, method-assign]

    run(main())


def test_a_lost_caller_gives_back_what_it_was_offered() -> None:
    """P13: a link that ends leaves no slot taken and nobody waiting for it."""

    async def main() -> None:
        async with pool() as made:
            other = await made.connect(Through())
            (first,) = start(1)
            await until(lambda: _order)
            lost = asyncio.ensure_future(quick.on(_Way(other))(2))
            await until(lambda: len(line_of(other)) == 1)
            await other.callers[0].link.close()
            _gates[1].set()
            await first
            with pytest.raises(ConnectionError):
                await lost
            assert await quick(3) == 3

    run(main())


# ---- P13: lending


def test_nested_calls_do_not_lock_up_one_slot() -> None:
    """P13: one worker, one slot, ten deep, a hundred at once."""

    async def main() -> None:
        async with pool():
            assert await asyncio.gather(*(nest(9) for _ in range(100))) == [10] * 100
            assert await nest_both(4) == 16

    run(main(), timeout=60)


def test_nested_calls_of_all_kinds_do_not_lock_up() -> None:
    """P13: plain functions, coroutines with a slot and streams in between, many at once."""

    async def main() -> None:
        color.set("top")
        async with pool(workers=2):
            found = await asyncio.gather(*(mixed(2) for _ in range(10)))
        assert found == ["top"] * 10

    run(main(), timeout=60)


def test_nested_calls_stand_before_the_others() -> None:
    """P13: a call that a running one waits for gets the slot that this one lends."""

    async def main() -> None:
        async with pool():
            begun = asyncio.ensure_future(outer(1))
            others = [asyncio.ensure_future(quick(number)) for number in (10, 11, 12)]
            await asyncio.gather(begun, *others)
        assert _order == [1, 2, 10, 11, 12]

    @catena.routine(slots=1)
    async def outer(number: int) -> None:
        _order.append(number)
        await asyncio.sleep(0.05)
        await quick(number + 1)

    run(main())


def test_a_thread_lends_and_takes_back() -> None:
    """P13, D1b: a plain function that waits on its thread lends its slot from there."""

    async def main() -> None:
        slots, user = Slots(1), _User()
        held = slots.take(user, "app.f", 1, offered=False, forced=False)
        assert held is not None
        assert slots.take(user, "app.g", 1, offered=False, forced=False) is None
        loan = Loan(held)
        await asyncio.to_thread(loan.lend)
        await settle()
        # Lent at once to the one that waits, and taken back over the limit.
        assert user.offers == [1]
        await asyncio.to_thread(loan.take_back)
        await settle()
        assert slots.taken == 2
        held.end()
        slots.decline(user, 1)
        assert slots.taken == 0

    run(main())


class _User:
    nested = False

    def __init__(self) -> None:
        self.offers: list[int] = []

    def offer_slots(self, slots: int) -> None:
        """Keep an offer."""
        self.offers.append(slots)
