"""Workers that are killed or stopped, again and again, while calls of up to two seconds run.

Nothing is drawn: what a call takes, and who dies of what, follows from its number and the seed. A
file that every routine writes to when it begins is the witness of how often each call ran.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import catena
from tests.integration.pools import pooled

__all__ = ["kill"]

WORKERS = 4
IN_FLIGHT = 24
PERIOD = 1.0
"""Seconds from one kill to the next, or until the pool is whole again where that takes longer."""

UNRESPONSIVE = 1.0
"""Seconds after which the pool gives a stopped worker up."""

WHOLE = 2.0
"""Within so many seconds after a death, or after a worker was given up, as many should answer as
before."""

DEADLINE = 30.0
"""Seconds after which a call, or a pool that is not whole again, counts as hanging."""

WAYS = ("SIGKILL", "SIGSTOP", "SIGSEGV", "os._exit")


@catena.routine
async def work(number: int, seconds: float, witness: str) -> int:
    """Note that this call runs, take so long, and return its number."""
    fd = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{number}\n".encode())
    os.close(fd)
    await asyncio.sleep(seconds)
    return number


@catena.routine
async def leave() -> None:
    """End the worker."""
    os._exit(3)


@catena.routine
async def name_process() -> int:
    """Return which process answers."""
    await asyncio.sleep(0.01)
    return os.getpid()


@dataclass
class _Story:
    """What is met on the way: who was killed, and which workers have lost calls."""

    witness: str
    met: Counter[str] = field(default_factory=Counter[str])
    victims: list[str] = field(default_factory=list[str])
    hit: set[str] = field(default_factory=set[str])


def kill(count: int, seed: int, progress: Callable[[int], object] = lambda _: None) -> Counter[str]:
    """Make so many calls while a worker dies each second; return what was met.

    AssertionError when a call ran twice, was lost without having been sent, or hangs; and when the
    pool is not whole again in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        witness = Path(folder) / "witness"
        story = _Story(str(witness))

        async def run(pool: catena.WorkerPool) -> None:
            # Importing blocks a loop, which must not look like a worker that does not answer.
            await pool.broadcast(name_process)
            killing = asyncio.create_task(_kill_on(pool, seed, story))
            try:
                await _make_calls(count, seed, story, progress, killing)
            finally:
                killing.cancel()
                await asyncio.wait((killing,))

        seconds = 60 + count
        pooled(
            run, spawn=WORKERS, seconds=seconds, stop_timeout=1.0, unresponsive_after=UNRESPONSIVE
        )
        times = Counter(witness.read_text().split())
    assert max(times.values()) == 1, f"these ran more than once: {times.most_common(3)}"
    # The number of links says that nothing of the pool is left, dead workers included.
    left = catena.statistics()
    assert (left.calls, left.sessions, left.streams, left.links, left.transfers) == (0,) * 5
    story.met["kills that hit a call"] = sum(one in story.hit for one in story.victims)
    return story.met


async def _make_calls(
    count: int,
    seed: int,
    story: _Story,
    progress: Callable[[int], object],
    killing: asyncio.Task[None],
) -> None:
    """Make so many calls, a number of them at a time; stop when the killing has failed."""
    room = asyncio.Semaphore(IN_FLIGHT)
    calls: set[asyncio.Task[None]] = set()
    for number in range(count):
        await room.acquire()
        if killing.done():
            break
        seconds = (number * 37 + seed * 11) % 201 / 100
        call = asyncio.create_task(_call(number, seconds, story))
        call.add_done_callback(lambda _: room.release())
        calls.add(call)
        progress(number)
    for call in calls:
        await call
    if killing.done():
        await killing


async def _call(number: int, seconds: float, story: _Story) -> None:
    met = story.met
    try:
        async with asyncio.timeout(DEADLINE):
            assert await work(number, seconds, story.witness) == number
        met["calls answered"] += 1
    except catena.WorkerLost as lost:
        if lost.begun is False:
            raise AssertionError(f"call {number} found no worker") from lost
        met["calls lost"] += 1
        story.hit.add(lost.worker)
        words = ("SIG", "exit", "did not answer")
        met["calls lost with the exit in words"] += any(word in lost.cause for word in words)
    except TimeoutError:
        raise AssertionError(f"call {number} hangs") from None


async def _kill_on(pool: catena.WorkerPool, seed: int, story: _Story) -> None:
    """Let one worker die each second, and see that the pool is whole before the next one does."""
    loop, met = asyncio.get_running_loop(), story.met
    due = loop.time() + PERIOD
    for turn in range(seed, 1_000_000):
        await asyncio.sleep(max(0.0, due - loop.time()))
        due = loop.time() + PERIOD
        way = WAYS[turn % len(WAYS)]
        victim = await _kill_one(pool, way, turn)
        began = loop.time()
        try:
            async with asyncio.timeout(DEADLINE):
                await _await_whole(pool, victim)
        except TimeoutError:
            raise AssertionError(f"{victim} ({way}) was not replaced: {pool.pids}") from None
        met[f"killed by {way}"] += 1
        allowed = WHOLE + (UNRESPONSIVE if way == "SIGSTOP" else 0.0)
        met["whole again in two seconds"] += loop.time() - began <= allowed
        story.victims.append(victim)


async def _kill_one(pool: catena.WorkerPool, way: str, turn: int) -> str:
    """Let a worker die, and return its name."""
    if way == "os._exit":
        try:
            await leave()
        except catena.WorkerLost as lost:
            return lost.worker
    victim = pool.workers[turn % len(pool.workers)]
    os.kill(pool.pids[victim], signal.Signals[way])
    return victim


async def _await_whole(pool: catena.WorkerPool, victim: str) -> None:
    """Wait until as many workers answer as there should be, and the victim is none of them."""
    answered: set[int] = set()
    while victim in pool.workers or len(answered & {*pool.pids.values()}) < WORKERS:
        asked = [name_process() for _ in range(2 * WORKERS)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        answered.update(one for one in outcomes if isinstance(one, int))
