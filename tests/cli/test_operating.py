"""``catena status`` and ``catena stop``: real processes at both ends."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.cli.main import main
from catena.cli.status import show_seconds
from catena.proxy.balance import Proxy
from catena.security.names import name_caller
from catena.wire.versions import PROTOCOL
from tests.pool.found_routines import identify, rest_a_while
from tests.pool.test_found_over_tls import Secured, with_secured
from tests.pool.test_found_workers import SECONDS, Fleet, until, with_fleet
from tests.support import isolated, run

FIELDS = [
    *("schema", "id", "version", "address", "state", "pid", "seconds", "protocol"),
    *("capabilities", "tags", "slots", "slots_taken", "calls", "leases", "links"),
]


async def command(*arguments: str) -> tuple[int, str, str]:
    """Run a command of Catena; return its exit code, its output and what it writes as errors."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "catena", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


async def exit_code(fleet: Fleet, name: str) -> int:
    """Wait until a worker has ended, and return its exit code."""
    return await asyncio.to_thread(fleet.processes[name].wait, SECONDS)


@isolated
def test_the_status_of_a_worker(tmp_path: Path) -> None:
    """It says what the worker is and does, in lines or as one object."""

    async def work(fleet: Fleet) -> None:
        pid = await fleet.start("w1", "--tags", "gpu,eu", "--slots", "3")
        where = f"unix:{tmp_path}/w1.sock"
        async with catena.WorkerPool(discovery=fleet.where):
            calls = [asyncio.ensure_future(rest_a_while(60)) for _ in range(2)]
            await asyncio.sleep(0.3)
            code, text, errors = await command("status", where, "--json")
            assert (code, errors) == (0, "")
            found: dict[str, Any] = json.loads(text)
            assert list(found) == FIELDS
            assert (found["schema"], found["id"], found["pid"]) == (1, "w1", pid)
            assert (found["address"], found["state"]) == (f"{tmp_path}/w1.sock", "ready")
            assert (found["version"], found["protocol"]) == (catena.__version__, PROTOCOL)
            assert "tags" in found["capabilities"]
            assert (found["tags"], found["slots"], found["slots_taken"]) == (["eu", "gpu"], 3, 0)
            assert (found["calls"], found["leases"], found["links"]) == (2, 2, 1)
            assert 0 < found["seconds"] < SECONDS
            code, text, errors = await command("status", where)
            assert (code, errors) == (0, "")
            assert text.startswith(f"w1 at {tmp_path}/w1.sock: ready\n  process    {pid}, for ")
            assert "  tags       eu, gpu\n  slots      0 of 3 taken\n  calls      2\n" in text
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)

    with_fleet(tmp_path, work)


@isolated
def test_a_worker_that_is_stopped_finishes_its_calls(tmp_path: Path) -> None:
    """P12: as on SIGTERM; the command waits for its end, and nothing is lost."""

    async def work(fleet: Fleet) -> None:
        first, second = await fleet.start("w1"), await fleet.start("w2")
        async with catena.WorkerPool(discovery=fleet.where, quorum=2) as pool:
            calls = [asyncio.ensure_future(rest_a_while(2.5)) for _ in range(4)]
            await asyncio.sleep(0.3)
            stopping = asyncio.ensure_future(command("stop", f"unix:{tmp_path}/w1.sock"))
            await until(lambda: pool.workers == ("w2",))
            assert await identify() == second
            code, text, errors = await stopping
            assert all(call.done() for call in calls)
            assert {await call for call in calls} == {first, second}
            assert (code, text) == (0, "")
            assert errors == ("catena stop: w1 ends its 2 calls\ncatena stop: w1 has stopped\n")
            assert await exit_code(fleet, "w1") == 0

    with_fleet(tmp_path, work)


@isolated
def test_a_worker_that_is_stopped_now_cancels_its_calls(tmp_path: Path) -> None:
    """P12: also one that is finishing its calls already, which says that it does."""

    async def work(fleet: Fleet) -> None:
        await fleet.start("w1")
        where = f"unix:{tmp_path}/w1.sock"
        async with catena.WorkerPool(discovery=fleet.where):
            call = asyncio.ensure_future(rest_a_while(60))
            await asyncio.sleep(0.3)
            code, _, errors = await command("stop", where, "--timeout", "0.5")
            assert code == 1
            assert "catena stop: w1 has not stopped within 0.5 s" in errors
            _, text, _ = await command("status", where, "--json")
            assert (json.loads(text)["state"], json.loads(text)["calls"]) == ("draining", 1)
            began = time.monotonic()
            code, _, errors = await command("stop", where, "--now")
            assert (code, time.monotonic() - began < 15) == (0, True), errors
            with pytest.raises(catena.WorkerLost):
                await call
            assert await exit_code(fleet, "w1") == 0

    with_fleet(tmp_path, work)


@isolated
def test_operators_and_callers_are_told_apart(tmp_path: Path) -> None:
    """Trust: by the names in their certificates, and the lists of the worker."""

    async def work(fleet: Secured) -> None:
        names = tmp_path / "callers"
        names.write_text("alice.shop.catena\n")
        pid = await fleet.start("w1", "--callers", str(names))
        target = json.loads((fleet.folder / "w1.json").read_text())["target"]
        alice = fleet.issue("alice", name_caller("shop", "alice"))
        operator = fleet.issue("operator", name_caller("shop", "operator"))
        proof = ("--name", "w1.shop.catena")
        pool = catena.WorkerPool(discovery=fleet.where, credentials=alice, name="shop")
        async with pool:
            for asked in ("status", "stop"):
                code, text, errors = await command(asked, target, *proof, "--certs", str(alice))
                assert (code, text) == (1, "")
                assert errors.startswith(
                    f"catena {asked}: {target}: 'alice.shop.catena' was refused: those who may"
                    " operate the workers of pool shop are operator.shop.catena"
                )
            assert await identify() == pid
            with catena.credentials(operator), pytest.raises(catena.PeerRefused):
                await identify()
            certs = ("--certs", str(operator))
            code, text, _ = await command("status", target, *certs, *proof)
            assert (code, text.splitlines()[0]) == (0, f"w1 at {target}: ready")
            code, _, errors = await command("status", target, *certs, "--name", "w2.shop.catena")
            assert code == 1
            assert "it did not prove that it is w2.shop.catena" in errors
            assert fleet.processes["w1"].poll() is None
            code, _, errors = await command("stop", target, *certs, *proof)
            assert (code, errors.splitlines()[-1]) == (0, "catena stop: w1 has stopped")
            assert await exit_code(fleet, "w1") == 0

    with_secured(tmp_path, work)


@isolated
def test_a_list_of_operators_takes_the_place_of_the_name(tmp_path: Path) -> None:
    """Trust: who is on it may be no caller, and the usual name counts no more."""

    async def work(fleet: Secured) -> None:
        names = tmp_path / "operators"
        names.write_text("spiffe://shop/carol\n")
        await fleet.start("w1", "--operators", str(names))
        target = json.loads((fleet.folder / "w1.json").read_text())["target"]
        operator = fleet.issue("operator", name_caller("shop", "operator"))
        carol = fleet.issue("carol", name_caller("", spiffe="spiffe://shop/carol"))
        proof = ("--name", "w1.shop.catena")
        code, _, errors = await command("stop", target, *proof, "--certs", str(operator))
        assert (code, "are spiffe://shop/carol" in errors) == (1, True)
        code, _, errors = await command("stop", target, *proof, "--certs", str(carol))
        assert (code, errors.splitlines()[-1]) == (0, "catena stop: w1 has stopped")

    with_secured(tmp_path, work)


@isolated
def test_workers_of_a_pool_are_left_to_it(tmp_path: Path) -> None:
    """Their status can be seen by their user, and their pool alone ends them."""

    async def main() -> None:
        async with catena.WorkerPool(1) as pool:
            ((name, pid),) = pool.pids.items()
            proxy = pool.dispatcher
            assert isinstance(proxy, Proxy)
            (member,) = proxy.members
            code, text, errors = await command("status", member.target, "--json")
            assert (code, errors) == (0, "")
            found = json.loads(text)
            assert (found["id"], found["pid"], found["links"]) == (name, pid, 1)
            code, _, errors = await command("stop", member.target, "--now")
            assert code == 1
            assert f"catena stop: {name} does not stop: it belongs to a pool" in errors
            assert await identify() == pid

    run(main(), timeout=60)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["unix:/nowhere/w1.sock"], 1, "No such file or directory"),
        (["127.0.0.1:1"], 2, "HOST:PORT needs --certs FOLDER and --name NAME, or --insecure"),
        (["127.0.0.1:1", "--certs", "x"], 2, "--certs needs --name NAME"),
        (["127.0.0.1:1", "--insecure"], 1, "Connection refused"),
        (["127.0.0.1:1", "--certs", "/nowhere", "--name", "w1.shop.catena"], 1, "/nowhere/ca.pem"),
        (["w1"], 2, "'w1' is not an address"),
        ([], 2, "Missing argument 'TARGET'"),
    ],
)
@pytest.mark.parametrize("asked", ["status", "stop"])
def test_who_cannot_be_asked_is_an_error(
    asked: str, arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says why; a wrong command line has an exit code of its own."""
    assert main([asked, *arguments]) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (59.9, "59 s"), (61, "1 min 1 s"), (7_500, "2 h 5 min"), (180_000, "2 d 2 h")],
)
def test_a_time_is_shown_in_two_units(seconds: float, shown: str) -> None:
    """The larger ones count."""
    assert show_seconds(seconds) == shown
