"""How often Redis is asked for each task: not once more at the submission, and once at the run."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import redis.asyncio.connection as connections
from docket import Docket, Worker

from tests.background.redis_server import RedisServer
from tests.background.routines import greet
from tests.background.running import finish, new_name, opened, run

TASKS = 20
KEYS = [f"counted-{number}" for number in range(TASKS)]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often something is sent about one of the tasks; a pipeline is sent at once.

    What a worker sends beside that, to look for work and to say that it lives, names no task.
    """
    counted: Counter[str] = Counter()
    send = connections.AbstractConnection.send_packed_command

    async def count(self: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
        data = command if isinstance(command, bytes) else b"".join(command)
        if b"counted-" in data:
            counted["sent"] += 1
        return await send(self, command, *args, **kwargs)

    monkeypatch.setattr(connections.AbstractConnection, "send_packed_command", count)
    return counted


def test_a_task_asks_redis_once_more_when_it_runs(
    shared_redis: RedisServer, sent: Counter[str]
) -> None:
    """Cost: than the engine alone does for the same tasks."""
    bare, ours = Counter[str](), Counter[str]()

    async def run_bare() -> None:
        async with Docket(new_name(), shared_redis.url) as docket:
            await docket.add(greet.local)("hello")
            sent.clear()
            for key in KEYS:
                await docket.add(greet.local, key=key)("hello")
            bare["submitting"] = sent.total()
            sent.clear()
            async with Worker(docket, concurrency=1) as worker:
                await worker.run_until_finished()
            bare["running"] = sent.total()

    async def run_ours() -> None:
        async with opened(shared_redis.url) as queue:
            await greet.submit("hello")
            sent.clear()
            for key in KEYS:
                await greet.on(key=key).submit("hello")
            ours["submitting"] = sent.total()
            sent.clear()
            await finish(queue, slots=1)
            ours["running"] = sent.total()

    run(run_bare())
    run(run_ours())
    assert {end: ours[end] - bare[end] for end in bare} == {"submitting": 0, "running": TASKS}
