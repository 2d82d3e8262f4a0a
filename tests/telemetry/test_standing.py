"""Gauges of state: read from what there is, whenever somebody began to look."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import catena
from catena import standing, telemetry
from tests.dispatch.ends import connected
from tests.support import isolated, run

GAUGES = {
    "links": "catena.links",
    "calls": "catena.worker.calls.active",
    "leases": "catena.proxy.lease.active",
}


class Told:
    """A provider, and what it is told."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    def install(self) -> None:
        """Have this provider told, and no other."""
        telemetry.uninstall()
        telemetry.install(meter_provider=self.provider)

    def numbers(self) -> dict[str, int]:
        """Return the sum of each gauge; none of its points is below zero."""
        data = self.reader.get_metrics_data()
        found: dict[str, list[Any]] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found[metric.name] = (
                        [one.value for one in metric.data.data_points]
                        if (metric.name in GAUGES.values())
                        else []
                    )
        assert all(value >= 0 for values in found.values() for value in values)
        return {name: sum(found[metric]) for name, metric in GAUGES.items()}


@catena.routine
async def wait() -> None:
    """Run until it is cancelled."""
    await asyncio.sleep(60)


@isolated
def test_a_gauge_is_right_for_whoever_comes_late() -> None:
    """L8: an SDK after the link and its calls, a second one, and the first one again."""
    first, second = Told(), Told()
    busy, idle = {"links": 2, "calls": 2, "leases": 2}, {"links": 2, "calls": 0, "leases": 0}

    async def main() -> None:
        async with connected():
            waiting = [asyncio.create_task(wait()) for _ in range(2)]
            await asyncio.sleep(0.05)
            for told in (first, second, first):
                told.install()
                assert told.numbers() == busy
            for one in waiting:
                one.cancel()
            await asyncio.wait(waiting)
            assert first.numbers() == idle
            second.install()
            assert second.numbers() == idle

    try:
        run(main())
        assert second.numbers() == dict.fromkeys(GAUGES, 0)
    finally:
        telemetry.uninstall()
        for told in (first, second):
            told.provider.shutdown()


def test_a_worker_that_ended_is_not_counted_as_running() -> None:
    """L8: from the moment it has ended, also before anybody took note of it."""
    before = standing.count_now("workers")

    async def main() -> None:
        async with catena.WorkerPool(spawn=2) as pool:
            started = standing.count_now("workers") - before
            assert started == {("running",): 2}
            os.kill(pool.pids[pool.workers[0]], signal.SIGKILL)
            async with asyncio.timeout(10):
                while (standing.count_now("workers") - before)[("running",)] == 2:
                    await asyncio.sleep(0.01)
            assert standing.count_now("workers") - before == {("running",): 1, ("exited",): 1}

    run(main(), 30)
    assert standing.count_now("workers") - before == {("exited",): 2}


def test_nothing_stands_where_nobody_counts() -> None:
    """The seam: what no part of the core has registered counts as none."""
    assert standing.count_now("nothing of ours") == {}  # type: ignore[arg-type]
