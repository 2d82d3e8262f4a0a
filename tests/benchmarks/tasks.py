"""What a background task costs beside one of the engine: ``python -m tests.benchmarks.tasks``.

Both submit the same empty tasks to one Redis and run them in the same process, in turns, a pair
after the other; only ratios within a pair count.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from docket import Docket, Worker

from catena.background import BackgroundQueue, BackgroundWorker
from tests.background.redis_server import serving
from tests.background.routines import rest, user

PAIRS = 9
TASKS = 500
SLOTS = 40
INTERVAL = 0.005


class Cost(NamedTuple):
    """Seconds for a task: of the clock at its submission and at its run, and of this process."""

    submit: float
    run: float
    cpu: float


async def work() -> None:
    """Do nothing, as a function of the engine's own."""


async def time_bare(url: str, name: str) -> Cost:
    """Return what a task costs with the engine alone."""
    async with Docket(name, url, execution_ttl=timedelta(seconds=900)) as docket:
        docket.register(work)

        async def run() -> None:
            async with Worker(
                docket, concurrency=SLOTS, minimum_check_interval=timedelta(seconds=INTERVAL)
            ) as worker:
                await worker.run_until_finished()

        async def submit() -> None:
            # Each with a key of its own, which ``add`` draws.
            await docket.add(work)()

        return await _time(submit, run)


async def time_ours(url: str, name: str) -> Cost:
    """Return what a task costs with its context."""
    user.set("ada")
    async with BackgroundQueue(url, name=name) as queue:
        worker = BackgroundWorker(queue, slots=SLOTS, check_interval=INTERVAL)
        return await _time(rest.submit, worker.run_until_finished)


async def _time(
    submit: Callable[[], Awaitable[object]], run: Callable[[], Awaitable[None]]
) -> Cost:
    cpu, began = time.process_time(), time.perf_counter()
    for _ in range(TASKS):
        await submit()
    submitted = time.perf_counter()
    await run()
    ended = time.perf_counter()
    spent = (submitted - began, ended - submitted, time.process_time() - cpu)
    return Cost(*(one / TASKS for one in spent))


def main() -> None:
    """Measure, and print the quartiles of the ratios and the medians in microseconds."""
    with tempfile.TemporaryDirectory(prefix="catena-bench-") as folder, serving(Path(folder)) as up:
        pairs: list[tuple[Cost, Cost]] = []
        for at in range(PAIRS + 1):
            kinds = (time_bare, time_ours) if at % 2 else (time_ours, time_bare)
            found = {kind: asyncio.run(kind(up.url, f"{kind.__name__}-{at}")) for kind in kinds}
            pairs.append((found[time_bare], found[time_ours]))
    # The first pair warms up.
    for what, pick in (
        ("task in all", lambda cost: cost.submit + cost.run),
        *((name, lambda cost, name=name: getattr(cost, name)) for name in Cost._fields),
    ):
        _print_ratio(what, [(pick(bare), pick(ours)) for bare, ours in pairs[1:]])


def _print_ratio(what: str, pairs: list[tuple[float, float]]) -> None:
    low, median, high = statistics.quantiles([ours / bare for bare, ours in pairs], n=4)
    bare, ours = (statistics.median(one) * 1e6 for one in zip(*pairs, strict=True))
    print(f"{what}: {median:.2f} ({low:.2f}-{high:.2f}); {bare:.0f} and {ours:.0f} us")


if __name__ == "__main__":
    main()
