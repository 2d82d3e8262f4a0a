"""The client program of the engines: each at its best use, measured in the same way.

An engine is opened by the module `engine_` with its name, in the environment of that engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from tests.benchmarks.measure import (
    MOST,
    Budget,
    Call,
    Measurement,
    one_by_one,
    same,
    steady,
)
from tests.benchmarks.plan import ENGINE_METRICS, MEGABYTE, MIXED, P50, RATE_100

from .client import Options, program, tell_facts, tell_sample

WARM_UP: Final = Budget(100, 0.3)
PAYLOAD: Final = bytes(range(256)) * 4096
# Of each eight jobs every other one is long. Whoever binds a job to a worker at once, in turns, has
# all the long ones on one of two workers.
LONG: Final = 0.1
SHORT: Final = 0.005
JOBS: Final = (LONG, SHORT) * 4


@dataclass(frozen=True, slots=True)
class Engine:
    """An open engine: how it echoes a value and burns seconds, and what its workers said.

    `workers` holds the (process id, loop name) of every answer that `here` gave.
    """

    echo: Callable[[Any], Awaitable[Any]]
    burn: Callable[[float], Awaitable[Any]]
    workers: Collection[tuple[int, str]]
    limits: str


Opener = Callable[[Options], AbstractAsyncContextManager[Engine]]


async def measure(options: Options) -> None:
    """Measure the engine that is the subject, one metric after the other."""
    opened: Opener = import_module(f".engine_{options.subject}", __package__).opened
    async with asyncio.timeout(options.timeout), opened(options) as engine:
        tell_facts(engine.workers, options, engine.limits)
        if not options.seconds:
            return
        for metric in ENGINE_METRICS:
            for budget in (WARM_UP, Budget(MOST[P50], options.seconds)):
                # Far beyond what a working engine needs: time is no pass or fail.
                async with asyncio.timeout(30 + 2 * budget.seconds):
                    result = await _measure_metric(metric, engine, budget)
            tell_sample(metric, result)


async def _measure_metric(metric: str, engine: Engine, budget: Budget) -> Measurement:
    if metric == RATE_100:
        return await steady(engine.echo, 100, Budget(MOST[RATE_100], budget.seconds))
    calls: dict[str, Call] = {
        P50: engine.echo,
        MEGABYTE: lambda number: _send_megabyte(engine, number),
        MIXED: lambda number: _run_mixed(engine, number),
    }
    return await one_by_one(calls[metric], budget)


async def _send_megabyte(engine: Engine, number: int) -> int:
    same(await engine.echo(PAYLOAD), PAYLOAD)
    return number


async def _run_mixed(engine: Engine, number: int) -> int:
    await asyncio.gather(*(engine.burn(seconds) for seconds in JOBS))
    return number


if __name__ == "__main__":
    raise SystemExit(program(measure))
