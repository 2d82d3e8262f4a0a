"""The how-to of a rolling upgrade, step by step, with processes of the release that was cut."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.pool.record_folder import VARIABLE
from tests.cli.test_operating import command
from tests.compat.peers import Release, environment_of, unpack_release, worker_of
from tests.pool.test_found_workers import SECONDS, Fleet, until, with_fleet
from tests.support import isolated

OLD = "0.1.0"

ROUTINES = '''
import catena


@catena.routine
async def version(depth):
    """Return the versions of the workers of a call and of those within it."""
    return [catena.__version__, *(await version(depth - 1) if depth else [])]
'''

HOLDING = """
import asyncio, sys
from catena.dispatch.dispatcher import dispatcher
from catena.ids import new_id
from catena.proxy.balance import Proxy
import upgrade_routines as routines

async def main(member):
    proxy = Proxy(new_id(), (tuple(member),), "report", secret=b"")
    dispatcher.set(proxy)
    print(len(await routines.version(1)), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await proxy.close()

asyncio.run(main(sys.argv[1:]))
"""
"""A caller of a release that keeps its link until its standard input ends."""


class Caller:
    """A program of a release that has called a worker, which has made a call of its own."""

    def __init__(self, release: Release, folder: Path, *member: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", HOLDING, *member],
            env=environment_of(release, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "2\n"

    def stop(self) -> int:
        """End it, and return its exit code."""
        try:
            self.process.communicate(timeout=SECONDS)
        finally:
            self.process.kill()
        return self.process.returncode


@pytest.fixture
def routines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return routines that all processes can import, with the records in a folder of this test."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "records"))
    (tmp_path / "upgrade_routines.py").write_text(ROUTINES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module("upgrade_routines")


async def ask_doctor() -> tuple[int, dict[str, Any]]:
    """Run `catena doctor --json`; return its exit code and its object."""
    code, text, errors = await command("doctor", "--json")
    assert text, errors
    return code, json.loads(text)


async def await_order(*who: str) -> dict[str, Any]:
    """Ask until the steps are for these, and return what was said then."""
    async with asyncio.timeout(SECONDS):
        while True:
            _, found = await ask_doctor()
            if [one["who"].partition(" ")[0] for one in found["order"]] == list(who):
                return found
            await asyncio.sleep(0.2)


def ends_of(found: dict[str, Any]) -> set[tuple[str, str]]:
    """Return who writes deprecated fields, and who reads them."""
    return {(one["written_by"], one["read_by"]) for one in found["deprecated"]}


@isolated
def test_the_order_that_doctor_prints_leads_to_the_end(tmp_path: Path, routines: Any) -> None:
    """V1: after each step, that step is gone; calls go on all the time, and at last all is well."""
    old = unpack_release(OLD, tmp_path)
    here = f"pool (process {os.getpid()})"
    met: Counter[str] = Counter()

    async def keep_calling() -> None:
        while True:
            try:
                met.update(await routines.version(1))
            except catena.WorkerLost:
                # Of 0.1 no call is finished when the worker ends.
                met["lost"] += 1
            await asyncio.sleep(0.01)

    async def work(fleet: Fleet) -> None:
        await fleet.start("w1")
        where = [f"unix:{tmp_path}/{name}.sock" for name in ("w0", "w1")]
        caller = await asyncio.to_thread(Caller, old, tmp_path, "w1", where[1])
        with ExitStack() as stack:
            stack.callback(caller.process.kill)
            await asyncio.to_thread(stack.enter_context, worker_of(old, "w0", tmp_path, b""))
            pool = await catena.WorkerPool(discovery=where, quorum=2).open()
            calling = None
            try:
                with pool.bound():
                    calling = asyncio.ensure_future(keep_calling())
                found = await await_order("report", "w0")
                assert [one["kind"] for one in found["order"]] == ["caller", "worker"]
                assert {one["version"] for one in found["order"]} == {OLD}
                assert {one["to"] for one in found["order"]} == {catena.__version__}
                old_caller = f"report (process {caller.process.pid})"
                assert ends_of(found) >= {(old_caller, "w1"), (here, "w0")}
                lost = {one["capability"] for one in found["lost"] if one["who"] == "w0"}
                assert {"pings", "slots", "tags", "proxy"} <= lost
                assert [one["state"] for one in found["unanswered"]] == ["old"]

                # The first step: the caller. The worker that it called goes on.
                assert await asyncio.to_thread(caller.stop) == 0
                found = await await_order("w0")
                assert old_caller not in {one for pair in ends_of(found) for one in pair}

                # The second: the worker, at the same place and with the same id.
                await asyncio.to_thread(stack.close)
                before = met["lost"]
                await until(lambda: set(pool.workers) == {"w1"})
                await fleet.start("w0")
                await until(lambda: set(pool.workers) == {"w0", "w1"})
                await await_order()

                # It is done.
                code, found = await ask_doctor()
                assert (code, found["deprecated"], found["lost"]) == (0, [], [])
                assert found["unanswered"] == []
                # What was lost was lost with the worker of 0.1, and not later.
                assert met["lost"] <= before + 1
                assert not calling.done()
                assert met[OLD] > 0
                assert met[catena.__version__] > 0
            finally:
                if calling is not None:
                    calling.cancel()
                await pool.close()

    with_fleet(tmp_path, work)
