"""The measuring loops; they run in a client process and know no system.

Every answer is compared with what was sent. Every loop is bounded by a count and by a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from types import TracebackType
from typing import Final, Self

from .plan import ITEMS, METRICS, P50, RATE_100, RATE_1000

Call = Callable[[int], Awaitable[int]]
Items = Callable[[int], AsyncIterator[int]]

NANOSECONDS: Final = 1_000_000_000
IN_FLIGHT: Final = {RATE_100: 100, RATE_1000: 1000}
MOST: Final = {P50: 5_000, RATE_100: 500_000, RATE_1000: 500_000, ITEMS: 200_000}
ITEMS_PER_GENERATOR: Final = 200


class WrongAnswer(Exception):
    """A system gave back something else than what was sent."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Whatever is used up first ends a loop: `count` calls or items, or `seconds`."""

    count: int
    seconds: float


WARM_UP: Final = Budget(300, 0.3)
WARM_CALLS: Final = 3


@dataclass(frozen=True, slots=True)
class Measurement:
    """`count` answers in `seconds`; `raw` holds each latency in ns where calls ran one by one."""

    count: int
    seconds: float
    raw: tuple[int, ...] = ()

    @property
    def value(self) -> float:
        """The median latency in µs when there are latencies, answers per second otherwise."""
        return median(self.raw) / 1000 if self.raw else self.count / self.seconds


def same(got: object, sent: object) -> None:
    """Raise `WrongAnswer` unless `got` is `sent`."""
    if got != sent:
        raise WrongAnswer(f"sent {sent!r}, got {got!r}")


async def one_by_one(call: Call, budget: Budget) -> Measurement:
    """One call in flight: the latency of each."""
    raw: list[int] = []
    start = perf_counter_ns()
    end = start + int(budget.seconds * NANOSECONDS)
    after = start
    for number in range(budget.count):
        before = perf_counter_ns()
        answer = await call(number)
        after = perf_counter_ns()
        raw.append(after - before)
        same(answer, number)
        if after >= end:
            break
    return Measurement(len(raw), (after - start) / NANOSECONDS, tuple(raw))


async def together(call: Call, in_flight: int, budget: Budget) -> Measurement:
    """`in_flight` tasks, each with one call under way, until the budget is used up.

    The calls that are under way then are awaited and counted, with the time they take.
    """
    numbers = iter(range(budget.count))
    start = perf_counter_ns()
    end = start + int(budget.seconds * NANOSECONDS)
    async with asyncio.TaskGroup() as group:
        lanes = [group.create_task(_lane(call, numbers, end)) for _ in range(in_flight)]
    return Measurement(sum(lane.result() for lane in lanes), _since(start))


async def _lane(call: Call, numbers: Iterator[int], end: int, least: int = 1) -> int:
    """Take numbers that no other lane has taken, until there is none or the time is over.

    It is not over before `least` of them.
    """
    done = 0
    for number in numbers:
        same(await call(number), number)
        done += 1
        if done >= least and perf_counter_ns() >= end:
            break
    return done


async def steady(
    call: Call,
    in_flight: int,
    budget: Budget,
    begin: Callable[[], Awaitable[None] | None] = lambda: None,
) -> Measurement:
    """`in_flight` tasks as in `together`, each of which has warmed up before the clock starts.

    So what a task's first call costs, on a chain that no link has met, is not in the figure.
    `begin` is called when no call is under way, between the warm-up and the first call that counts;
    what it returns is awaited.
    """
    async with Lanes(call, in_flight) as lanes:
        # The first one is dear for everybody; after a few each chain is known to the link.
        warm_up = Warm(WARM_CALLS, min(WARM_UP.seconds, budget.seconds))
        return await lanes.turn(budget, warm_up, begin)


@dataclass(frozen=True, slots=True)
class Warm:
    """What each task does before the clock starts: `calls` at least, and for `seconds` at least."""

    calls: int
    seconds: float


class Lanes:
    """`in_flight` tasks, made where the block is entered, each in a context of its own to the end.

    They make calls while they have a turn and wait otherwise. When one of them fails, so does the
    block, with an ExceptionGroup.
    """

    def __init__(self, call: Call, in_flight: int) -> None:
        self._call = call
        self._group = asyncio.TaskGroup()
        # All lanes and whoever gives them turns pass it together: called up, warm, off, done.
        self._gate = asyncio.Barrier(in_flight + 1)
        self._in_flight = in_flight
        self._tasks: list[asyncio.Task[None]] = []
        self._warm = Warm(0, 0.0)
        self._numbers: Iterator[int] = iter(())
        self._warm_until = self._end = self._least = self._done = self._last = 0

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._tasks = [self._group.create_task(self._run()) for _ in range(self._in_flight)]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)

    async def turn(
        self,
        budget: Budget,
        warm: Warm,
        begin: Callable[[], Awaitable[None] | None] = lambda: None,
        *,
        least: int = 1,
    ) -> Measurement:
        """What the lanes do within the budget once they are warm; each makes `least` calls.

        `begin` is as in `steady`.
        """
        self._numbers, self._done = iter(range(budget.count)), 0
        self._warm, self._least = warm, least
        self._warm_until = _after(warm.seconds)
        await self._gate.wait()
        await self._gate.wait()
        beginning = begin()
        if beginning is not None:
            await beginning
        start = perf_counter_ns()
        self._end = _after(budget.seconds)
        await self._gate.wait()
        await self._gate.wait()
        return Measurement(self._done, (self._last - start) / NANOSECONDS)

    async def _run(self) -> None:
        while True:
            await self._gate.wait()
            warmed = 0
            while warmed < self._warm.calls or perf_counter_ns() < self._warm_until:
                same(await self._call(warmed), warmed)
                warmed += 1
            await self._gate.wait()
            await self._gate.wait()
            done = await _lane(self._call, self._numbers, self._end, self._least)
            self._done += done
            self._last = perf_counter_ns()
            await self._gate.wait()


def _after(seconds: float) -> int:
    """The moment that is so many seconds away."""
    return perf_counter_ns() + int(seconds * NANOSECONDS)


async def step_by_step(items: Items, budget: Budget) -> Measurement:
    """One generator after the other, one consumer, each item awaited before the next."""
    count = 0
    start = perf_counter_ns()
    end = start + int(budget.seconds * NANOSECONDS)
    while count < budget.count and perf_counter_ns() < end:
        expected = 0
        async for item in items(ITEMS_PER_GENERATOR):
            same(item, expected)
            expected += 1
        same(expected, ITEMS_PER_GENERATOR)
        count += expected
    return Measurement(count, _since(start))


async def measured(
    call: Call, items: Items, seconds: float
) -> AsyncIterator[tuple[str, Measurement]]:
    """Every metric, each after a short run of the same that is thrown away."""
    for metric in METRICS:
        for budget in (WARM_UP, Budget(MOST[metric], seconds)):
            # Each deadline is far beyond what a working system needs: time is no pass or fail.
            async with asyncio.timeout(20 + 2 * budget.seconds):
                result = await _measure(metric, call, items, budget)
        yield metric, result


async def _measure(metric: str, call: Call, items: Items, budget: Budget) -> Measurement:
    if metric == P50:
        return await one_by_one(call, budget)
    if metric == ITEMS:
        return await step_by_step(items, budget)
    return await together(call, IN_FLIGHT[metric], budget)


def _since(start: int) -> float:
    return (perf_counter_ns() - start) / NANOSECONDS
