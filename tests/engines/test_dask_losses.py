"""Losses on Dask: workers, Dask workers, clusters and applications that end as they please."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

import catena
from catena import engines
from tests.engines.calls import await_absence
from tests.engines.left import Seen, find_parent, until
from tests.engines.needed import needs
from tests.engines.on_dask import (
    SECONDS,
    await_count,
    client_of,
    list_plugins,
    with_pool,
)
from tests.engines.routines import identify, rest
from tests.support import isolated, run

pytestmark = [
    *needs("distributed"),
    # Dask's own, for which this project does not answer.
    pytest.mark.filterwarnings("default"),
]


@isolated
def test_a_worker_that_is_killed_gets_no_calls_and_comes_back(
    dask_cluster: Any, report_times: Callable[[str], None]
) -> None:
    """P12: at once; its calls are lost, the other worker serves, and the plugin starts it again."""

    async def work(pool: catena.WorkerPool) -> None:
        lost = await identify()
        calls = asyncio.ensure_future(pool.broadcast(rest, 1.0))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        os.kill(lost, signal.SIGKILL)
        absent = await await_absence(lost) - began
        with pytest.raises(ExceptionGroup) as raised:
            await calls
        assert [type(one) for one in raised.value.exceptions] == [catena.WorkerLost]
        assert lost not in await await_count(2)
        back = time.monotonic() - began
        report_times(
            f"Dask, worker killed: no more calls after {absent:.3f} s, replaced after {back:.1f} s"
        )

    with_pool(dask_cluster, work)


@isolated
def test_a_dask_worker_that_is_killed_is_replaced(
    dask_cluster: Any, report_times: Callable[[str], None]
) -> None:
    """P12: its worker finishes the calls that it has, and another Dask worker holds one."""

    async def work(pool: catena.WorkerPool) -> None:
        lost = await identify()
        place = find_parent(lost)
        calls = asyncio.ensure_future(pool.broadcast(rest, 1.0))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        os.kill(place, signal.SIGKILL)
        absent = await await_absence(lost) - began
        assert lost in (await calls).values()
        pids = await await_count(2)
        assert place not in {find_parent(pid) for pid in pids}
        back = time.monotonic() - began
        report_times(
            f"Dask, holder killed: no more calls after {absent:.3f} s, replaced after {back:.1f} s"
        )

    with_pool(dask_cluster, work)


@isolated
def test_a_dask_worker_that_is_lost_with_its_worker_is_replaced(
    dask_cluster: Any, report_times: Callable[[str], None]
) -> None:
    """P12: as when a machine is lost; nothing fails but the calls that were there."""

    async def work(pool: catena.WorkerPool) -> None:
        lost = await identify()
        place = find_parent(lost)
        began = time.monotonic()
        for pid in (place, lost):
            os.kill(pid, signal.SIGKILL)
        absent = await await_absence(lost) - began
        assert lost not in await await_count(2)
        back = time.monotonic() - began
        report_times(
            f"Dask, both killed: no more calls after {absent:.3f} s, replaced after {back:.1f} s"
        )

    with_pool(dask_cluster, work)


@isolated
def test_a_cluster_that_is_gone_ends_nothing_but_the_workers() -> None:
    """P12: a pool closes when its engine has gone before."""
    from distributed import LocalCluster

    seen = Seen("dask")

    async def main() -> None:
        made = await asyncio.to_thread(
            LocalCluster, n_workers=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        )
        async with catena.WorkerPool(launcher=engines.Dask(made, 1)):
            await identify()
            seen.look()
            await asyncio.to_thread(made.close)
            began = time.monotonic()
        # Where the client has not noticed yet, its question is given up in ten seconds.
        assert time.monotonic() - began < 15

    run(main(), SECONDS)
    seen.await_nothing()


PROGRAM = """
import asyncio, sys
import catena
from catena import engines

async def main():
    async with catena.WorkerPool(launcher=engines.Dask(sys.argv[1], 2)):
        print("open", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def test_nothing_is_left_of_an_application_that_was_killed(dask_cluster: Any) -> None:
    """P12: the scheduler notices, and has the plugin taken away, with the workers."""
    seen = Seen("dask")
    command = [sys.executable, "-c", PROGRAM, dask_cluster.scheduler_address]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as application:
        assert application.stdout is not None
        assert application.stdout.readline() == b"open\n"
        assert len(seen.look()) == 2
        application.kill()

    seen.await_nothing()
    with client_of(dask_cluster) as client:
        until(lambda: list_plugins(client) == set())


@isolated
def test_a_connection_to_the_scheduler_that_was_lost_is_made_anew(dask_cluster: Any) -> None:
    """P12: with it the workers are lost, and they come back."""
    launcher = engines.Dask(dask_cluster, 2)

    async def main() -> None:
        async with catena.WorkerPool(launcher=launcher):
            before = await await_count(2)
            client = launcher._client
            client.loop.add_callback(client.scheduler_comm.comm.abort)
            while len(pids := await find_pids_anyway() - before) != 2:
                await asyncio.sleep(0.05)
        assert not pids & before

    run(main(), SECONDS)


async def find_pids_anyway() -> set[int]:
    """Return the processes that answer some calls, of which some may be lost."""
    found = await asyncio.gather(*(identify() for _ in range(8)), return_exceptions=True)
    return {one for one in found if isinstance(one, int)}
