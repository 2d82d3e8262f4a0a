"""Cables that are cut, and hosts that vanish: nobody says so, and both ends notice all the same."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from tests.network.caller import CallFailed, Pool
from tests.network.hosts import NEEDS_NETWORK, SETTLED, until
from tests.network.stage import Stage

pytestmark = NEEDS_NETWORK


def begin_rest(stage: Stage, pool: Pool, many: int = 1) -> list[Future[Any]]:
    """Begin calls that take minutes, and wait until they run."""
    before = len(stage.read_diary())
    calls = [pool.begin("rest", 300, str(stage.diary)) for _ in range(many)]
    until(lambda: len(stage.read_diary()) == before + many, "the calls begin")
    return calls


def expect_loss(call: Future[Any], worker: str) -> None:
    """See that a call ends because its worker is lost, and that it is known to have begun."""
    with pytest.raises(CallFailed, match="WorkerLost") as lost:
        call.result(60)
    assert (lost.value.worker, lost.value.begun) == (worker, True)


def test_calls_behind_a_cut_cable_end_and_others_go_on(stage: Stage) -> None:
    """D7, P9, P12: each is run once; the worker gets calls again when the cable is back."""
    stage.add_hosts("caller", "w1", "w2")
    first, second = (stage.start_worker(one, "", "--announce", stage.place) for one in ("w1", "w2"))
    caller = stage.start_caller()
    pool = caller.open(stage.find(stage.place, quorum=2, unresponsive_after=4))
    calls = begin_rest(stage, pool, 4)
    assert sorted(stage.read_diary()) == sorted(2 * [f"begun {first.pid}", f"begun {second.pid}"])

    stage.network.cut("w1")
    lost = [pool.begin("identify") for _ in range(4)]
    until(lambda: sum(one.done() for one in calls) == 2, "the calls of the cut worker end")
    for call in calls:
        if call.done():
            expect_loss(call, "w1")
    until(lambda: pool.workers == {"w2"}, "the cut worker is no member any more")
    assert pool.call_often() == {second.pid}
    # What was sent to it in the first moment is lost, and is sent to no other one.
    for call in lost:
        error = call.exception(60)
        assert error is None or getattr(error, "kind", "") == "WorkerLost"

    stage.network.join("w1")
    until(lambda: pool.workers == {"w1", "w2"}, "it is a member again")
    # The other one still has calls.
    assert pool.call_often() == {first.pid}
    until(
        lambda: stage.read_diary().count(f"cancelled {first.pid}") == 2,
        "the worker has let go of the calls that were lost",
    )
    assert len(stage.read_diary()) == 6
    assert [one.done() for one in calls].count(False) == 2
    caller.end()


def test_a_short_break_costs_nothing(stage: Stage) -> None:
    """D7: what was sent meanwhile arrives when the cable is back."""
    stage.add_hosts("caller", "w1")
    worker = stage.start_worker("w1", "", "--announce", stage.place)
    caller = stage.start_caller()
    pool = caller.open(stage.find(stage.place))
    links = caller.count_links()
    stage.network.cut("w1")
    calls = [pool.begin("identify") for _ in range(3)]
    with pytest.raises(TimeoutError):
        calls[0].result(SETTLED)
    stage.network.join("w1")
    assert {one.result(30) for one in calls} == {worker.pid}
    assert caller.count_links() == links
    caller.end()


def test_a_host_that_vanishes_is_noticed_by_callers_and_by_workers(stage: Stage) -> None:
    """D6, P12: within half a minute, at a link with calls and at an idle one, by gRPC itself."""
    stage.add_hosts("caller", "idle", "busy", "w1", "w2")
    workers = [stage.start_worker(one, "", "--announce", stage.place) for one in ("w1", "w2")]
    for_ever: dict[str, Any] = {"quorum": 2, "unresponsive_after": None}
    caller, idle, busy = (stage.start_caller(one) for one in ("caller", "idle", "busy"))
    pool = caller.open(stage.find(stage.place, **for_ever))
    idle.open(stage.find(stage.place, **for_ever))
    vanishing = busy.open(stage.find(stage.place, **for_ever))
    begin_rest(stage, vanishing, 2)
    calls = begin_rest(stage, pool, 2)
    assert {pool.call("count_links") for _ in workers} == {3}

    for host in ("busy", "idle", "w1"):
        stage.network.kill_host(host)
    until(lambda: any(one.done() for one in calls), "the caller notices that a worker is gone")
    (ended,) = (one for one in calls if one.done())
    expect_loss(ended, "w1")
    until(lambda: pool.call("count_links") == 1, "the worker lets go of the two callers' links")
    assert stage.read_diary()[4:] == [f"cancelled {workers[1].pid}"]
    caller.end()


def test_a_host_that_comes_back_is_taken_again(stage: Stage) -> None:
    """P12: with the same address and the same name; the calls that it had are not run again."""
    stage.add_hosts("caller", "w1")
    first = stage.start_worker("w1", "", "--announce", stage.place)
    caller = stage.start_caller()
    pool = caller.open(stage.find(stage.place))
    (call,) = begin_rest(stage, pool)
    number = int(stage.network.addresses["w1"].rpartition(".")[2])
    stage.network.kill_host("w1")
    waiting = pool.begin("identify")
    stage.network.add_host("w1", number)
    second = stage.start_worker("w1", "", "--announce", stage.place)
    expect_loss(call, "w1")
    assert waiting.exception(60) is None or "WorkerLost" in str(waiting.exception())
    assert pool.call_often() == {second.pid}
    assert stage.read_diary() == [f"begun {first.pid}"]
    caller.end()


def test_a_host_that_changes_its_address_is_followed(stage: Stage) -> None:
    """P12: its worker lives on, and its old link is let go of by both."""
    stage.add_hosts("names", "caller", "w1")
    names = stage.start_name_server()
    names.serve(addresses=[("workers.test", stage.network.addresses["w1"])])
    worker = stage.start_worker("w1", shared=True, address="0.0.0.0")
    caller = stage.start_caller()
    pool = caller.open(stage.find("dns://workers.test:7800", unresponsive_after=3))
    (call,) = begin_rest(stage, pool)
    address = stage.network.change_address("w1", 200)
    names.serve(addresses=[("workers.test", address)])
    expect_loss(call, "w1")
    assert pool.call_often() == {worker.pid}
    assert pool.workers == {"w1"}
    assert stage.read_diary().count(f"begun {worker.pid}") == 1
    caller.end()
