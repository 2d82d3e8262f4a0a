"""The client program of the telemetry section: one worker, every mode, forth and back.

All modes share the two processes and take turns, so a drift of the machine meets all of them alike.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from statistics import median
from time import perf_counter_ns
from typing import Final

from opentelemetry.trace import use_span

import catena
from catena.events import Dispatch
from tests.benchmarks import plan
from tests.benchmarks.measure import Budget, Measurement, one_by_one, steady
from tests.benchmarks.plan import AT_FULL, MODES, NOT_SAMPLED, SILENT, WITHIN

from . import telemetry_routines as routines
from .client import Options, program, tell_facts, tell_sample
from .common import MARK
from .guards import counted, total
from .telemetry_sdk import outer

IN_FLIGHT: Final = 100
# No count ends a pass, only the time does.
MOST: Final = 1_000_000
FORTH_AND_BACK: Final = (MODES, MODES[::-1])
# One call in flight needs no long pass, so all modes come by more often; but the shorter a pass is,
# the more of its CPU time is the export that ends it.
PASSES_1: Final = 2 * FORTH_AND_BACK
PASSES_100: Final = FORTH_AND_BACK
# What is looked for is a part of a part of a call, so each mode takes more time than others' do.
TIMES: Final = 2
WARM: Final = Budget(200, 0.1)
WARM_1: Final = Budget(100, 0.05)
COUNTED_CALLS: Final = 200
GUARD_ROUNDS: Final = 200
GUARDS_PER_ROUND: Final = 1_000


@dataclass
class Taken:
    """What one mode took, over all passes: latencies in ns, calls, wall and CPU seconds."""

    latencies: list[int] = field(default_factory=list[int])
    cpu_1: float = 0.0
    calls_100: int = 0
    wall_100: float = 0.0
    cpu_100: float = 0.0


async def measure(options: Options) -> None:
    """All metrics of the section."""
    async with (
        asyncio.timeout(options.timeout),
        catena.WorkerPool(spawn=options.workers, loop=options.loop),
    ):
        routines.mark.set(MARK)
        workers = {await routines.here() for _ in range(4)}
        tell_facts(workers, options, "spans are serialised and dropped")
        if not options.seconds:
            return
        spans = await _learn()
        taken = {mode: Taken() for mode in MODES}
        for passes, work in ((PASSES_1, _alone), (PASSES_100, _many)):
            for mode in chain.from_iterable(passes):
                await _switch(mode)
                needed = sum(spans[mode in (AT_FULL, plan.HAND_FULL)])
                recorded = 0 if mode in (SILENT, *NOT_SAMPLED) else needed
                with use_span(outer()) if mode == WITHIN else nullcontext():
                    await work(taken[mode], TIMES * options.seconds / len(passes), recorded)
        await _switch(SILENT)
        for mode in MODES:
            _tell(mode, taken[mode])
        await _tell_guards()
        for metric, number in zip((plan.SPANS_DISPATCH, plan.SPANS_FULL), spans, strict=True):
            tell_sample(metric, Measurement(1, 0.0), float(sum(number)))


async def call(number: int) -> int:
    """One call; by hand the spans that a caller's side of it has."""
    if (hand := routines.sdk().hand) is not None:
        hand()
    return await routines.echo(number)


async def _switch(mode: str) -> None:
    await routines.switch(mode)
    routines.sdk().switch(mode)


async def _learn() -> tuple[tuple[int, int], tuple[int, int]]:
    """Let both sides take a call as the model; its spans here and there, at dispatch and full."""
    await _switch(AT_FULL)
    await one_by_one(call, WARM)
    here = routines.sdk()
    here.learn("echo")
    there = await routines.learn("echo")
    return (len(here.of(full=False)), there[0]), (len(here.of(full=True)), there[1])


async def _spent() -> tuple[float, int]:
    """CPU seconds of both processes, and the spans that they exported."""
    there = await routines.spent_there()
    here = routines.spent()
    return here[0] + there[0], here[1] + there[1]


async def _alone(taken: Taken, seconds: float, spans: int) -> None:
    """A pass of one mode with one call in flight.

    Raises RuntimeError when fewer spans were exported than were made.
    """
    await one_by_one(call, WARM_1)
    start = await _spent()
    alone = await one_by_one(call, Budget(MOST, seconds))
    end = await _spent()
    taken.latencies += alone.raw
    taken.cpu_1 += end[0] - start[0]
    complete(end[1] - start[1], alone.count * spans)


async def _many(taken: Taken, seconds: float, spans: int) -> None:
    """A pass of one mode with 100 calls in flight. Raises as `_alone` does."""
    starts: list[tuple[float, int]] = []

    async def begin() -> None:
        starts.append(await _spent())

    many = await steady(call, IN_FLIGHT, Budget(MOST, seconds), begin)
    end = await _spent()
    taken.calls_100 += many.count
    taken.wall_100 += many.seconds
    taken.cpu_100 += end[0] - starts[0][0]
    complete(end[1] - starts[0][1], many.count * spans)


def complete(exported: int, made: int) -> None:
    if exported < made:
        raise RuntimeError(f"{made} spans were made, {exported} were exported")


def _tell(mode: str, taken: Taken) -> None:
    alone = Measurement(len(taken.latencies), sum(taken.latencies) / 1e9, tuple(taken.latencies))
    many = Measurement(taken.calls_100, taken.wall_100)
    tell_sample(f"{mode}, {plan.P50}", alone, median(taken.latencies) / 1000)
    bare = Measurement(alone.count, alone.seconds)
    tell_sample(f"{mode}, {plan.CPU_1}", bare, taken.cpu_1 * 1e6 / alone.count)
    tell_sample(f"{mode}, {plan.WALL_100}", many, taken.wall_100 * 1e6 / many.count)
    tell_sample(f"{mode}, {plan.CPU_100}", many, taken.cpu_100 * 1e6 / many.count)


async def _tell_guards() -> None:
    """How many guard tests a call has on both sides, and what one takes."""
    await routines.count_guards()
    with counted() as counts:
        done = await one_by_one(call, Budget(COUNTED_CALLS, 5.0))
        here = total(counts)
    there = await routines.guards()
    tell_sample(plan.GUARDS, done, (here + there) / done.count)
    rounds = [_guard_round() for _ in range(GUARD_ROUNDS)]
    found = Measurement(GUARD_ROUNDS * GUARDS_PER_ROUND, 0.0)
    tell_sample(plan.GUARD, found, median(rounds) / GUARDS_PER_ROUND)


def _guard_round() -> int:
    """So many guard tests, less the loop around them, in ns."""
    rounds = [None] * GUARDS_PER_ROUND
    before = perf_counter_ns()
    for _ in rounds:
        if Dispatch.listeners:
            raise RuntimeError("somebody listens")
    between = perf_counter_ns()
    for _ in rounds:
        pass
    return 2 * between - before - perf_counter_ns()


if __name__ == "__main__":
    raise SystemExit(program(measure))
