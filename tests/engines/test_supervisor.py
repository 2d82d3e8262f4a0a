"""The supervisor at an engine's end: real processes, and no engine."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import catena
from catena.dispatch.dispatcher import bind_way
from catena.engines.identity import PoolIdentity
from catena.engines.plan import WorkerPlan
from catena.engines.supervisor import Supervisor
from catena.ids import MemberRecord, new_id
from catena.proxy.balance import Proxy
from catena.wire.codec import MemberFacts
from tests.engines.left import NEEDS_PROC, read_command, until
from tests.pool.found_routines import identify, rest_a_while
from tests.support import isolated, run

SECONDS = 20


@pytest.fixture(scope="module")
def identity() -> Iterator[PoolIdentity]:
    """One authority for the workers of this file."""
    made = PoolIdentity("tested")
    yield made
    made.close()


@pytest.fixture
def supervise(identity: PoolIdentity) -> Iterator[Callable[..., Supervisor]]:
    """Return what makes supervisors, whose workers end with the test."""
    made: list[Supervisor] = []

    def make(**options: object) -> Supervisor:
        plan = WorkerPlan(id="w1", pool="tested", files=identity.issue_worker("w1"), **options)
        # As it arrives at an engine's end.
        made.append(Supervisor(pickle.loads(pickle.dumps(plan)), "127.0.0.1"))
        return made[-1]

    yield make
    for one in made:
        one.stop(0)


def is_running(pid: int) -> bool:
    """Say whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def folder_of(pid: int) -> Path:
    """Return the folder of credentials that a worker was given, by its command."""
    words = read_command(pid)
    return Path(words[words.index("--certs") + 1])


def way_to(record: MemberRecord, identity: PoolIdentity) -> Proxy:
    """Return a way to one worker."""
    facts = [MemberFacts(record.id, record.target, found=True)]
    return Proxy(new_id(), facts, "test", trust=identity.trust)


@isolated
def test_the_worker_takes_calls_from_the_caller_of_its_identity(
    supervise: Callable[..., Supervisor], identity: PoolIdentity
) -> None:
    """P8: the record says where it is, and the link shows that it is the one that was planned."""
    held = supervise(tags=frozenset({"gpu"}))

    async def main() -> None:
        record = held.start()
        assert record == held.record
        assert (record.id, record.name) == ("w1", "w1.tested.catena")
        assert record.tags == {"gpu"}
        proxy = way_to(record, identity)
        with bind_way(proxy):
            assert await identify() == held.pid
        await proxy.close()

    run(main())


@NEEDS_PROC
def test_its_credentials_are_for_this_user_alone(supervise: Callable[..., Supervisor]) -> None:
    """Trust: the folder is closed to others, the key to groups, and both are gone at the end."""
    held = supervise()
    held.start()
    folder = folder_of(held.pid)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" not in repr(held.plan)

    held.stop()

    assert not folder.exists()
    assert held.record is None


@NEEDS_PROC
def test_a_death_is_known_at_once(supervise: Callable[..., Supervisor]) -> None:
    """P12: with its cause in words; the folder is gone then."""
    held = supervise()
    held.start()
    folder = folder_of(held.pid)
    began = time.monotonic()

    os.kill(held.pid, signal.SIGKILL)

    assert "killed by SIGKILL" in held.wait_ended()
    assert time.monotonic() - began < 1
    assert not folder.exists()
    assert held.start().id == "w1"


def test_a_worker_that_is_kept_comes_back_until_it_is_stopped(
    supervise: Callable[..., Supervisor],
) -> None:
    """P12: each time at another port; none is reported while there is none."""
    held = supervise()
    reports: list[MemberRecord | None] = []
    keeping = threading.Thread(target=held.keep, args=(reports.append,))
    keeping.start()
    until(lambda: len(reports) == 1)
    os.kill(held.pid, signal.SIGKILL)
    until(lambda: len(reports) == 3)

    held.stop()
    keeping.join(SECONDS)

    assert not keeping.is_alive()
    first, gone, second, over = reports
    assert first is not None
    assert second is not None
    assert first.target != second.target
    assert (gone, over) == (None, None)


@NEEDS_PROC
@isolated
def test_stopping_lets_calls_finish(
    supervise: Callable[..., Supervisor], identity: PoolIdentity
) -> None:
    """P12: within their time; a call that takes longer ends with the worker."""

    async def main() -> None:
        for patience, finishes in ((10.0, True), (0.2, False)):
            held = supervise()
            proxy = way_to(held.start(), identity)
            pid = held.pid
            with bind_way(proxy):
                task = asyncio.ensure_future(rest_a_while(0.8 if finishes else 60))
                await asyncio.sleep(0.3)
                await asyncio.to_thread(held.stop, patience)
                assert not is_running(pid)
                if finishes:
                    assert await task == pid
                else:
                    with pytest.raises(catena.WorkerLost):
                        await task
            await proxy.close()

    run(main(), 30)


PROGRAM = """
import pickle, sys
from catena.engines.supervisor import Supervisor
held = Supervisor(pickle.load(sys.stdin.buffer), "127.0.0.1")
held.start()
print(held.pid, flush=True)
held.wait_ended()
"""


@NEEDS_PROC
@pytest.mark.parametrize("worker_too", [False, True])
def test_nothing_is_left_of_an_engine_that_was_killed(
    worker_too: bool, identity: PoolIdentity
) -> None:
    """The worker ends with the engine's process, and its folder with the worker."""
    plan = WorkerPlan(id="w1", pool="tested", files=identity.issue_worker("w1"))
    engine = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with engine:
        assert engine.stdin is not None
        assert engine.stdout is not None
        pickle.dump(plan, engine.stdin)
        engine.stdin.close()
        pid = int(engine.stdout.readline())
        folder = folder_of(pid)
        assert folder.is_dir()
        engine.kill()
        if worker_too:
            os.kill(pid, signal.SIGKILL)

    until(lambda: not is_running(pid))
    until(lambda: not folder.exists())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"imports": ("no_such_module",)}, "no_such_module"),
        ({"lifespan": "tests.pool.found_routines:identify"}, "asynchronous context manager"),
        ({"start_timeout": 0.01}, "it was not ready after 0.01 s"),
    ],
)
def test_why_it_does_not_start_is_said(
    options: dict[str, object], said: str, supervise: Callable[..., Supervisor]
) -> None:
    """P8: WorkerStartError has what the worker wrote, or how long was waited; nothing is left."""
    held = supervise(**options)

    with pytest.raises(catena.WorkerStartError, match=said) as raised:
        held.start()

    assert raised.value.worker == "w1"
    assert held.record is None
    assert held.pid == 0


def test_a_folder_that_is_there_is_used_as_it_is(tmp_path: Path, identity: PoolIdentity) -> None:
    """P8: the nodes' own credentials stay, and the pool's name is what the worker proves."""
    files = identity.issue_worker("")
    for name, content in (("ca", files.ca), ("cert", files.cert), ("key", files.key)):
        (tmp_path / f"{name}.pem").write_bytes(content)
        (tmp_path / f"{name}.pem").chmod(0o600)
    held = Supervisor(WorkerPlan(id="w1", pool="tested", certs=str(tmp_path)), "127.0.0.1")

    record = held.start()
    held.stop(0)

    assert (record.id, record.name) == ("w1", "tested.catena")
    assert (tmp_path / "key.pem").exists()


def test_it_is_started_once(supervise: Callable[..., Supervisor]) -> None:
    """Misuse: one supervisor holds one worker, and none after it was stopped."""
    held = supervise()
    held.start()
    with pytest.raises(RuntimeError, match="w1 runs already"):
        held.start()
    held.stop()

    with pytest.raises(catena.WorkerStartError, match="it was stopped"):
        held.start()
