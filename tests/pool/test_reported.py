"""What a pool reports of its workers: one record for each happening, whoever configured logging."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import threading
from pathlib import Path

import pytest

import catena
from tests.integration import routines
from tests.integration.pools import pooled
from tests.integration.programs import Program

color: catena.ContextVar[str] = catena.ContextVar("reported.color", namespace="tests", default="-")


@catena.routine
async def contend() -> int:
    """Enter the chain from a second thread; return how often that was refused."""
    color.set("red")
    context, refused = contextvars.copy_context(), list[catena.ChainContention]()

    def enter() -> None:
        try:
            context.run(color.set, "blue")
        except catena.ChainContention as error:
            refused.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return len(refused)


DYING = """
    import asyncio, json, os
    import catena

    @catena.routine
    async def leave():
        os._exit(3)

    @catena.routine
    async def number():
        return 7

    async def main():
        async with catena.WorkerPool(1):
            try:
                await leave()
            except catena.WorkerLost as lost:
                print(json.dumps([lost.worker, await number()]))

    asyncio.run(main())
"""


@pytest.mark.parametrize("detail", ["full", "off"])
def test_a_dead_worker_is_on_standard_error_where_nobody_configured_logging(
    detail: str, tmp_path: Path
) -> None:
    """P12: one line, with default settings and with telemetry off."""
    with Program(DYING, tmp_path, env={"CATENA_TELEMETRY": detail}) as program:
        worker, number = program.facts()
        assert program.ended() == 0
        (line,) = program.errors().splitlines()

    assert number == 7
    assert line.startswith(f"worker {worker} (process ")
    words = "ended with exit code 3, as by os._exit; another one takes its place"
    assert line.endswith(f" is gone: {words}")


def exits(records: list[logging.LogRecord]) -> list[tuple[str, str]]:
    """Return the level and the end of the message of each record about the end of a worker."""
    return [
        (one.levelname, one.getMessage().partition(": ")[2])
        for one in records
        if vars(one).get("event.name") == "catena.worker.exited"
    ]


def test_what_the_pool_ends_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Levels: a worker that was drained, or that ends with its pool, is reported at INFO."""

    async def work(pool: catena.WorkerPool) -> None:
        await pool.drain(pool.workers[0])

    with caplog.at_level(logging.INFO, "catena"):
        pooled(work, spawn=1)

    assert exits(caplog.records) == [
        ("INFO", "ended when it had drained"),
        ("INFO", "ended when the pool closed"),
    ]


def test_a_worker_that_nobody_replaces_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Levels: the record says that the pool stays smaller, and no other one says the same."""

    async def work(pool: catena.WorkerPool) -> None:
        (first, second), pids = pool.workers, pool.pids
        os.kill(pids[first], signal.SIGKILL)
        while first in pool.workers:
            await asyncio.sleep(0.01)
        assert await routines.pid() == pids[second]
        said = [one for one in caplog.records if first in one.getMessage()]
        assert exits(said) == [
            ("WARNING", "killed by SIGKILL, perhaps out of memory; no other one takes its place")
        ]
        assert {one.levelname for one in said if one.levelno > logging.INFO} == {"WARNING"}
        assert len([one for one in said if one.levelno > logging.INFO]) == 1

    with caplog.at_level(logging.INFO, "catena"):
        pooled(work, restart="never")


def test_what_catena_logs_on_a_worker_reaches_the_parent(caplog: pytest.LogCaptureFixture) -> None:
    """With logging="parent" it counts as handled there; the parent's levels hold for it."""

    async def work(pool: catena.WorkerPool) -> None:
        assert await contend() == 1

    with caplog.at_level(logging.WARNING, "catena"):
        pooled(work, spawn=1, logging="parent")
    (said,) = [
        one for one in caplog.records if vars(one).get("event.name") == "catena.chain.contention"
    ]
    assert said.processName.startswith("worker ")
    assert "was refused" in said.getMessage()
