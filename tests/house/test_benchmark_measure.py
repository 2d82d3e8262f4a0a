"""The benchmark's clocks, of many tasks at once, and its statistics of rounds."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.benchmarks import measure, ratios, report_variables
from tests.benchmarks.plan import ENCODE, KINDS, NONE, P50, RATE_100, BenchmarkError, Sample
from tests.benchmarks.ratios import Spread
from tests.support import run

BARE = report_variables.row(NONE)
BOUND = report_variables.row(KINDS[1])


def test_what_a_round_gives_is_computed_in_the_round() -> None:
    """The ratios 2, 4 and 9, not that of the medians; a round that lacks a slice gives none."""
    rates = {BARE: (20.0, 40.0, 90.0, 50.0), BOUND: (10.0, 10.0, 10.0)}
    samples = [
        Sample(1, row, RATE_100, value, count=10, seconds=0.5, round=number)
        for row, values in rates.items()
        for number, value in enumerate(values, start=1)
    ]

    assert ratios.ratio(samples, BARE, BOUND, RATE_100) == Spread(4, 4, 4)
    assert ratios.spread(samples, BARE, RATE_100) == Spread(45, 45, 45)
    later = [replace(sample, repeat=2, value=sample.value * sample.round) for sample in samples]
    assert ratios.ratio(samples + later, BARE, BOUND, RATE_100) == Spread(4, 4, 4)
    assert ratios.spread(samples + later, BARE, RATE_100) == Spread(92.5, 45, 140)


def test_what_was_measured_once_stands_beside_every_round() -> None:
    """1,000 and 3,000 in two rounds, each over the 10 of the repeat; rounds alone do not meet."""
    p50s = [
        Sample(1, BOUND, P50, value, count=10, seconds=0.5, round=number)
        for number, value in ((1, 1000.0), (2, 3000.0))
    ]
    once = Sample(1, BOUND, ENCODE, 10.0, count=10, seconds=0.5)
    cells = [(BOUND, P50), (BOUND, ENCODE)]

    found = ratios.derived([*p50s, once], cells, lambda one, two: one / two)

    assert found == Spread(200, 200, 200)
    apart = [p50s[0], replace(once, round=2)]
    with pytest.raises(BenchmarkError, match="no samples"):
        ratios.derived(apart, cells, lambda one, two: one / two)


def test_the_clock_of_a_steady_rate_starts_when_every_task_is_warm() -> None:
    """`begin` comes once, between the warm-up of all and the first call that counts."""
    log: list[str] = []
    open_calls = 0

    async def call(number: int) -> int:
        nonlocal open_calls
        open_calls += 1
        await asyncio.sleep(0)
        open_calls -= 1
        log.append("call")
        return number

    def begin() -> None:
        log.append(f"begin with {open_calls} under way")

    done = run(measure.steady(call, 5, measure.Budget(20, 0.05), begin))

    at = log.index("begin with 0 under way")
    assert at >= 5 * measure.WARM_CALLS
    assert len(log) - at - 1 == done.count
    assert 5 <= done.count <= 20


def test_the_lanes_keep_their_contexts_and_wait_between_turns() -> None:
    """Five tasks make the calls of both turns, at least two each, and none without a turn."""
    callers: list[asyncio.Task[None] | None] = []

    async def call(number: int) -> int:
        callers.append(asyncio.current_task())
        await asyncio.sleep(0)
        return number

    async def work() -> list[int]:
        budget, warm = measure.Budget(1000, 0.0), measure.Warm(1, 0.0)
        async with measure.Lanes(call, 5) as lanes:
            await asyncio.sleep(0)
            found = [len(callers)]
            for _ in range(2):
                found.append((await lanes.turn(budget, warm, least=2)).count)
                found.append(len(callers))
        return found

    assert run(work()) == [0, 10, 15, 10, 30]
    assert {callers.count(task) for task in callers} == {6}


def test_a_wrong_answer_ends_a_steady_run() -> None:
    """Nobody waits at the gate for a task that has failed."""

    async def call(number: int) -> int:
        return number + 1

    with pytest.raises(ExceptionGroup) as caught:
        run(measure.steady(call, 5, measure.Budget(20, 0.05)), timeout=5)
    assert caught.group_contains(measure.WrongAnswer)
