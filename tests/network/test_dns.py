"""Workers that are found by DNS: a real name server, and workers on other hosts."""

from __future__ import annotations

import pytest

from tests.network.caller import CallFailed
from tests.network.hosts import NEEDS_NETWORK, SETTLED, until
from tests.network.stage import PORT, Stage

pytestmark = NEEDS_NETWORK

SERVICE = "_catena._tcp.workers.test"
WHERE = f"dns+srv://{SERVICE}"


def at(*hosts: str) -> list[tuple[str, str, int]]:
    """Return the SRV records that lead to these hosts."""
    return [(SERVICE, f"{host}.workers.test", PORT) for host in hosts]


def test_workers_are_found_by_srv_records_and_followed(stage: Stage) -> None:
    """P8, P12: one that is added gets calls; one that is removed gets none and ends its own."""
    stage.add_hosts("names", "caller", "w1", "w2")
    names = stage.start_name_server()
    hosts = [(f"{name}.workers.test", stage.network.addresses[name]) for name in ("w1", "w2")]
    names.serve(services=at("w1"), addresses=hosts)
    caller = stage.start_caller()
    first, second = stage.start_workers("w1", "w2", shared=True)
    pool = caller.open(stage.find(WHERE))
    assert (pool.workers, pool.call_often()) == ({"w1"}, {first.pid})

    names.serve(services=at("w1", "w2"), addresses=hosts)
    until(lambda: pool.workers == {"w1", "w2"}, "the added worker is found")
    assert pool.call_often() == {first.pid, second.pid}
    nested = [pool.call("identify_nested") for _ in range(4)]
    assert {pid for pair in nested for pid in pair} == {first.pid, second.pid}

    resting = [pool.begin("rest", 3, str(stage.diary)) for _ in range(2)]
    until(lambda: len(stage.read_diary()) == 2, "both calls begin")
    names.serve(services=at("w2"), addresses=hosts)
    until(lambda: pool.workers == {"w2"}, "the removed worker has left")
    assert pool.call_often() == {second.pid}
    assert {one.result(30) for one in resting} == {first.pid, second.pid}
    caller.end()


def test_a_pool_keeps_what_it_has_while_no_name_server_answers(stage: Stage) -> None:
    """P8: records are hints; that a name has gone is an answer, and then calls wait for it."""
    stage.add_hosts("names", "caller", "w1")
    names = stage.start_name_server()
    hosts = [("w1.workers.test", stage.network.addresses["w1"])]
    names.serve(services=at("w1"), addresses=hosts)
    caller = stage.start_caller()
    worker = stage.start_worker("w1", shared=True)
    pool = caller.open(stage.find(WHERE))
    links = caller.count_links()

    names.stop()
    with pytest.raises(TimeoutError):
        pool.begin("rest", SETTLED + 2, str(stage.diary)).result(SETTLED)
    assert (pool.workers, pool.call_often()) == ({"w1"}, {worker.pid})
    names.serve(services=at("w1"), addresses=hosts)
    with pytest.raises(TimeoutError):
        pool.begin("rest", SETTLED + 2, str(stage.diary)).result(SETTLED)
    assert (pool.workers, pool.call_often()) == ({"w1"}, {worker.pid})
    assert caller.count_links() == links

    names.serve(addresses=[("other.test", "10.77.0.250")])
    until(lambda: not pool.workers, "the name has gone, and the worker with it")
    waiting = pool.begin("identify")
    names.serve(services=at("w1"), addresses=hosts)
    assert waiting.result(30) == worker.pid
    caller.end()


def test_a_worker_with_two_records_is_one_worker_and_has_one_link(stage: Stage) -> None:
    """P8: who is found twice is not reached again and again."""
    stage.add_hosts("names", "caller", "w1")
    names = stage.start_name_server()
    address = stage.network.addresses["w1"]
    stage.network.add_address("w1", 200)
    both = [("workers.test", address), ("workers.test", f"{address.rpartition('.')[0]}.200")]
    names.serve(addresses=both)
    caller = stage.start_caller()
    worker = stage.start_worker("w1", shared=True, address="0.0.0.0")
    pool = caller.open(stage.find(f"dns://workers.test:{PORT}"))
    assert pool.call_often() == {worker.pid}
    with pytest.raises(TimeoutError):
        pool.begin("rest", 5, str(stage.diary)).result(4)
    assert pool.workers == {"w1"}
    # One for each record, of which one was given up.
    assert caller.count_links() == 2
    caller.end()


def test_a_worker_that_comes_back_at_another_address_is_followed(stage: Stage) -> None:
    """P12: with its old name; the link to where it was ends, also when that host has vanished."""
    stage.add_hosts("names", "caller", "old", "new")
    names = stage.start_name_server()
    names.serve(addresses=[("workers.test", stage.network.addresses["old"])])
    caller = stage.start_caller()
    first = stage.start_worker("w1", "old", shared=True)
    pool = caller.open(stage.find(f"dns://workers.test:{PORT}", unresponsive_after=3))
    assert pool.call_often() == {first.pid}
    resting = pool.begin("rest", 60, str(stage.diary))
    until(stage.read_diary, "the call begins")

    stage.network.kill_host("old")
    second = stage.start_worker("w1", "new", shared=True)
    names.serve(addresses=[("workers.test", stage.network.addresses["new"])])
    with pytest.raises(CallFailed, match="WorkerLost") as lost:
        resting.result(30)
    assert (lost.value.worker, lost.value.begun) == ("w1", True)
    assert pool.call_often() == {second.pid}
    assert pool.workers == {"w1"}
    assert len(stage.read_diary()) == 1
    caller.end()
