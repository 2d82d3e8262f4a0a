"""Many tasks with a secret each: every one finds its own, or none where it was submitted without.

Nothing is drawn: what a task is submitted with follows from its number. The worker's own Context is
not clean, as one is not in which an application's code has run before the tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docket.dependencies import Dependency

import catena
from catena.background import (
    BackgroundQueue,
    BackgroundWorker,
    Depends,
    TaskContextSnapshot,
    current_task,
)
from catena.background.mounting import RunningTask
from catena.context.chain import Chain
from tests.background.redis_server import serving

__all__ = ["count_tasks"]

SLOTS = 4
TOGETHER = 100
"""How many tasks run at the same time in the second part."""

NONE, LEFT = "none", "left by whoever ran here before"

secret: catena.ContextVar[str] = catena.ContextVar("secret", namespace="counting", default=NONE)

met: Counter[str] = Counter()
inside: list[str] = []


@dataclass
class Session:
    """What the dependency makes for each task: it has the secret of that task, and no other."""

    secret: str


class Unclean(Dependency[None]):
    """Leaves a value in the Context of the worker, from which all tasks are started."""

    async def __aenter__(self) -> None:
        """Provide nothing."""

    @classmethod
    @asynccontextmanager
    async def worker_lifecycle(cls, *_: Any) -> AsyncIterator[None]:
        """Set the variable where the worker runs."""
        secret.set(LEFT)
        yield


@asynccontextmanager
async def open_session() -> AsyncIterator[Session]:
    """One factory for all tasks; what it makes is a task's own."""
    session = Session(secret.get())
    yield session
    assert session.secret == secret.get(), "a session was left in the context of another task"
    met["sessions"] += 1


@catena.routine
async def check(
    expected: str, session: Session = Depends(open_session), unclean: None = Unclean()
) -> None:
    """Compare what this task finds with what it was submitted with, also after others have run."""
    assert unclean is None
    for _ in range(2):
        found = secret.get()
        assert found == expected, f"{found!r} is not {expected!r}"
        assert session.secret == expected
        task = current_task()
        assert task is not None
        assert await asyncio.create_task(read_elsewhere()) == (expected, task.key)
        secret.set("changed")
        await asyncio.sleep(0)
        secret.set(expected)
    met["with a secret" if expected != NONE else "without"] += 1


@catena.routine
async def meet(expected: str, session: Session = Depends(open_session)) -> None:
    """Wait until all others are inside as well, and compare then."""
    inside.append(expected)
    # No asyncio.timeout: the loop keeps its timer, and the Context with it, also when it is over.
    for _ in range(6000):
        if len(inside) == TOGETHER:
            break
        await asyncio.sleep(0.01)
    assert len(inside) == TOGETHER
    assert (secret.get(), session.secret) == (expected, expected)
    met["together"] += 1


async def read_elsewhere() -> tuple[str, str | None]:
    """Read in a task of its own."""
    task = current_task()
    return secret.get(), task and task.key


def count_tasks(
    count: int, seed: int, progress: Callable[[int], object] = lambda _: None
) -> Counter[str]:
    """Run so many tasks through four slots, and a hundred together; return what was met.

    Raises AssertionError where a task has found what is not its own, or something was left.
    """
    with tempfile.TemporaryDirectory(prefix="catena-count-") as folder, serving(Path(folder)) as up:
        # What is made once for a process is made by a first round.
        asyncio.run(_count(up.url, SLOTS, seed, lambda _: None))
        met.clear()
        before = _count_objects()
        asyncio.run(_count(up.url, count, seed, progress))
        after = _count_objects()
    assert after == before, f"left over: {after - before}"
    met["tasks"] = count
    return Counter(met)


async def _count(url: str, count: int, seed: int, progress: Callable[[int], object]) -> None:
    inside.clear()
    async with BackgroundQueue(url, name=f"counting-{count}", keep_results=3600) as queue:
        for done in range(0, count, 1000):
            many = min(1000, count - done)
            secrets = [_secret_of(number, seed) for number in range(done, done + many)]
            await _run_part(queue, str(done), SLOTS, secrets)
            progress(done + many)
            held = max(_count_objects().values())
            assert held <= _HELD_MOST, f"{held} objects of tasks are held by the worker's process"
        await _run_together(queue, [f"together {number}" for number in range(TOGETHER)])


def _secret_of(number: int, seed: int) -> str:
    """Return the secret of a task; one in seven is submitted without any."""
    return NONE if (number + seed) % 7 == 3 else f"secret {seed} {number}"


async def _run_part(queue: BackgroundQueue, part: str, slots: int, secrets: list[str]) -> None:
    """Submit a task for each secret, run all of them, and see that none has failed."""
    keys = [f"{part}-{number}" for number in range(len(secrets))]
    for key, expected in zip(keys, secrets, strict=True):
        await asyncio.create_task(_submit(expected, check.on(key=key)))
    await BackgroundWorker(queue, slots=slots, check_interval=0.005).run_until_finished()
    await _expect_done(queue, keys)


async def _run_together(queue: BackgroundQueue, secrets: list[str]) -> None:
    for number, expected in enumerate(secrets):
        await asyncio.create_task(_submit(expected, meet.on(key=f"together-{number}")))
    await BackgroundWorker(queue, slots=TOGETHER).run_until_finished()
    await _expect_done(queue, [f"together-{number}" for number in range(len(secrets))])


async def _submit(expected: str, route: Any) -> None:
    if expected != NONE:
        secret.set(expected)
    await route.submit(expected)


async def _expect_done(queue: BackgroundQueue, keys: list[str]) -> None:
    for key in keys:
        task = await queue.find(key)
        assert task is not None, f"task {key} is not known any more"
        # What the task has raised is raised here.
        await task.result(timeout=10)


def _count_objects() -> Counter[str]:
    """Return how many objects there are of the kinds that a task makes."""
    gc.collect()
    return Counter(
        {kind.__name__: sum(type(one) is kind for one in _list_objects()) for kind in _KINDS}
    )


def _list_objects() -> Iterator[object]:
    for one in gc.get_objects():
        with contextlib.suppress(ReferenceError):
            yield one


_HELD_MOST = 64
"""Timers that were cancelled keep the Contexts of the last few tasks for a while."""

_KINDS = (TaskContextSnapshot, RunningTask, Chain, Session, asyncio.Task)
