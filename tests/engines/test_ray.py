"""Workers on Ray: a real cluster of two raylets on the loopback interface."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import catena
from catena import engines
from catena.security.authority import issue_pair, make_authority, write_pair
from catena.security.names import name_caller, name_worker
from tests.engines.calls import (
    await_absence,
    await_count,
    find_pids,
    nest_elsewhere,
    resize_while_calling,
)
from tests.engines.conftest import NODE
from tests.engines.left import Seen, find_parent, find_processes, list_children, read_command, until
from tests.engines.needed import needs
from tests.engines.round_trips import compare_round_trips
from tests.engines.routines import (
    color,
    count_up,
    do_nothing,
    identify,
    locate,
    rest,
)
from tests.support import isolated, run

pytestmark = [
    *needs("ray"),
    # Ray's own, for which this project does not answer.
    pytest.mark.filterwarnings("default"),
]

SECONDS = 60

Work = Callable[[catena.WorkerPool], Awaitable[None]]


def with_pool(work: Work, count: int = 2, **options: Any) -> None:
    """Run a test with a pool on Ray; no actor, no process and no folder may be left."""
    import ray

    seen = Seen("ray")

    async def main() -> None:
        async with catena.WorkerPool(launcher=engines.Ray(count, **options)) as pool:
            seen.look()
            await work(pool)
            seen.look()

    run(main(), SECONDS)
    assert len(seen.workers) >= count
    assert ray.util.list_named_actors(all_namespaces=True) == []
    seen.await_nothing()
    until(lambda: not find_processes("ray::Holder"))


@isolated
def test_workers_are_spread_and_take_calls(ray_cluster: Any) -> None:
    """P8: one on each node, over TLS; context there and back, streams, and nested calls."""

    async def work(pool: catena.WorkerPool) -> None:
        assert len(pool.workers) == 2
        places = await pool.broadcast(locate)
        assert len({raylet for _, raylet in places.values()}) == 2
        pids = await find_pids(2)
        assert len(pids) == 2
        color.set("red")
        assert await identify() in pids
        assert color.get() == "red, seen"
        color.set("blue")
        assert [one async for one in count_up(3)] == ["0 blue", "1 blue", "2 blue"]
        first, second = await nest_elsewhere()
        assert {first, second} == pids

    with_pool(work)


@isolated
@pytest.mark.parametrize("victim", ["worker", "actor"])
def test_who_is_killed_gets_no_calls_and_comes_back(
    victim: str, ray_cluster: Any, report_times: Callable[[str], None]
) -> None:
    """P12: at once, before Ray has said anything; the other worker serves meanwhile."""

    async def work(pool: catena.WorkerPool) -> None:
        lost = await identify()
        calls = asyncio.ensure_future(pool.broadcast(rest, 1.5))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        os.kill(lost if victim == "worker" else find_parent(lost), signal.SIGKILL)
        absent = await await_absence(lost) - began
        assert lost not in await find_pids(1)
        if victim == "worker":
            with pytest.raises(ExceptionGroup) as raised:
                await calls
            assert [type(one) for one in raised.value.exceptions] == [catena.WorkerLost]
        else:
            # It finishes the call that it has.
            assert lost in (await calls).values()
        await await_count(pool, 2)
        assert lost not in await find_pids(2)
        back = time.monotonic() - began
        report_times(
            f"Ray, {victim} killed: no more calls after {absent:.3f} s, replaced after {back:.1f} s"
        )

    with_pool(work)


@isolated
def test_a_node_is_lost_and_another_one_takes_its_worker(
    ray_cluster: Any, report_times: Callable[[str], None]
) -> None:
    """P12: the pool knows of it before Ray does; Ray places the worker anew."""
    import ray

    added = ray_cluster.add_node(**NODE, resources={"spot": 2})

    async def work(pool: catena.WorkerPool) -> None:
        async with catena.WorkerPool(
            launcher=engines.Ray(1, resources={"CPU": 1, "spot": 1})
        ) as spot:
            with spot.bound():
                lost = await identify()
                began = time.monotonic()
                raylet = added.all_processes["raylet"][0].process.pid
                for pid in (raylet, *list_children(raylet), lost):
                    os.kill(pid, signal.SIGKILL)
                await await_count(spot, 0)
                absent = time.monotonic() - began
                assert sum(node["Alive"] for node in ray.nodes()) == 3
                waiting = asyncio.ensure_future(identify())
                ray_cluster.remove_node(added, allow_graceful=False)
                # It has to be the main thread that adds one.
                ray_cluster.add_node(**NODE, resources={"spot": 2})
                found = await waiting
                assert found != lost
                back = time.monotonic() - began
                report_times(
                    f"Ray, node killed: no more calls after {absent:.3f} s, another one added,"
                    f" replaced after {back:.1f} s"
                )
        assert len(await find_pids(2)) == 2

    try:
        with_pool(work)
    finally:
        for node in [*ray_cluster.worker_nodes][1:]:
            ray_cluster.remove_node(node)


@isolated
def test_it_grows_and_shrinks_while_calls_run(ray_cluster: Any) -> None:
    """P8: no call fails; who has to go finishes the calls that it has."""

    async def work(pool: catena.WorkerPool) -> None:
        async def check(many: int) -> None:
            await await_count(pool, many)
            assert len(await find_pids(many)) == many

        await resize_while_calling(pool, (3, 1, 2), 1.0, check)

    with_pool(work, count=2)


@isolated
def test_the_loop_goes_on_while_ray_is_asked(ray_cluster: Any) -> None:
    """Ray blocks whoever asks it, and that is never the event loop."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - began)

    async def main() -> None:
        beating = asyncio.ensure_future(beat())
        async with catena.WorkerPool(launcher=engines.Ray(2)):
            await asyncio.sleep(0)
        beating.cancel()

    run(main(), SECONDS)
    assert longest < 0.5


@isolated
def test_a_pool_is_opened_again(ray_cluster: Any) -> None:
    """P10: with other workers, and certificates of another authority."""
    launcher = engines.Ray(1)

    async def main() -> None:
        pool = catena.WorkerPool(launcher=launcher)
        found = set()
        for _ in range(2):
            async with pool:
                assert launcher.trust is not None
                found.add((await identify(), launcher.trust.pool))
            assert launcher.trust is None
        assert len(found) == 2

    run(main(), SECONDS)


@isolated
def test_a_worker_that_cannot_start_is_reported(
    ray_cluster: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """P8: the log says why, and opening ends in its time; nothing stays."""
    seen = Seen("ray")

    async def main() -> None:
        launcher = engines.Ray(1, imports=["no_such_module"])
        with pytest.raises(ExceptionGroup) as raised:
            await catena.WorkerPool(launcher=launcher, quorum_timeout=0.5).open()
        assert "0 of 1 workers were found" in str(raised.value.exceptions[0])
        await launcher.launch(1)
        while "No module named 'no_such_module'" not in caplog.text:
            await asyncio.sleep(0.05)
        await launcher.close()

    run(main(), SECONDS)
    seen.await_nothing()
    until(lambda: not find_processes("ray::Holder"))


@isolated
def test_the_nodes_own_credentials_are_used(ray_cluster: Any, tmp_path: Path) -> None:
    """Trust: where a folder is named, the pool has credentials of its own, and both prove names."""
    authority = make_authority(datetime.now(UTC), 1)
    for name, holder in (("node", name_worker("shop")), ("caller", name_caller("shop"))):
        write_pair(tmp_path / name, issue_pair(authority, holder, datetime.now(UTC), 1))

    async def main() -> None:
        launcher = engines.Ray(2, certs=tmp_path / "node", pool="shop")
        async with catena.WorkerPool(
            launcher=launcher, credentials=tmp_path / "caller", name="shop"
        ):
            assert launcher.trust is None
            assert len(await find_pids(2)) == 2
            await nest_elsewhere()

    run(main(), SECONDS)
    assert (tmp_path / "node" / "key.pem").exists()


PROGRAM = """
import asyncio
import sys

import ray
import catena
from tests.engines.routines import identify

async def main():
    try:
        await catena.WorkerPool(launcher=catena.engines.Ray(1)).open()
    except catena.WorkerStartError as error:
        print(error.cause)
    launcher = catena.engines.Ray(1, address=sys.argv[1])
    async with catena.WorkerPool(launcher=launcher):
        print(ray.is_initialized(), await identify() > 0)
    print(ray.is_initialized())

asyncio.run(main())
"""


def test_a_cluster_is_joined_only_where_it_is_named(ray_cluster: Any) -> None:
    """Misuse: without an address, and with no Ray in the process, the error says what to do."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, ray_cluster.address],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    said, joined, left = [line for line in done.stdout.splitlines() if "pid=" not in line]
    assert said.startswith("Ray is not initialised: call ray.init() first")
    assert (joined, left) == ("True True", "False")


WAITING = """
import asyncio
import sys

import catena
from tests.engines.routines import identify

async def main():
    async with catena.WorkerPool(launcher=catena.engines.Ray(1, address=sys.argv[1])):
        print("called", await identify(), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_an_application_that_is_killed_leaves_nothing(ray_cluster: Any) -> None:
    """P12: its actors end with it, the workers with these, and the folders with the workers."""
    seen = Seen("ray")
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, ray_cluster.address], stdout=subprocess.PIPE, text=True
    ) as application:
        assert application.stdout is not None
        while not application.stdout.readline().startswith("called "):
            assert application.poll() is None
        assert len(seen.look()) == 1
        (cleaner,) = find_processes("catena-cleaner", f"/catena-{application.pid}-")
        own = Path(read_command(cleaner)[4])
        assert (own / "key.pem").exists()
        application.kill()
    seen.await_nothing()
    until(lambda: not find_processes("ray::Holder"))
    # That of the caller's credentials as well.
    until(lambda: not own.exists())


@isolated
def test_a_call_is_quicker_than_rays_own(
    ray_cluster: Any, report_times: Callable[[str], None]
) -> None:
    """What Catena is for: Ray places and supervises, and calls go past it."""
    import ray

    @ray.remote(num_cpus=0)
    def run_task() -> None: ...

    @ray.remote(num_cpus=0)
    class Actor:
        def answer(self) -> None: ...

    async def work(pool: catena.WorkerPool) -> None:
        actor = Actor.remote()
        found = await compare_round_trips(
            {
                "call": do_nothing,
                "Ray task": run_task.remote,
                "Ray actor": actor.answer.remote,
            }
        )
        report_times(
            "Ray, round trip: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in found.items())
        )

    with_pool(work)
