"""Two pools side by side: one network, one name server, and no call that goes astray."""

from __future__ import annotations

import pytest

from tests.network.caller import CallFailed
from tests.network.hosts import NEEDS_NETWORK, SETTLED, until
from tests.network.stage import PORT, Stage

pytestmark = NEEDS_NETWORK

SERVICE = "_catena._tcp.{}.test"


def test_a_record_that_leads_to_another_pool_s_worker_makes_no_member(stage: Stage) -> None:
    """P8: a hint and no more: who is there has to prove its pool, and the refusal is announced.

    Both pools have an authority of their own, and workers of the same names.
    """
    stage.add_hosts("names", "caller", "shop", "bank")
    names = stage.start_name_server()
    hosts = [(f"{host}.test", stage.network.addresses[host]) for host in ("shop", "bank")]
    own = [(SERVICE.format(host), f"{host}.test", PORT) for host in ("shop", "bank")]
    names.serve(services=own, addresses=hosts)
    caller = stage.start_caller()
    shop = stage.start_worker("w1", "shop", shared=True)
    bank = stage.start_worker("w1", "bank", shared=True, pool="bank")
    buying = caller.open(stage.find(f"dns+srv://{SERVICE.format('shop')}"))
    paying = caller.open(stage.find(f"dns+srv://{SERVICE.format('bank')}", "bank"))
    assert (buying.call_often(), paying.call_often()) == ({shop.pid}, {bank.pid})
    assert caller.list_refusals() == []

    rogue = (SERVICE.format("shop"), "bank.test", PORT)
    names.serve(services=[*own, rogue], addresses=hosts)
    until(caller.list_refusals, "the worker of the bank is refused")
    for _ in range(3):
        assert (buying.call_often(), paying.call_often()) == ({shop.pid}, {bank.pid})
    assert (buying.workers, paying.workers) == ({"w1"}, {"w1"})
    address = f"{stage.network.addresses['bank']}:{PORT}"
    for said in caller.list_refusals():
        assert said.startswith(f"'{address}' was refused: it did not prove that it is shop.catena")
    caller.end()


def test_a_pool_that_is_led_to_another_one_alone_has_no_worker(stage: Stage) -> None:
    """P8: its calls wait, and none goes astray, also where one authority has issued for both."""
    stage.add_hosts("names", "caller", "bank")
    names = stage.start_name_server()
    address = stage.network.addresses["bank"]
    names.serve(addresses=[("shop.test", address), ("bank.test", address)])
    caller = stage.start_caller()
    bank = stage.start_worker("w1", "bank", shared=True, pool="bank")
    paying = caller.open(stage.find(f"dns://bank.test:{PORT}", "bank"))
    certs = stage.issue_caller("shop", authority="bank")
    where = f"dns://shop.test:{PORT}"
    options = {"discovery": where, "credentials": certs, "name": "shop", "quorum": 0}
    buying = caller.open(options)
    call = buying.begin("identify")
    until(caller.list_refusals, "the worker of the bank is refused")
    with pytest.raises(TimeoutError):
        call.result(SETTLED)
    assert buying.workers == set()
    assert paying.call_often() == {bank.pid}
    # Nor can it be had by its name: the caller's own is one of the shop's.
    options["name"] = "bank"
    with pytest.raises(CallFailed, match="workers did not start"):
        caller.open({**options, "quorum": 1, "quorum_timeout": SETTLED})
    assert any("alice.shop.catena" in one for one in caller.list_refusals())
    buying.close()
    with pytest.raises(CallFailed, match="NoPool"):
        call.result(30)
    caller.end()
