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
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import catena
from catena.events import WorkerReplaced
from catena.standing import worker_id
from catena.testing import Recording, recording
from tests.integration.pools import pooled

__all__ = ["kill"]

WORKERS = 4
IN_FLIGHT = 24
PERIOD = 1.0
"""Seconds from one kill to the next."""

UNRESPONSIVE = 1.0
"""Seconds after which the pool gives a stopped worker up."""

WHOLE = 2.0
"""Within so many seconds after a death, or after a worker was given up, another one should answer
in its place."""

DEADLINE = 30.0
"""Seconds after which a call, or a worker that is not replaced, counts as hanging."""

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
async def name_worker() -> str:
    """Return which worker answers."""
    await asyncio.sleep(0.01)
    return worker_id()


@dataclass
class _Story:
    """What is met on the way: who was killed, who has lost calls, and who has answered."""

    witness: str
    met: Counter[str] = field(default_factory=Counter[str])
    victims: list[str] = field(default_factory=list[str])
    hit: set[str] = field(default_factory=set[str])
    answered: set[str] = field(default_factory=set[str])


def kill(count: int, seed: int, progress: Callable[[int], object] = lambda _: None) -> Counter[str]:
    """Make so many calls while a worker dies each second; return what was met.

    AssertionError when a call ran twice, was lost without having been sent, or hangs; and when a
    worker is not replaced.
    """
    with tempfile.TemporaryDirectory() as folder:
        witness = Path(folder) / "witness"
        story = _Story(str(witness))

        async def run(pool: catena.WorkerPool) -> None:
            # Importing blocks a loop, which must not look like a worker that does not answer.
            await pool.broadcast(name_worker)
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
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if outcome is not None:
            raise outcome
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
    """Let one worker die each second, and see that others answer in the places of all."""
    loop = asyncio.get_running_loop()
    asking = [asyncio.create_task(_ask_on(story)) for _ in range(2 * WORKERS)]
    replacing: set[asyncio.Task[None]] = set()
    due = loop.time() + PERIOD
    try:
        with recording(WorkerReplaced) as recorded:
            for turn in range(seed, 1_000_000):
                await asyncio.sleep(max(0.0, due - loop.time()))
                due += PERIOD
                way = WAYS[turn % len(WAYS)]
                victim = await _kill_one(pool, way, turn)
                story.victims.append(victim)
                replaced = _await_replacement(recorded, victim, way, story)
                replacing.add(asyncio.create_task(replaced))
                for ended in [one for one in replacing if one.done()]:
                    replacing.remove(ended)
                    await ended
    finally:
        for task in (*asking, *replacing):
            task.cancel()
        await asyncio.wait((*asking, *replacing))


async def _ask_on(story: _Story) -> None:
    """Ask all the time who answers."""
    while True:
        with suppress(catena.WorkerLost):
            story.answered.add(await name_worker())
        await asyncio.sleep(0.02)


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


async def _await_replacement(recorded: Recording, victim: str, way: str, story: _Story) -> None:
    """Wait until another worker answers in the place of a victim, or has died there itself."""
    loop, met = asyncio.get_running_loop(), story.met
    began = loop.time()
    try:
        async with asyncio.timeout(DEADLINE):
            while not _is_replaced(recorded, victim, story):
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{victim} ({way}) was not replaced") from None
    met[f"killed by {way}"] += 1
    allowed = WHOLE + (UNRESPONSIVE if way == "SIGSTOP" else 0.0)
    met["replaced in two seconds"] += loop.time() - began <= allowed


def _is_replaced(recorded: Recording, victim: str, story: _Story) -> bool:
    """Say whether whoever took the place of a victim has answered, or was killed before that."""
    places = {one.worker: one.replacement for one in recorded.of(WorkerReplaced)}
    return places.get(victim) in story.answered or places.get(victim) in story.victims
