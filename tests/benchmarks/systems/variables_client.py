"""The client program of the variables' section: Catena with one kind of variables bound.

It lives at the same time as those of the other kinds, and takes turns with them (`turns.py`): one
call after the other, many calls, or what one encode and one decode of these very values costs. When
the turns have ended, its workers go, and a pass with workers of its own has its messages counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from itertools import count
from statistics import fmean, median
from time import perf_counter_ns
from typing import Any, Final, Self

import catena
from catena.pickling import pickler
from catena.wire import codec
from tests.benchmarks import plan
from tests.benchmarks.measure import (
    MOST,
    NANOSECONDS,
    WARM_CALLS,
    WARM_UP,
    Budget,
    Call,
    Lanes,
    Measurement,
    Warm,
    one_by_one,
    same,
    steady,
)
from tests.benchmarks.plan import KINDS, Kind
from tests.benchmarks.turns import ALONE, MANY, Turn

from . import variable_routines as routines
from .client import Options, given, program, tell_facts, tell_ready, tell_sample

IN_FLIGHT: Final = 100
COUNTED: Final = Budget(5 * IN_FLIGHT, 5.0)
# Before each slice: what a client had in the caches is gone when it was idle.
TOUCH: Final = Budget(20, 0.02)
# Calls of each of the 100 tasks in a slice, however slow they are.
LEAST: Final = 2
ROUNDS: Final = 500


async def measure(options: Options) -> None:
    """All metrics of one kind."""
    kind = next(kind for kind in KINDS if kind.name == options.subject)
    call = caller(kind)
    async with asyncio.timeout(options.timeout):
        async with _pool(options):
            workers = {await routines.here() for _ in range(4)}
            bind(kind)
            tell_facts(workers, options, "defaults")
            same(await call(0), 0)
            if not options.seconds:
                return
            await _turns(kind, call)
        await _counted(call, options)


def _pool(options: Options) -> catena.WorkerPool:
    return catena.WorkerPool(spawn=options.workers, loop=options.loop)


def bind(kind: Kind) -> None:
    """Set the variables of a kind; with none of them this process never sets any."""
    # Not strict: there are more variables than most kinds bind.
    for variable, value in zip(routines.variables, routines.values(kind), strict=False):
        variable.set(value)


def caller(kind: Kind) -> Call:
    """One checked call; when the kind is changing, after a set in the task that makes it.

    It counts its calls itself, so that no value is set twice, whoever calls.
    """
    serials = count()
    place = KINDS.index(kind)

    async def call(number: int) -> int:
        serial = next(serials)
        if kind.changing:
            variable = routines.variables[routines.changed_index(serial, kind.count)]
            variable.set(routines.changed_text(serial))
        same(await routines.echo(serial, place), serial)
        return number

    return call


async def _turns(kind: Kind, call: Call) -> None:
    """Warm up, then take each turn that is given; the tasks are the same in all of them."""
    await one_by_one(call, WARM_UP)
    async with Lanes(call, IN_FLIGHT) as lanes:
        await lanes.turn(Budget(IN_FLIGHT, 0.0), Warm(WARM_CALLS, WARM_UP.seconds))
        tell_ready()
        async with aclosing(given()) as turns:
            async for turn in turns:
                async with asyncio.timeout(20 + 2 * turn.seconds):
                    await _take(turn, kind, call, lanes)


async def _take(turn: Turn, kind: Kind, call: Call, lanes: Lanes) -> None:
    if turn.word == ALONE:
        await one_by_one(call, TOUCH)
        tell_sample(plan.P50, await one_by_one(call, Budget(MOST[plan.P50], turn.seconds)))
    elif turn.word == MANY:
        budget = Budget(MOST[plan.RATE_100], turn.seconds)
        warm = Warm(1, TOUCH.seconds)
        tell_sample(plan.RATE_100, await lanes.turn(budget, warm, least=LEAST))
    elif not kind.count:
        raise ValueError(f"{kind.words}: there are no values to encode")
    else:
        _encodings(kind, turn.seconds)


class Wire:
    """Counts, between enter and exit, the bytes of all messages that this process en/decodes."""

    def __init__(self) -> None:
        self.out = self.back = 0
        self._encode: Callable[..., bytes] = codec.encode_message
        self._decode: Callable[[bytes], Any] = codec.decode_message

    def __enter__(self) -> Self:
        codec.encode_message, codec.decode_message = self._counted_encode, self._counted_decode
        return self

    def __exit__(self, *_: object) -> None:
        codec.encode_message, codec.decode_message = self._encode, self._decode

    def clear(self) -> None:
        """Forget what was counted."""
        self.out = self.back = 0

    def _counted_encode(self, *what: Any) -> bytes:
        data = self._encode(*what)
        self.out += len(data)
        return data

    def _counted_decode(self, data: bytes) -> Any:
        self.back += len(data)
        return self._decode(data)


async def _counted(call: Call, options: Options) -> None:
    """The bytes per call, each way, with 100 calls in flight."""
    # The link looks the codec up when it is opened, so the counter is there before the pool.
    with Wire() as wire:
        async with asyncio.timeout(20), _pool(options):
            done = await steady(call, IN_FLIGHT, COUNTED, wire.clear)
            out, back = wire.out, wire.back
    if not (out and back):
        raise RuntimeError("no bytes were counted: the link does not use catena.wire.codec")
    tell_sample(plan.BYTES_OUT, done, out / done.count)
    tell_sample(plan.BYTES_BACK, done, back / done.count)


def _encodings(kind: Kind, seconds: float) -> None:
    """One encode and one decode of each value, in turn: µs per variable, and its bytes."""
    values = routines.values(kind)
    encoded = [pickler.dumps(value) for value in values]
    raw: tuple[list[int], list[int]] = ([], [])
    works: tuple[tuple[Callable[[Any], Any], list[Any]], ...] = (
        (pickler.dumps, values),
        (pickler.loads, encoded),
    )
    end = perf_counter_ns() + int(seconds * NANOSECONDS)
    while perf_counter_ns() < end and len(raw[0]) < ROUNDS:
        for work, rounds in zip(works, raw, strict=True):
            rounds.append(_round(*work))
    for metric, rounds in zip((plan.ENCODE, plan.DECODE), raw, strict=True):
        measured = Measurement(len(rounds) * kind.count, sum(rounds) / NANOSECONDS, tuple(rounds))
        tell_sample(metric, measured, median(rounds) / kind.count / 1000)
    tell_sample(plan.VALUE_BYTES, Measurement(kind.count, 0.0), fmean(map(len, encoded)))


def _round(work: Callable[[Any], Any], things: list[Any]) -> int:
    before = perf_counter_ns()
    for thing in things:
        work(thing)
    return perf_counter_ns() - before


if __name__ == "__main__":
    raise SystemExit(program(measure))
