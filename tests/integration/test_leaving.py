"""Whatever ends a pool, nothing of it is left: no process, no socket, no directory."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from catena.pool.socket_dir import is_ours
from tests.integration.programs import Program, alive, until

SOURCE = """
    import asyncio, json, os, sys, time
    import catena

    @catena.routine
    async def rest():
        await asyncio.sleep(60)

    @catena.routine
    async def block():
        time.sleep(60)

    @catena.routine
    async def cling():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass

    @catena.routine
    async def pid():
        return os.getpid()

    async def main(busy, way):
        async with catena.WorkerPool(spawn=2) as pool:
            assert {await pid(), await pid()} == set(pool.pids.values())
            works = {"idle": [], "resting": [rest, rest], "hard": [block, cling]}[busy]
            calls = [asyncio.ensure_future(work()) for work in works]
            await asyncio.sleep(0.3)
            print(json.dumps(list(pool.pids.values())), flush=True)
            if way == "raise":
                raise LookupError("out of here")
            if way == "leave":
                return
            await asyncio.gather(asyncio.sleep(60), *calls)

    asyncio.run(main(BUSY, WAY))
"""

SIGNALS = {
    "ctrl-c": signal.SIGINT,
    "sigterm": signal.SIGTERM,
    "kill -9": signal.SIGKILL,
}
CODES = {"leave": 0, "raise": 1, "ctrl-c": -signal.SIGINT}


def program(busy: str, way: str, folder: Path) -> Program:
    """Start the script above with this work under way and this way out."""
    source = SOURCE.replace("BUSY", repr(busy)).replace("WAY", repr(way))
    return Program(source, folder)


@pytest.mark.parametrize(
    ("busy", "way"),
    [
        *(("idle", way) for way in ("leave", "raise", "ctrl-c", "sigterm", "kill -9")),
        *(("resting", way) for way in ("leave", "ctrl-c", "kill -9")),
        *(("hard", way) for way in ("leave", "ctrl-c", "kill -9")),
    ],
)
def test_nothing_is_left(scratch_home: Path, tmp_path: Path, busy: str, way: str) -> None:
    """Five seconds after the end no process, socket or directory is there.

    "hard" are a routine that blocks its worker's event loop and one that ignores cancellation.
    """
    with program(busy, way, tmp_path) as parent:
        workers = parent.facts()
        assert len(workers) == 2
        began = time.monotonic()
        if way in SIGNALS:
            os.kill(parent.process.pid, SIGNALS[way])

        left = 5 - (time.monotonic() - began)
        gone = until(lambda: not any(alive(pid) for pid in workers), left)
        swept = until(lambda: list(scratch_home.iterdir()) == [], 0.5)
        code = parent.ended(10)
        for pid in filter(alive, workers):
            os.kill(pid, signal.SIGKILL)
        assert gone, parent.errors()
        assert swept, list(scratch_home.rglob("*"))
        assert code == CODES.get(way, code), parent.errors()


@pytest.mark.parametrize("work", ["block", "cling"])
def test_ctrl_c_while_the_program_awaits_a_routine_that_will_not_end(
    scratch_home: Path, tmp_path: Path, work: str
) -> None:
    """Ctrl-C leaves nothing after five seconds, whatever the routine awaited does."""
    awaited = SOURCE.replace("await asyncio.gather(asyncio.sleep(60), *calls)", f"await {work}()")
    source = awaited.replace("BUSY", "'idle'").replace("WAY", "'wait'")
    with Program(source, tmp_path) as parent:
        workers = parent.facts()
        time.sleep(0.5)
        parent.process.send_signal(signal.SIGINT)
        assert until(lambda: not any(alive(pid) for pid in workers), 5)
        assert parent.ended(2) == -signal.SIGINT
    assert list(scratch_home.iterdir()) == []


def test_what_a_killed_group_left_is_swept_by_the_next_pool(
    scratch_home: Path, tmp_path: Path
) -> None:
    """When the whole group is killed, the next pool of the same user sweeps."""
    with program("idle", "wait", tmp_path) as parent:
        workers = parent.facts()
        for pid in (*workers, parent.process.pid):
            os.kill(pid, signal.SIGKILL)
        parent.ended(10)
    assert until(lambda: not any(alive(pid) for pid in workers), 5)
    (left,) = filter(is_ours, scratch_home.iterdir())
    assert any(path.is_socket() for path in left.iterdir())

    with program("idle", "leave", tmp_path) as parent:
        parent.facts()
        assert not left.exists()
        assert parent.ended() == 0
    assert list(scratch_home.iterdir()) == []


def test_a_living_pool_is_not_swept(scratch_home: Path, tmp_path: Path) -> None:
    """Only what dead ids left is swept; a pool that lives goes on."""
    other = tmp_path / "other"
    other.mkdir()
    with program("idle", "wait", tmp_path) as first:
        workers = first.facts()
        (home,) = filter(is_ours, scratch_home.iterdir())
        with program("idle", "leave", other) as second:
            second.facts()
            assert second.ended() == 0
        assert home.exists()
        assert all(alive(pid) for pid in workers)
        first.process.send_signal(signal.SIGINT)
        first.ended(10)
    assert list(scratch_home.iterdir()) == []


def test_the_block_is_left_in_well_under_a_second(scratch_home: Path, tmp_path: Path) -> None:
    """Idle workers are asked to end and do: no pool is left by waiting for a deadline."""
    source = """
        import asyncio, time
        import catena

        async def main():
            async with catena.WorkerPool(spawn=2, stop_timeout=20):
                began = time.monotonic()
            print(time.monotonic() - began)

        asyncio.run(main())
    """
    with Program(source, tmp_path) as parent:
        assert parent.facts() < 10
        assert parent.ended(10) == 0


def test_a_clean_run_says_nothing(scratch_home: Path, tmp_path: Path) -> None:
    """What Catena or gRPC have to say about an orderly end does not reach the user's terminal."""
    with program("idle", "leave", tmp_path) as parent:
        parent.facts()
        assert parent.ended(10) == 0
        assert parent.errors() == ""


def test_a_process_that_a_routine_started_does_not_keep_the_pool(
    scratch_home: Path, tmp_path: Path
) -> None:
    """A child of a worker that holds on to the worker's pipes does not make leaving wait."""
    source = """
        import asyncio, json, subprocess, sys
        import catena

        @catena.routine
        async def start():
            return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid

        async def main():
            async with catena.WorkerPool(spawn=1) as pool:
                print(json.dumps([await start(), *pool.pids.values()]), flush=True)

        asyncio.run(main())
    """
    with Program(source, tmp_path) as parent:
        child, worker = parent.facts()
        try:
            assert parent.ended(10) == 0
            assert not alive(worker)
            assert list(scratch_home.iterdir()) == []
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
