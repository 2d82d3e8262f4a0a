"""The frame of a client program: one subject, one loop, all metrics, JSON lines on stdout.

A line that is ours starts with `PREFIX`; whatever else a system prints is left alone. Exit codes:
0 measured, 1 failed, with the reason in an `error` line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.benchmarks import turns
from tests.benchmarks.measure import Call, Items, Measurement, measured
from tests.benchmarks.plan import PREFIX
from tests.benchmarks.turns import Turn

from .common import loop_name, run_on


@dataclass(frozen=True, slots=True)
class Options:
    """What the runner asks of a client: see `plan.Settings`. No seconds: facts only, no metrics.

    `subject` is the `system` of the row, see `plan.Variant`.
    """

    subject: str
    workers: int
    loop: str
    seconds: float
    timeout: float


@dataclass(frozen=True, slots=True)
class System:
    """An open system: its routines as plain callables, and what its workers said.

    `workers` holds the (process id, loop name) of every answer that the routine `here` gave.
    """

    call: Call
    items: Items
    workers: Collection[tuple[int, str]]
    limits: str


Opener = Callable[[Options], AbstractAsyncContextManager[System]]


def client(opened: Opener) -> int:
    """Measure the system that `opened` opens; the exit code of the program."""
    return program(partial(_measure, opened))


def program(main: Callable[[Options], Coroutine[Any, Any, None]]) -> int:
    """Run `main` with the program's options, on their loop; the exit code of the program."""
    options = _options()
    try:
        run_on(options.loop, main(options))
    except Exception as error:
        _tell("error", reason=_reason(error))
        return 1
    return 0


def tell_facts(workers: Collection[tuple[int, str]], options: Options, limits: str) -> None:
    """Tell the loops; raises RuntimeError unless as many workers answered as were asked for."""
    if len(dict(workers)) != options.workers:
        found = sorted(dict(workers))
        raise RuntimeError(f"{options.workers} workers were asked for, {found} answered")
    loops = ", ".join(sorted({loop for _, loop in workers}))
    _tell("facts", client_loop=loop_name(), worker_loop=loops, limits=limits)


def tell_sample(metric: str, result: Measurement, value: float | None = None) -> None:
    """Tell one sample; `value` stands for that of the measurement where it has another unit."""
    _tell(
        "sample",
        metric=metric,
        value=result.value if value is None else value,
        count=result.count,
        seconds=result.seconds,
        raw=result.raw,
    )


def tell_ready() -> None:
    """Tell that turns may be given."""
    _tell("ready")


async def given() -> AsyncGenerator[Turn, None]:
    """The turns that the runner gives on stdin, but the end; after that there are none.

    Raises ValueError for a line that is no turn, and RuntimeError when stdin ends before the turns.
    """
    lines = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    try:
        while line := await lines.readline():
            turn = turns.parse(line.decode(errors="replace"))
            if turn.word == turns.END:
                return
            yield turn
    finally:
        transport.close()
    raise RuntimeError("the runner was gone before it told the end")


def _options() -> Options:
    parser = argparse.ArgumentParser(description="One client process of the benchmark.")
    parser.add_argument("--subject", required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--loop", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--timeout", type=float, required=True)
    return Options(**vars(parser.parse_args()))


async def _measure(opened: Opener, options: Options) -> None:
    async with asyncio.timeout(options.timeout), opened(options) as system:
        tell_facts(system.workers, options, system.limits)
        if not options.seconds:
            return
        async for metric, result in measured(system.call, system.items, options.seconds):
            tell_sample(metric, result)


def _tell(event: str, **fields: object) -> None:
    print(PREFIX + json.dumps({"event": event, **fields}), flush=True)


def _reason(error: BaseException) -> str:
    """The first real error inside of groups, on one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".replace("\n", " ")
