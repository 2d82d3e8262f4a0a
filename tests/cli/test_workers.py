"""``catena workers`` and ``catena doctor``: real processes at both ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.cli.main import main
from catena.pool.record_folder import read_pools, write_record
from catena.pool.recorded import RecordedPool, RecordedWorker, encode_pool
from catena.security.names import name_caller
from tests.cli.test_operating import FIELDS, command
from tests.pool.found_routines import identify, rest_a_while
from tests.pool.records import keep_records_apart
from tests.pool.test_found_over_tls import Secured, with_secured
from tests.pool.test_found_workers import SECONDS, Fleet, until, with_fleet
from tests.support import isolated, run

SHOWN = [*FIELDS[1:], "last_error", "pools"]


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leave the records of this test in a folder of its own."""
    return keep_records_apart(tmp_path, monkeypatch)


def known_workers() -> tuple[RecordedWorker, ...]:
    """Return the workers in the record of the one pool, three of them at last."""
    workers = read_pools()[0][0].workers
    return workers if len(workers) == 3 else (RecordedWorker("", ""),)


async def listed(*options: str) -> tuple[int, dict[str, Any]]:
    """Run `catena workers --json`; return its exit code and its object."""
    code, text, errors = await command("workers", "--json", *options)
    assert text, errors
    return code, json.loads(text)


@isolated
def test_all_workers_of_all_pools_are_listed() -> None:
    """Each once, with what it does now, and the pools that have it."""

    async def work() -> None:
        async with catena.WorkerPool(2, slots=3) as first:
            call = asyncio.ensure_future(rest_a_while(60))
            async with catena.WorkerPool(1, name="shop", insecure=True) as second:
                await asyncio.sleep(0.3)
                code, found = await listed()
                assert (code, found["schema"], found["problems"]) == (0, 1, [])
                assert all(set(one) == set(SHOWN) for one in found["workers"])
                assert [one["id"] for one in found["workers"]] == [*first.workers, *second.workers]
                assert {one["state"] for one in found["workers"]} == {"ready"}
                assert {one["version"] for one in found["workers"]} == {catena.__version__}
                assert sum(one["calls"] for one in found["workers"]) == 1
                assert sum(one["leases"] for one in found["workers"]) == 1
                assert [one["slots"] for one in found["workers"]] == [3, 3, 1]
                assert [one["name"] for one in found["pools"]] == ["", "shop"]
                assert {one["pid"] for one in found["pools"]} == {os.getpid()}
                assert [one["pools"] for one in found["workers"]] == [
                    *[[found["pools"][0]["id"]]] * 2,
                    [found["pools"][1]["id"]],
                ]
                code, text, _ = await command("workers")
                assert (code, text.splitlines()[0]) == (
                    0,
                    "3 workers of 2 pools, 3 of which have answered",
                )
                assert f"shop ({os.getpid()})" in text
                code, text, _ = await command("doctor")
                assert (code, text) == (0, "3 workers and 2 pools: nothing is wrong\n")
            call.cancel()
            await asyncio.wait([call])

    run(work(), timeout=60)


@isolated
def test_who_does_not_answer_is_listed_as_silent(tmp_path: Path) -> None:
    """Within two seconds, however many; with what the pool knows of it."""

    async def work(fleet: Fleet) -> None:
        pids = [await fleet.start(name) for name in ("w1", "w2", "w3")]
        async with catena.WorkerPool(discovery=fleet.where, quorum=3, unresponsive_after=None):
            await until(lambda: all(one.version for one in known_workers()))
            began = time.monotonic()
            assert (await listed())[0] == 0
            usual = time.monotonic() - began
            for pid in pids[:2]:
                os.kill(pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                code, shown = await listed()
                taken = time.monotonic() - began
                assert (await command("doctor"))[0] == 3
            finally:
                for pid in pids[:2]:
                    os.kill(pid, signal.SIGCONT)
            assert taken - usual < 2.0
            assert {one["id"]: one["state"] for one in shown["workers"]} == {
                "w1": "silent",
                "w2": "silent",
                "w3": "ready",
            }
            assert code == 1
            silent = next(one for one in shown["workers"] if one["id"] == "w1")
            assert silent["last_error"] == "it has not answered within 2 s"
            assert (silent["version"], silent["calls"]) == (catena.__version__, None)
            assert "tags" in silent["capabilities"]
            assert (await listed())[0] == 0

    with_fleet(tmp_path, work)


@isolated
def test_workers_that_are_found_elsewhere_are_listed(tmp_path: Path) -> None:
    """Also where no pool has them; one that a pool has is listed once."""

    async def work(fleet: Fleet) -> None:
        await fleet.start("w1")
        code, found = await listed("--discovery", fleet.where)
        assert (code, found["pools"]) == (0, [])
        assert [(one["id"], one["pools"]) for one in found["workers"]] == [("w1", [])]
        async with catena.WorkerPool(discovery=fleet.where):
            code, found = await listed("--discovery", fleet.where)
            ((name, pools),) = ((one["id"], one["pools"]) for one in found["workers"])
            assert (code, name, len(pools)) == (0, "w1", 1)

    with_fleet(tmp_path, work)


@isolated
def test_workers_elsewhere_are_asked_with_the_users_credentials(tmp_path: Path) -> None:
    """Those of the pool's record, or others; whoever is no operator is refused, which is kept."""

    async def work(fleet: Secured) -> None:
        await fleet.start("w1")
        caller = fleet.issue("caller", name_caller("shop", "caller"))
        operator = fleet.issue("operator", name_caller("shop", "operator"))
        async with catena.WorkerPool(discovery=fleet.where, credentials=caller, name="shop"):
            await identify()
            code, found = await listed()
            (worker,) = found["workers"]
            assert (code, worker["state"]) == (1, "refused")
            assert "those who may operate" in worker["last_error"]
            assert found["pools"][0]["credentials"] == str(caller)
            code, found = await listed("--certs", str(operator))
            (worker,) = found["workers"]
            assert (code, worker["state"], worker["links"]) == (0, "ready", 1)
            assert worker["last_error"].startswith("refused caller.shop.catena: those who may")
            code, text, _ = await command("doctor", "--json", "--certs", str(operator))
            (refusal,) = json.loads(text)["refusals"]
            assert (refusal["by"], refusal["whom"]) == ("w1", "caller.shop.catena")
            assert (code, refusal["kind"]) == (1, "PeerAccessRefused")
        # The record in the folder has the name that it has to prove.
        code, found = await listed("--discovery", fleet.where, "--certs", str(operator))
        assert (code, found["workers"][0]["id"]) == (0, "w1")

    with_secured(tmp_path, work)


@isolated
def test_both_ends_tell_of_a_refusal(tmp_path: Path) -> None:
    """The worker by its answer, and the pool that was refused by its record."""

    async def work(fleet: Secured) -> None:
        names = tmp_path / "callers"
        names.write_text("alice.shop.catena\n")
        await fleet.start("w1", "--callers", str(names))
        alice = fleet.issue("alice", name_caller("shop", "alice"))
        bob = fleet.issue("bob", name_caller("shop", "bob"))
        operator = fleet.issue("operator", name_caller("shop", "operator"))
        async with catena.WorkerPool(discovery=fleet.where, credentials=alice, name="shop"):
            with catena.credentials(bob), pytest.raises(catena.PeerRefused):
                await identify()
            await asyncio.sleep(1.5)
            code, text, _ = await command("doctor", "--json", "--certs", str(operator))
            found = json.loads(text)
            target = json.loads((fleet.folder / "w1.json").read_text())["target"]
            ends = {(one["by"], one["whom"]) for one in found["refusals"]}
            assert code == 1
            assert ends == {("w1", "bob.shop.catena"), (target, "bob.shop.catena")}
            assert {"alice.shop.catena" in one["reason"] for one in found["refusals"]} == {True}
            assert (found["order"], found["lost"], found["deprecated"]) == ([], [], [])
            code, text, _ = await command("doctor", "--certs", str(operator))
            assert (code, text.splitlines()[0]) == (1, "1 worker and 1 pool")
            assert "bob.shop.catena" in text

    with_secured(tmp_path, work)


def test_watching_ends_by_ctrl_c() -> None:
    """Each look is an object on a line of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "catena", "workers", "--watch", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        for _ in range(2):
            assert json.loads(process.stdout.readline())["workers"] == []
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=SECONDS)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)


@pytest.mark.parametrize("asked", ["workers", "doctor"])
def test_nobody_there_is_nothing_wrong(asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No pool, and no worker."""
    assert main([asked]) == 0
    assert main([asked, "--json"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("asked", ["workers", "doctor"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--discovery", "nowhere"], "no members can be found there"),
        (["--discovery", "dir:relative"], "is not an absolute path"),
        (["x"], "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_says_why(
    asked: str, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit code is 2."""
    assert main([asked, *options]) == 2
    assert said in capsys.readouterr().err


def test_a_stranger_that_accepts_and_says_nothing_is_silent(
    tmp_path: Path, records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad input: a record of a pool names a socket behind which nobody speaks."""
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute.sock"))
        mute.listen(8)
        workers = (
            RecordedWorker("w1", f"unix:{tmp_path}/mute.sock"),
            RecordedWorker("w2", f"unix:{tmp_path}/nobody.sock"),
            RecordedWorker("w3", "no target"),
            RecordedWorker("w4", "127.0.0.1:1"),
        )
        write_record("aa", encode_pool(RecordedPool("aa", os.getpid(), workers=workers)))
        (records / "bad.json").write_text("{")
        began = time.monotonic()
        assert main(["workers", "--json"]) == 1
        taken = time.monotonic() - began
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    states = [one["state"] for one in found["workers"]]
    assert states == ["silent", "unreachable", "unreachable", "unreachable"]
    assert "needs credentials" in found["workers"][3]["last_error"]
    assert len(found["problems"]) == 1
    assert printed.err.startswith("catena workers: the record ")
    assert taken < 2.5
