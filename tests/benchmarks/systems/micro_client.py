"""The client program of the micro costs: a variable's operations beside the stdlib's.

In a task on the running loop, in an armed context, nobody listening. Each round runs every
operation with both variables, one after the other; whose turn comes first alternates.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from itertools import repeat
from statistics import median
from time import perf_counter_ns
from typing import Any, Final

import catena
from tests.benchmarks.measure import NANOSECONDS, Measurement
from tests.benchmarks.plan import OPERATIONS, OURS, THEIRS

from .client import Options, program, tell_facts, tell_sample

ROUNDS: Final = 1_000
PASSES: Final = 25
PER_PASS: Final = 8
OPERATIONS_PER_ROUND: Final = PASSES * PER_PASS
WARM_UP_ROUNDS: Final = 50

# Two values in turn: setting what is there already would be a case of its own.
ONE: Final = "one"
OTHER: Final = "other"

ours: catena.ContextVar[str] = catena.ContextVar("micro", namespace="benchmark")
theirs: contextvars.ContextVar[str] = contextvars.ContextVar("micro")


def get(variable: Any) -> None:
    """Read it, so often that the loop around it weighs little."""
    read = variable.get
    for _ in repeat(None, PASSES):
        read(), read(), read(), read(), read(), read(), read(), read()


def set_(variable: Any) -> None:
    """Set it, and drop the token."""
    write = variable.set
    for _ in repeat(None, PASSES):
        write(ONE), write(OTHER), write(ONE), write(OTHER)
        write(ONE), write(OTHER), write(ONE), write(OTHER)


def set_and_reset(variable: Any) -> None:
    """Set it, and set it back with the token."""
    write, undo = variable.set, variable.reset
    for _ in repeat(None, PASSES):
        undo(write(ONE)), undo(write(OTHER)), undo(write(ONE)), undo(write(OTHER))
        undo(write(ONE)), undo(write(OTHER)), undo(write(ONE)), undo(write(OTHER))


Work = Callable[[Any], None]
WORKS: Final[dict[str, Work]] = dict(zip(OPERATIONS, (get, set_, set_and_reset), strict=True))
SIDES: Final[dict[str, Any]] = {OURS: ours, THEIRS: theirs}


async def measure(options: Options) -> None:
    """All operations of both variables."""
    ours.set(ONE)
    theirs.set(ONE)
    tell_facts((), options, "no pool")
    if not options.seconds:
        return
    async with asyncio.timeout(options.timeout):
        await _rounds(options.seconds, WARM_UP_ROUNDS)
        raw = await _rounds(len(OPERATIONS) * options.seconds, ROUNDS)
    for (operation, side), rounds in raw.items():
        number = len(rounds) * OPERATIONS_PER_ROUND
        found = Measurement(number, sum(rounds) / NANOSECONDS, tuple(rounds))
        tell_sample(f"{operation}, {side}", found, median(rounds) / OPERATIONS_PER_ROUND)


async def _rounds(seconds: float, most: int) -> dict[tuple[str, str], list[int]]:
    """At most so many rounds: how long each took, in ns, by operation and side."""
    raw: dict[tuple[str, str], list[int]] = {
        (operation, side): [] for operation in OPERATIONS for side in (OURS, THEIRS)
    }
    end = perf_counter_ns() + int(seconds * NANOSECONDS)
    order = list(SIDES.items())
    for _ in range(most):
        for operation, work in WORKS.items():
            for side, variable in order:
                raw[operation, side].append(_round(work, variable))
        order.reverse()
        # The loop stays a running one, and the deadline can come true.
        await asyncio.sleep(0)
        if perf_counter_ns() >= end:
            break
    return raw


def _round(work: Work, variable: Any) -> int:
    before = perf_counter_ns()
    work(variable)
    return perf_counter_ns() - before


if __name__ == "__main__":
    raise SystemExit(program(measure))
