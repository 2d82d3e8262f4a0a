"""Real engines, each started once for all tests of the folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.engines.left import find_processes, until

# Read when Ray is imported: without it the nodes would listen at all interfaces.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

NODE = {"num_cpus": 2, "object_store_memory": 80_000_000}
HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 4,
}
"""So a node that was killed is lost for Ray after some four seconds, and not after fifteen."""


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """Yield a cluster of two nodes that this process has joined; no process or file of it stays."""
    import ray
    from ray.cluster_utils import Cluster

    # Short, for the sockets in it.
    folder = tempfile.mkdtemp(prefix="r-", dir="/tmp")
    head = {**NODE, "include_dashboard": False, "temp_dir": folder, "_system_config": HEALTH}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        assert made.address.startswith("127.0.0.1:")
        made.add_node(**NODE)
        ray.init(address=made.address, log_to_driver=False)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        until(lambda: not find_processes(folder))
        shutil.rmtree(folder)


_times = pytest.StashKey[list[str]]()


@pytest.fixture
def report_times(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return what takes a line of times, which is shown below the results of the tests."""
    return request.config.stash.setdefault(_times, []).append


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show the times."""
    lines = config.stash.get(_times, [])
    if lines:
        terminalreporter.section("times")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def dask_cluster() -> Iterator[Any]:
    """Yield a cluster of two Dask workers with nannies; no process of it stays."""
    from distributed import LocalCluster

    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "threads_per_worker": 2}
    with LocalCluster(n_workers=2, processes=True, **options) as made:
        assert made.scheduler_address.startswith("tcp://127.0.0.1:")
        yield made
