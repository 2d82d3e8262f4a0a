"""What fails, and how: the store is down, a worker is killed, a snapshot is not as it should be.

Never does a task get the context of another one.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.background import BackgroundQueue, TaskContextSnapshot
from catena.events import SnapshotRefused
from catena.testing import recording
from tests.background.redis_server import RedisServer
from tests.background.routines import greet, repeat, seen, user
from tests.background.running import finish, new_name, opened, run, submit_as
from tests.background.test_snapshot import GOLDEN, OTHER, SECRET, changed

FAILING = ("stale", "legacy", "newer", "unauthenticated", "undecryptable", "unreadable")


@contextmanager
def refusals() -> Iterator[list[tuple[str, bool]]]:
    """The faults that are announced meanwhile, and whether each is tolerated."""
    found: list[tuple[str, bool]] = []
    with recording(SnapshotRefused) as record:
        yield found
        found += [(one.fault, one.tolerated) for one in record.of(SnapshotRefused)]


async def stored(queue: BackgroundQueue) -> str:
    """The key of Redis under which the only snapshot is."""
    async with queue.docket.redis() as redis:
        keys = await redis.keys(queue.docket.key("snapshot:*"))
        assert len(keys) == 1
        return keys[0].decode()


async def tamper(queue: BackgroundQueue, fault: str) -> None:
    """Make of the only snapshot what somebody else may put there."""
    place = await stored(queue)
    async with queue.docket.redis() as redis:
        text = (await redis.get(place)).decode()
        others = contextvars.Context().run(_capture_other)
        made = {
            "missing": "",
            "stale": others.to_json(key=SECRET),
            "legacy": (GOLDEN / "schema-0.json").read_text(),
            "newer": (GOLDEN / "schema-2.json").read_text(),
            "unauthenticated": changed(text, producer="9.9.9"),
            "undecryptable": _seal_wrongly(text),
            "unreadable": "no json",
        }[fault]
        await redis.delete(place)
        if made:
            await redis.set(place, made)


def _capture_other() -> TaskContextSnapshot:
    user.set("mallory")
    return TaskContextSnapshot.capture("another", "f")


def _seal_wrongly(text: str) -> str:
    """Return a text with a valid MAC whose sealed part was made under another secret."""
    from catena.background.sealing import Secrets

    body = json.loads(text)
    other = contextvars.Context().run(_capture_other)
    body["sealed"] = json.loads(other.to_json(key=OTHER, encrypt=True))["sealed"]
    body.pop("mac"), body.pop("manifest", None)
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**body, "mac": Secrets(SECRET).sign(canonical)})


@pytest.mark.parametrize("fault", ["missing", *FAILING])
def test_a_task_whose_snapshot_cannot_be_used_fails(fault: str, url: str) -> None:
    """B6: each has its own word in the event, and the task's own code does not begin."""

    async def work() -> None:
        async with opened(url, secret=SECRET) as queue:
            task = await submit_as("ada", lambda: greet.submit("hello"))
            await tamper(queue, fault)
            with refusals() as found:
                await finish(queue)
            assert found == [(fault, False)]
            with pytest.raises(catena.SnapshotError) as caught:
                await task.result(timeout=10)
            assert (caught.value.fault, caught.value.task) == (fault, task.key)

    run(work())
    assert seen == []


@pytest.mark.parametrize("fault", ["missing", "stale", "legacy"])
def test_some_faults_may_be_tolerated(fault: str, url: str) -> None:
    """B6: the task runs then, and finds no context at all, least of all another task's."""

    async def work() -> None:
        async with opened(url, secret=SECRET, tolerate=("missing", "stale", "legacy")) as queue:
            await submit_as("ada", lambda: greet.submit("hello"))
            await tamper(queue, fault)
            with refusals() as found:
                await finish(queue)
            assert found == [(fault, True)]

    run(work())
    assert seen == [("nobody", "hello")]


def test_a_task_of_a_submitter_without_the_feature_runs(url: str) -> None:
    """B6: it has no mark, which is announced, and the task runs without context by default."""

    async def work() -> None:
        async with opened(url) as queue:
            name = queue.know_routine(greet.__catena_routine__).name  # type: ignore[attr-defined]
            await queue.docket.add(name)("hello")
            with refusals() as found:
                await finish(queue)
            assert found == [("unmarked", True)]

    run(work())
    assert seen == [("nobody", "hello")]


def test_it_may_be_made_to_fail(url: str) -> None:
    """B6: where every submitter is known to store snapshots."""

    async def work() -> None:
        async with opened(url, tolerate=()) as queue:
            name = queue.know_routine(greet.__catena_routine__).name  # type: ignore[attr-defined]
            await queue.docket.add(name)("hello")
            with refusals() as found:
                await finish(queue)
            assert found == [("unmarked", False)]

    run(work())
    assert seen == []


def test_a_key_that_somebody_else_uses_again_has_no_context(url: str) -> None:
    """B3: a task that was added without Catena gets nothing of the one that had its key."""

    async def work() -> None:
        async with opened(url) as queue:
            await submit_as("ada", lambda: repeat.on(key="k").submit(2))
            await finish(queue)
            name = queue.know_routine(repeat.__catena_routine__).name  # type: ignore[attr-defined]
            await queue.docket.add(name, key="k")(1)
            await finish(queue)

    run(work())
    assert seen == [("ada", 2), ("ada", 1), ("nobody", 1)]


def test_a_snapshot_outlives_the_time_until_its_task_is_due(url: str) -> None:
    """Item 2: its lifetime counts from when the task is due, and anew from each run."""

    async def work() -> None:
        from datetime import timedelta

        async with opened(url, lifetime=100) as queue:
            task = await greet.on(when=timedelta(seconds=1000)).submit("hello")
            place = await stored(queue)
            async with queue.docket.redis() as redis:
                assert 1090 <= await redis.ttl(place) <= 1101
            await task.cancel()

            await repeat.on(key="k").submit(1)
            async with queue.docket.redis() as redis:
                (mine,) = await redis.keys(queue.docket.key("snapshot:k:*"))
                await redis.expire(mine, 20)
            await finish(queue)
            async with queue.docket.redis() as redis:
                assert 90 <= await redis.ttl(mine) <= 101

    run(work())


def test_the_store_is_down_at_the_submission(own_redis: RedisServer) -> None:
    """B6: the submitter hears of it, and nothing is added."""

    async def work() -> None:
        async with opened(own_redis.url):
            own_redis.stop()
            with pytest.raises(catena.QueueUnreachable, match="could not add a task"):
                await greet.submit("hello")
            own_redis.start()
            assert (await greet.submit("hello")).is_new

    run(work())


def test_a_store_that_does_not_answer(own_redis: RedisServer, monkeypatch: Any) -> None:
    """The wait has a limit."""
    monkeypatch.setattr("catena.background.store.ANSWER_SECONDS", 0.3)

    async def work() -> None:
        async with opened(own_redis.url) as queue:
            own_redis.send_signal(signal.SIGSTOP)
            try:
                with pytest.raises(catena.QueueUnreachable):
                    await greet.submit("hello")
            finally:
                own_redis.send_signal(signal.SIGCONT)
            assert queue.is_open

    run(work())


def test_a_queue_that_cannot_be_reached_is_not_opened(tmp_path: Path) -> None:
    """Item 1: whoever opens it hears of it, or whoever submits first."""

    async def work() -> None:
        with pytest.raises(catena.QueueUnreachable):
            async with BackgroundQueue(f"unix://{tmp_path}/nobody", name=new_name()):
                await greet.submit("hello")

    run(work())


def test_the_store_is_down_at_the_mount(own_redis: RedisServer, monkeypatch: Any) -> None:
    """B6: the task's own code does not begin without its context."""

    async def work() -> None:
        async with opened(own_redis.url) as queue:
            task = await submit_as("ada", lambda: greet.submit("hello"))

            async def refuse(*_: Any) -> Any:
                raise catena.QueueUnreachable(
                    queue="q", doing="load a snapshot", cause="it is down"
                )

            monkeypatch.setattr(queue.store, "load_snapshot", refuse)
            await finish(queue)
            with pytest.raises(ExceptionGroup) as caught:
                await task.result(timeout=10)
            assert isinstance(caught.value.exceptions[0], catena.QueueUnreachable)

    run(work())
    assert seen == []


PROGRAM = """
import asyncio, os, sys
import catena

user = catena.ContextVar("user", namespace="NAME", default="nobody")

@catena.routine
async def note(path: str) -> str:
    with open(path, "a") as file:
        file.write(f"{os.getpid()} {user.get()}\\n")
    if len(open(path).readlines()) == 1:
        await asyncio.sleep(60)
    return user.get()
"""


@asynccontextmanager
async def worker_process(folder: Path, url: str, name: str, module: str) -> AsyncIterator[Any]:
    """A worker as `catena worker --background` runs it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "catena", "worker", "--background", url, "--queue", name),
        *("--import", module, "--redelivery-timeout", "1"),
        cwd=folder,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(30):
            said = b""
            while b"is ready" not in said:
                line = await process.stderr.readline()
                assert line, said.decode()
                said += line
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_in_processes_of_their_own(
    number: int, own_redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults: a worker is killed in a task, which runs again elsewhere, in the same context.

    One that is asked to stop ends when its tasks are finished.
    """
    module = f"killed_tasks_{number}"
    (tmp_path / f"{module}.py").write_text(PROGRAM.replace("NAME", module))
    monkeypatch.syspath_prepend(str(tmp_path))
    tasks: Any = importlib.import_module(module)
    notes, name = tmp_path / "notes", new_name()

    async def work() -> None:
        async with BackgroundQueue(own_redis.url, name=name):
            tasks.user.set("ada")
            async with worker_process(tmp_path, own_redis.url, name, module) as first:
                if number == signal.SIGTERM:
                    notes.write_text("0 before\n")
                task = await tasks.note.submit(str(notes))
                async with asyncio.timeout(20):
                    while not notes.exists() or str(first.pid) not in notes.read_text():
                        await asyncio.sleep(0.05)
                    first.send_signal(number)
                    if number == signal.SIGTERM:
                        assert await first.wait() == 0
                        assert await task.result(timeout=10) == "ada"
                        return
                    await first.wait()
            async with worker_process(tmp_path, own_redis.url, name, module) as second:
                assert await task.result(timeout=40) == "ada"
                ran = [line.split() for line in notes.read_text().splitlines()]
                assert ran == [[str(first.pid), "ada"], [str(second.pid), "ada"]]

    run(work())


def test_a_routine_that_the_worker_does_not_know(own_redis: RedisServer) -> None:
    """Item 1: the task fails and says what to do; the engine would drop it."""
    name = new_name()

    async def work() -> None:
        async with BackgroundQueue(own_redis.url, name=name):
            task = await greet.submit("hello")
        async with BackgroundQueue(own_redis.url, name=name) as other:
            await finish(other)
            found = await other.find(task.key)
            assert found is not None
            with pytest.raises(catena.TaskRefused, match="start it with --import"):
                await found.result(timeout=10)

    run(work())


def test_a_worker_without_the_feature_is_noticed(own_redis: RedisServer) -> None:
    """Rolling upgrade: it is announced, and the task runs there all the same, without context."""
    from docket import Docket, Worker

    from catena.events import WorkerWithoutContext

    name = new_name()
    seen.clear()

    async def work() -> None:
        async with Docket(name, own_redis.url) as docket:
            docket.register(greet.local, names=["tests.background.routines.greet"])
            async with Worker(docket, name="bare") as worker:
                running = asyncio.create_task(worker.run_forever())
                async with BackgroundQueue(own_redis.url, name=name) as queue:
                    with recording(WorkerWithoutContext) as record:
                        async with asyncio.timeout(20):
                            while not await docket.workers():
                                await asyncio.sleep(0.05)
                        task = await submit_as("ada", lambda: greet.submit("hello"))
                        assert await task.result(timeout=20) == "hello nobody"
                        async with asyncio.timeout(20):
                            while not record.of(WorkerWithoutContext):
                                await asyncio.sleep(0.05)
                    assert record.of(WorkerWithoutContext) == [
                        WorkerWithoutContext(queue.name, ("bare",))
                    ]
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    run(work())
