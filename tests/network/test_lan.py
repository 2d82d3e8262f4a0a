"""Workers that announce themselves in a local network, by real multicast."""

from __future__ import annotations

import subprocess

from tests.network.caller import ROOT
from tests.network.hosts import DEADLINE, NEEDS_NETWORK, until
from tests.network.stage import Stage

pytestmark = NEEDS_NETWORK


def test_workers_that_announce_themselves_are_found_and_say_goodbye(stage: Stage) -> None:
    """P8, P12: one that joins gets calls; one that is stopped leaves when its record does."""
    stage.add_hosts("caller", "w1", "w2")
    caller = stage.start_caller()
    first = stage.start_worker("w1", "", "--announce", "lan:", "--tags", "gpu")
    pool = caller.open(stage.find("lan:shop"))
    assert pool.call_often() == {first.pid}
    second = stage.start_worker("w2", "", "--announce", "lan:")
    until(lambda: pool.workers == {"w1", "w2"}, "the one that joins is found")
    assert pool.call_often() == {first.pid, second.pid}

    resting = [pool.begin("rest", 3, str(stage.diary)) for _ in range(2)]
    until(lambda: len(stage.read_diary()) == 2, "both calls begin")
    first.process.terminate()
    until(lambda: pool.workers == {"w2"}, "the goodbye is heard")
    assert pool.call_often() == {second.pid}
    assert {one.result(30) for one in resting} == {first.pid, second.pid}
    assert first.process.wait(DEADLINE) == 0
    caller.end()


def test_two_pools_in_one_network_find_their_own_workers(stage: Stage) -> None:
    """P8: also where these have the same ids, and where one process has both pools."""
    stage.add_hosts("caller", "one", "other")
    caller = stage.start_caller()
    shop = stage.start_worker("w1", "one", "--announce", "lan:")
    bank = stage.start_worker("w1", "other", "--announce", "lan:", pool="bank")
    buying = caller.open(stage.find("lan:shop"))
    paying = caller.open(stage.find("lan:bank", "bank"))
    for _ in range(3):
        assert (buying.call_often(3), paying.call_often(3)) == ({shop.pid}, {bank.pid})
    assert caller.list_refusals() == []
    bank.end()
    until(lambda: not paying.workers, "the bank's worker has left")
    assert (buying.workers, buying.call_often()) == ({"w1"}, {shop.pid})
    caller.end()


def test_an_id_that_another_worker_of_the_pool_has_is_refused(stage: Stage) -> None:
    """P8: the one that comes later does not start, and says why."""
    stage.add_hosts("one", "other")
    stage.start_worker("w1", "one", "--announce", "lan:")
    second = stage.network.start(
        "other",
        *stage.make_worker("w1", "other", "--announce", "lan:"),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, said = second.communicate(timeout=DEADLINE)
    assert second.returncode == 1
    assert "a worker w1 is announced already" in said
