"""Cables that are cut, and hosts that vanish: nobody says so, and both ends notice all the same."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest

from tests.network.caller import Caller, CallFailed, Pool
from tests.network.hosts import NEEDS_NETWORK, SETTLED, until
from tests.network.stage import Stage, staged

pytestmark = NEEDS_NETWORK


@dataclass(frozen=True)
class Vanished:
    """What is left of a network of which a worker's host and two callers' hosts have vanished."""

    stage: Stage
    caller: Caller
    pool: Pool
    calls: list[Future[Any]]
    pid: int


@pytest.fixture(scope="module", autouse=True)
def vanished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vanished]:
    """Begun before the other tests of the file: it takes half a minute until that is noticed."""
    with staged(tmp_path_factory.mktemp("vanished")) as stage:
        stage.add_hosts("caller", "idle", "busy", "w1", "w2")
        caller, idle, busy = (stage.start_caller(one) for one in ("caller", "idle", "busy"))
        announced = ("--announce", stage.place)
        _, other = stage.start_workers("w1", "w2", options=announced)
        for_ever: dict[str, Any] = {"quorum": 2, "unresponsive_after": None}
        pools = [one.open(stage.find(stage.place, **for_ever)) for one in (caller, idle, busy)]
        begin_rest(stage, pools[2], 2)
        calls = begin_rest(stage, pools[0], 2)
        assert {pools[0].call("count_links") for _ in range(4)} == {3}
        for host in ("busy", "idle", "w1"):
            stage.network.kill_host(host)
        yield Vanished(stage, caller, pools[0], calls, other.pid)


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
    caller = stage.start_caller()
    first, second = stage.start_workers("w1", "w2", options=("--announce", stage.place))
    pool = caller.open(stage.find(stage.place, quorum=2, unresponsive_after=3))
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
    caller = stage.start_caller()
    worker = stage.start_worker("w1", "", "--announce", stage.place)
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


def test_a_host_that_comes_back_is_taken_again(stage: Stage) -> None:
    """P12: with the same address and the same name; the calls that it had are not run again."""
    stage.add_hosts("caller", "w1")
    caller = stage.start_caller()
    first = stage.start_worker("w1", "", "--announce", stage.place)
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
    caller = stage.start_caller()
    worker = stage.start_worker("w1", shared=True, address="0.0.0.0")
    pool = caller.open(stage.find("dns://workers.test:7800", unresponsive_after=3))
    (call,) = begin_rest(stage, pool)
    address = stage.network.change_address("w1", 200)
    names.serve(addresses=[("workers.test", address)])
    expect_loss(call, "w1")
    assert pool.call_often() == {worker.pid}
    assert pool.workers == {"w1"}
    assert stage.read_diary().count(f"begun {worker.pid}") == 1
    caller.end()


def test_callers_notice_that_a_worker_s_host_has_vanished(vanished: Vanished) -> None:
    """D7, P12: within half a minute, also where a worker may be silent for as long as it likes."""
    until(lambda: any(one.done() for one in vanished.calls), "the caller notices it")
    (ended,) = (one for one in vanished.calls if one.done())
    expect_loss(ended, "w1")
    until(lambda: vanished.pool.workers == {"w2"}, "the worker is no member any more")


def test_workers_notice_that_a_caller_s_host_has_vanished(vanished: Vanished) -> None:
    """D6: within half a minute they cancel its calls and let go of its links, of idle ones too."""
    until(lambda: vanished.pool.call("count_links") == 1, "the worker lets go of two links")
    lines = vanished.stage.read_diary()
    assert [one for one in lines if not one.startswith("begun")] == [f"cancelled {vanished.pid}"]
    vanished.caller.end()
