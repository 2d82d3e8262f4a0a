"""Workers on Dask: a real cluster of two Dask workers with nannies on the loopback interface."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

import catena
from catena import engines
from catena.errors import WorkerStartError
from tests.engines.calls import nest_elsewhere, resize_while_calling
from tests.engines.left import Seen, find_parent, until
from tests.engines.needed import needs
from tests.engines.on_dask import SECONDS, await_count, find_pids, with_pool
from tests.engines.round_trips import compare_round_trips
from tests.engines.routines import color, count_up, do_nothing, identify
from tests.support import isolated, run

pytestmark = [
    *needs("distributed"),
    # Dask's own, for which this project does not answer.
    pytest.mark.filterwarnings("default"),
]


@isolated
def test_workers_are_on_different_dask_workers_and_take_calls(dask_cluster: Any) -> None:
    """P8: one on each, over TLS; context there and back, streams, and nested calls."""

    async def work(pool: catena.WorkerPool) -> None:
        assert len(pool.workers) == 2
        color.set("red")
        pids = await find_pids()
        await identify()
        assert color.get().startswith("red, seen")
        processes = {one.process.pid for one in await _nanny_processes(dask_cluster)}
        assert {find_parent(pid) for pid in pids} == processes
        color.set("blue")
        assert [one async for one in count_up(3)] == ["0 blue", "1 blue", "2 blue"]
        assert {*await nest_elsewhere()} == pids

    with_pool(dask_cluster, work)


async def _nanny_processes(cluster: Any) -> list[Any]:
    return [nanny.process for nanny in cluster.workers.values()]


@isolated
def test_late_joiners_are_used(dask_cluster: Any) -> None:
    """P8: a worker that has found no place gets one when a Dask worker joins."""

    async def work(pool: catena.WorkerPool) -> None:
        assert len(await find_pids()) == 2
        growing = asyncio.ensure_future(pool.resize(3))
        await asyncio.sleep(0.3)
        assert len(await find_pids()) == 2
        await asyncio.to_thread(dask_cluster.scale, 3)
        await growing
        assert len(await await_count(3)) == 3

    try:
        with_pool(dask_cluster, work)
    finally:
        dask_cluster.scale(2)
        until(lambda: len(dask_cluster.scheduler_info["workers"]) == 2)


@isolated
def test_only_fit_dask_workers_are_used(dask_cluster: Any) -> None:
    """P8: of those that declare the resources that each worker needs."""

    async def main() -> None:
        launcher = engines.Dask(dask_cluster, 1, resources={"GPU": 1})
        with pytest.raises(ExceptionGroup) as raised:
            await catena.WorkerPool(launcher=launcher, quorum_timeout=1).open()
        assert "0 of 1 workers were found" in str(raised.value.exceptions[0])

    run(main(), SECONDS)


@isolated
def test_it_grows_and_shrinks_while_calls_run(dask_cluster: Any) -> None:
    """P8: no call fails; who has to go finishes the calls that it has."""

    async def work(pool: catena.WorkerPool) -> None:
        async def check(many: int) -> None:
            assert len(await await_count(many)) == many

        await resize_while_calling(pool, (1, 2, 1), 0.7, check)

    with_pool(dask_cluster, work)


@isolated
@pytest.mark.parametrize("given", ["address", "client", "asynchronous client"])
def test_it_takes_what_names_a_scheduler(given: str, dask_cluster: Any) -> None:
    """P8: a client of either kind stays as it was."""
    from distributed import Client

    async def use(cluster: Any) -> None:
        async with catena.WorkerPool(launcher=engines.Dask(cluster, 2)):
            await find_pids()

    async def main() -> None:
        address = dask_cluster.scheduler_address
        if given == "asynchronous client":
            async with Client(address, asynchronous=True) as client:
                await use(client)
                assert await client.submit(abs, -1) == 1
        elif given == "address":
            await use(address)
        else:
            with await asyncio.to_thread(Client, address) as client:
                await use(client)
                assert await asyncio.to_thread(client.submit(abs, -1).result) == 1

    run(main(), SECONDS)


@isolated
def test_the_loop_goes_on_while_dask_is_asked(dask_cluster: Any) -> None:
    """Dask blocks whoever asks it, and that is never the event loop; other work may hold it up."""
    longest: list[float] = []

    async def beat() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            longest[-1] = max(longest[-1], time.monotonic() - began)

    async def main() -> None:
        for _ in range(3):
            longest.append(0.0)
            beating = asyncio.ensure_future(beat())
            async with catena.WorkerPool(launcher=engines.Dask(dask_cluster, 2)):
                await asyncio.sleep(0)
            beating.cancel()
            if longest[-1] < 0.25:
                return

    run(main(), SECONDS)
    assert min(longest) < 0.25


@isolated
def test_a_pool_is_opened_again(dask_cluster: Any) -> None:
    """P10: with other workers, and certificates of another authority."""
    launcher = engines.Dask(dask_cluster, 1)

    async def main() -> None:
        pool = catena.WorkerPool(launcher=launcher)
        found = set()
        for _ in range(2):
            async with pool:
                assert launcher.trust is not None
                found.add((await identify(), launcher.trust.pool))
        assert len(found) == 2

    run(main(), SECONDS)


@isolated
def test_two_launchers_share_a_cluster(dask_cluster: Any) -> None:
    """P8: each has a worker on each Dask worker, and calls only its own."""

    async def work(pool: catena.WorkerPool) -> None:
        mine = await find_pids()
        other = catena.WorkerPool(launcher=engines.Dask(dask_cluster, 2))
        async with other:
            theirs = await find_pids()
        assert len(mine) == len(theirs) == 2
        assert not mine & theirs
        with pool.bound():
            assert await find_pids() == mine

    with_pool(dask_cluster, work)


@isolated
def test_a_launcher_whose_loop_has_ended_is_closed_on_another_one(dask_cluster: Any) -> None:
    """P10: the workers end all the same."""
    seen = Seen("dask")
    launcher = engines.Dask(dask_cluster, 2)

    async def begin() -> None:
        await launcher.launch(2)
        async for members in launcher.members():
            if len(members) == 2:
                break
        assert len(seen.look()) == 2

    run(begin(), SECONDS)
    run(launcher.close(), SECONDS)

    seen.await_nothing()


def test_misuse_is_refused() -> None:
    """Misuse: what is no cluster, a scheduler that is not there, and wrong numbers."""
    with pytest.raises(ValueError, match="count"):
        engines.Dask("tcp://127.0.0.1:1", 0)

    async def launch(cluster: Any) -> None:
        await engines.Dask(cluster, 1).launch(1)

    with pytest.raises(TypeError, match="not 5"):
        run(launch(5))
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "300ms"}),
        pytest.raises(WorkerStartError, match=r"scheduler at tcp://127\.0\.0\.1:1 says"),
    ):
        run(launch("tcp://127.0.0.1:1"))


def take_no_time() -> None:
    """Be a task of Dask's own."""


@isolated
def test_round_trips_are_reported_beside_dasks_own(
    dask_cluster: Any, report_times: Callable[[str], None]
) -> None:
    """P8: a call on Dask's workers, and a task of Dask, each awaited before the next."""
    from distributed import Client

    async def work(pool: catena.WorkerPool) -> None:
        address = dask_cluster.scheduler_address
        async with Client(address, asynchronous=True) as client:

            async def run_task() -> None:
                await client.submit(take_no_time, pure=False)

            found = await compare_round_trips({"call": do_nothing, "Dask task": run_task})
        assert len(found) == 2
        report_times(
            "Dask, round trip: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in found.items())
        )

    with_pool(dask_cluster, work)
