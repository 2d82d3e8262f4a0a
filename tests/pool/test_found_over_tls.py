"""Workers on other machines, as far as one machine shows it: TCP, certificates, who may call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

import catena
from catena.discovery import MemberRecord
from catena.security.authority import Authority, issue_pair, make_authority, write_pair
from catena.security.names import name_caller, name_worker
from tests.pool.found_routines import (
    color,
    count_up,
    identify,
    identify_nested,
    identify_under,
)
from tests.pool.test_found_workers import Fleet
from tests.support import isolated, run

SECONDS = 60
F = TypeVar("F", bound=Fleet)


class Secured(Fleet):
    """Workers that listen at ports of the loopback interface, with an authority of their own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.certs = folder / "certs"
        self.authority = make_authority(datetime.now(UTC), 1)
        self._stranger = make_authority(datetime.now(UTC), 1)
        # Whether callers do not know the authority of workers; whether workers share a name.
        self.issues_strangely = self.shares = False
        self.leafs: dict[str, bytes] = {}

    def issue(self, name: str, holder: Any, authority: Authority | None = None) -> Path:
        """Make a folder of credentials, and return it."""
        pair = issue_pair(authority or self.authority, holder, datetime.now(UTC), 1)
        write_pair(self.certs / name, pair)
        return self.certs / name

    def _listen(self, name: str) -> list[str]:
        holder = name_worker("shop", "" if self.shares else name)
        folder = self.issue(name, holder)
        if self.issues_strangely:
            self._replace_certificate(folder, holder)
        self.leafs[name] = (folder / "cert.pem").read_bytes()
        return ["127.0.0.1:0", "--certs", str(folder), "--pool", "shop"]

    def _replace_certificate(self, folder: Path, holder: Any) -> None:
        """Have a worker show what an authority has issued that only workers know."""
        known = (folder / "ca.pem").read_bytes()
        write_pair(folder, issue_pair(self._stranger, holder, datetime.now(UTC), 1))
        (folder / "ca.pem").write_bytes(known + (folder / "ca.pem").read_bytes())


class Insecure(Fleet):
    """Workers that listen at ports of the loopback interface, and take whoever comes."""

    def _listen(self, name: str) -> list[str]:
        return ["127.0.0.1:0", "--insecure"]


def with_insecure(folder: Path, work: Callable[[Fleet], Awaitable[None]]) -> None:
    """Run a test with such a fleet, and leave no process behind."""
    _run_with(Insecure(folder), work)


def with_secured(folder: Path, work: Callable[[Secured], Awaitable[None]]) -> None:
    """Run a test with such a fleet, and leave no process behind."""
    _run_with(Secured(folder), work)


def _run_with(fleet: F, work: Callable[[F], Awaitable[None]]) -> None:

    async def main() -> None:
        async with asyncio.timeout(SECONDS):
            await work(fleet)

    try:
        run(main())
    finally:
        fleet.close()


@isolated
def test_calls_go_over_tls(tmp_path: Path) -> None:
    """P8: context there and back, streams, and nested calls from worker to worker."""

    async def work(fleet: Secured) -> None:
        pids = {await fleet.start("w1"), await fleet.start("w2")}
        caller = fleet.issue("caller", name_caller("shop", "alice"))
        pool = catena.WorkerPool(discovery=fleet.where, quorum=2, credentials=caller, name="shop")
        async with pool:
            color.set("red")
            assert {await identify() for _ in range(4)} == pids
            assert color.get().startswith("red, seen")
            assert [number async for number in count_up(3)] == [0, 1, 2]
            nested = [await identify_nested() for _ in range(4)]
            assert {pid for pair in nested for pid in pair} == pids
            assert any(first != second for first, second in nested)

    with_secured(tmp_path, work)


@isolated
@pytest.mark.parametrize("kind", ["certificates", "insecure"])
def test_workers_that_a_pool_has_started_call_found_ones(kind: str, tmp_path: Path) -> None:
    """P8: nested calls of a hybrid pool go from its own workers to others, and among both kinds."""

    async def work(fleet: Fleet) -> None:
        one, two = await fleet.start("w1"), await fleet.start("w2")
        options: dict[str, Any] = {"insecure": True}
        if isinstance(fleet, Secured):
            caller = fleet.issue("caller", name_caller("shop", "alice"))
            options = {"credentials": caller, "name": "shop"}
        async with catena.WorkerPool(2, discovery=fleet.where, quorum=2, **options) as pool:
            own = set(pool.pids.values())
            assert len(own) == 2
            pairs = {await identify_nested() for _ in range(48)}
            # Workers that were found do not know the way to those that the pool has started.
            found = {one, two}
            assert {second for first, second in pairs if first in own} == found | own
            assert {second for first, second in pairs if first in found} == found
            # One that is started later knows as much.
            await pool.resize(3)
            (third,) = set(pool.pids.values()) - own
            pairs = {await identify_nested() for _ in range(40)}
            assert {second for first, second in pairs if first == third} & found

    if kind == "certificates":
        with_secured(tmp_path, work)
    else:
        with_insecure(tmp_path, work)


@isolated
def test_credentials_that_were_replaced_are_those_of_nested_calls(tmp_path: Path) -> None:
    """P5: the workers of a pool read its folder for each link, and not once when they start."""

    async def work(fleet: Secured) -> None:
        names = tmp_path / "callers"
        names.write_text("alice.shop.catena\nw1.shop.catena\n")
        await fleet.start("w1", "--callers", str(names))
        caller = fleet.issue("caller", name_caller("shop", "alice"))
        pool = catena.WorkerPool(1, discovery=fleet.where, credentials=caller, name="shop")
        async with pool:
            (own,) = pool.pids.values()
            # The link of the pool was made by alice; that of its worker is made by bob.
            fleet.issue("caller", name_caller("shop", "bob"))
            pairs = [await identify_nested() for _ in range(16)]
            assert {second for first, second in pairs if first == own} == {own}
            names.write_text("*.shop.catena\n")
            # Whoever was refused repeatedly tries again after a while.
            while not any(first == own != second for first, second in pairs):
                pairs.append(await identify_nested())

    with_secured(tmp_path, work)


@isolated
@pytest.mark.parametrize("wrong", ["authority", "pool", "none"])
def test_strangers_find_no_worker(wrong: str, tmp_path: Path) -> None:
    """P8: neither another authority, nor another pool's name, nor no credentials at all."""

    async def work(fleet: Secured) -> None:
        await fleet.start("w1")
        options: dict[str, Any] = {"name": "shop"}
        if wrong == "authority":
            other = make_authority(datetime.now(UTC), 1)
            options["credentials"] = fleet.issue("x", name_caller("shop", "alice"), other)
        elif wrong == "pool":
            options["credentials"] = fleet.issue("x", name_caller("bank", "alice"))
        pool = catena.WorkerPool(discovery=fleet.where, quorum_timeout=1.5, **options)
        with pytest.raises(ExceptionGroup) as raised:
            await pool.open()
        assert "0 of 1 workers were found" in str(raised.value.exceptions[0])

    with_secured(tmp_path, work)


@isolated
def test_a_worker_with_another_name_is_no_member(tmp_path: Path) -> None:
    """P8: the caller demands the name of the record's worker, whatever the record says."""

    async def work(fleet: Secured) -> None:
        await fleet.start("w1")
        record = (fleet.folder / "w1.json").read_text()
        (fleet.folder / "w2.json").write_text(record.replace('"w1', '"w2'))
        caller = fleet.issue("caller", name_caller("shop", "alice"))
        pool = catena.WorkerPool(discovery=fleet.where, credentials=caller, name="shop")
        async with pool:
            await asyncio.sleep(1)
            assert pool.workers == ("w1",)
            await identify()

    with_secured(tmp_path, work)


@isolated
def test_a_list_says_who_may_call(tmp_path: Path) -> None:
    """P5: a scope calls under its own name; who is not on the worker's list is refused."""

    async def work(fleet: Secured) -> None:
        names = tmp_path / "callers"
        names.write_text("alice.shop.catena\n")
        pid = await fleet.start("w1", "--callers", str(names))
        alice = fleet.issue("alice", name_caller("shop", "alice"))
        bob = fleet.issue("bob", name_caller("shop", "bob"))
        async with catena.WorkerPool(discovery=fleet.where, credentials=alice, name="shop"):
            assert await identify() == pid
            with catena.credentials(bob), pytest.raises(catena.PeerRefused, match="bob"):
                await identify()
            assert await identify() == pid

    with_secured(tmp_path, work)


@isolated
def test_pools_and_credentials_do_not_mix_on_one_worker(tmp_path: Path) -> None:
    """P5, P2: each nested call goes to the pool of its call, under the credentials of its scope."""

    async def work(fleet: Secured) -> None:
        alice = fleet.issue("alice", name_caller("shop", "alice"))
        bob = str(fleet.issue("bob", name_caller("shop", "bob")))
        for name, callers in (("bobs", ("alice", "bob")), ("w1s", ("alice", "w1"))):
            lines = (f"{one}.shop.catena\n" for one in callers)
            (tmp_path / name).write_text("".join(lines))
        await fleet.start("w1", "--tags", "front")
        of_bob = await fleet.start("w2", "--tags", "back", "--callers", str(tmp_path / "bobs"))
        of_worker = await fleet.start("w3", "--tags", "back", "--callers", str(tmp_path / "w1s"))

        def pool_with(second: str) -> catena.WorkerPool:
            found = [MemberRecord(one, fleet.targets[one]) for one in ("w1", second)]
            return catena.WorkerPool(discovery=found, quorum=2, credentials=alice, name="shop")

        async with pool_with("w2") as first, pool_with("w3") as second:
            expected = {
                (first, bob): of_bob,
                (first, ""): 0,
                (second, bob): 0,
                (second, ""): of_worker,
            }
            calls = [*expected] * 10
            made = (identify_under.on(pool, tags={"front"})(folder) for pool, folder in calls)
            assert await asyncio.gather(*made) == [expected[one] for one in calls]

    with_secured(tmp_path, work)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"credentials": "certs"}, "credentials need the name of the pool"),
        ({"credentials": "certs", "name": "my_shop"}, "a pool with credentials is made of 1 to 63"),
        ({"insecure": 1}, "insecure must be True or False"),
    ],
)
def test_wrong_options_of_a_pool_are_refused(options: dict[str, Any], said: str) -> None:
    """P8: by name, when it is constructed."""
    with pytest.raises((ValueError, TypeError), match=said):
        catena.WorkerPool(discovery=["10.0.0.5:4000"], **options)


@isolated
def test_a_port_without_credentials_is_refused(tmp_path: Path) -> None:
    """Trust: plain TCP only where ``insecure`` is written out."""

    async def main() -> None:
        with pytest.raises(catena.CredentialsError):
            await catena.WorkerServer("127.0.0.1:0").start()
        without = catena.WorkerServer("127.0.0.1:0", certs=tmp_path / "nothing", pool="shop")
        with pytest.raises(catena.CredentialsError):
            await without.start()
        async with catena.WorkerServer("127.0.0.1:0", insecure=True, id="w1") as worker:
            assert not worker.target.endswith(":0")
            async with catena.WorkerPool(discovery=[worker.target], insecure=True) as pool:
                assert pool.workers == ("w1",)

    run(main())


class Deployed(Secured):
    """Workers that all have one pair, which names the pool, as the pods of a Deployment do."""

    def _listen(self, name: str) -> list[str]:
        folder = self.certs / "workers"
        if not folder.exists():
            self.issue("workers", name_worker("shop"))
        return ["127.0.0.1:0", "--certs", str(folder), "--pool", "shop"]

    @property
    def addresses(self) -> list[str]:
        """Where they listen, as a list that says no ids, by a name as DNS would have it."""
        return [target.replace("127.0.0.1", "localhost") for target in self.targets.values()]


@isolated
def test_a_deployment_shares_a_certificate(tmp_path: Path) -> None:
    """P8: found without an id, a worker proves the name of the pool, whoever calls it.

    That is so for the pool, for a scope of credentials, and for other workers' nested calls.
    """

    async def work(fleet: Deployed) -> None:
        pids = {await fleet.start("w1"), await fleet.start("w2")}
        alice = fleet.issue("alice", name_caller("shop", "alice"))
        bob = fleet.issue("bob", name_caller("shop", "bob"))
        pool = catena.WorkerPool(
            discovery=fleet.addresses, quorum=2, credentials=alice, name="shop"
        )
        async with pool:
            assert sorted(pool.workers) == ["w1", "w2"]
            assert {await identify() for _ in range(4)} == pids
            with catena.credentials(bob):
                assert {await identify() for _ in range(4)} == pids
            nested = [await identify_nested() for _ in range(4)]
            assert {pid for pair in nested for pid in pair} == pids
            assert any(first != second for first, second in nested)

    _run_with(Deployed(tmp_path), work)


@isolated
def test_a_shared_certificate_of_another_pool_is_refused(tmp_path: Path) -> None:
    """P8: the caller demands its own pool's name, also of an authority that both pools trust."""

    async def work(fleet: Deployed) -> None:
        await fleet.start("w1")
        bank = fleet.issue("bank", name_caller("bank", "alice"))
        pool = catena.WorkerPool(
            discovery=fleet.addresses, quorum_timeout=1.5, credentials=bank, name="bank"
        )
        with pytest.raises(ExceptionGroup) as raised:
            await pool.open()
        assert "0 of 1 workers were found" in str(raised.value.exceptions[0])

    _run_with(Deployed(tmp_path), work)
