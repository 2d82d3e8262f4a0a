"""The how-to of a rolling upgrade, step by step, with processes of the release that was cut."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import catena
from tests.cli.test_operating import command
from tests.compat.peers import SHARED, Release, environment_of, find_release, workers_of
from tests.pool.records import keep_records_apart
from tests.pool.test_found_workers import SECONDS, Fleet, until, with_fleet
from tests.support import isolated

OLD = "0.1.0"
HOLDING = "import skew_process; skew_process.prepare(); import skew_upgrade; skew_upgrade.main()"


class Caller:
    """A program of a release that has called a worker, and keeps its link."""

    def __init__(self, release: Release, *member: str) -> None:
        self.process = subprocess.Popen(
            [release.python, "-P", "-c", HOLDING, *member],
            env=environment_of(release),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "1\n"

    @property
    def name(self) -> str:
        """How `catena doctor` calls it."""
        return f"report (process {self.process.pid})"

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
    keep_records_apart(tmp_path, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(SHARED))
    monkeypatch.syspath_prepend(str(SHARED))
    return importlib.import_module("skew_upgrade")


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


async def await_end() -> int:
    """Ask until nothing is left to do, and return the exit code; a record is a second late."""
    async with asyncio.timeout(SECONDS):
        while True:
            code, found = await ask_doctor()
            parts = ("deprecated", "lost", "order", "unanswered", "problems")
            if not any(found[one] for one in parts):
                reasons = {one["reason"].rpartition(": ")[2] for one in found["refusals"]}
                assert reasons <= {"draining"}
                return code
            await asyncio.sleep(0.2)


def ends_of(found: dict[str, Any]) -> set[tuple[str, str]]:
    """Return who writes deprecated fields, and who reads them."""
    return {(one["written_by"], one["read_by"]) for one in found["deprecated"]}


async def keep_calling(routines: Any, met: Counter[str]) -> None:
    """Call all the time, and count the versions that answered."""
    while True:
        try:
            met.update(await routines.list_versions(1))
        except catena.WorkerLost:
            # Of 0.1 no call is finished when the worker ends.
            met["lost"] += 1
        await asyncio.sleep(0.01)


@asynccontextmanager
async def calling_pool(
    where: list[str], routines: Any, met: Counter[str]
) -> AsyncGenerator[catena.WorkerPool]:
    """Open a pool of found workers, whose calls go on until the block ends."""
    async with catena.WorkerPool(discovery=where, quorum=len(where)) as pool:
        calling = asyncio.ensure_future(keep_calling(routines, met))
        try:
            yield pool
            assert not calling.done(), calling.exception()
        finally:
            calling.cancel()


def check_beginning(found: dict[str, Any], caller: Caller) -> None:
    """A worker and a caller of 0.1 are to be upgraded, and the caller comes first."""
    assert [one["kind"] for one in found["order"]] == ["caller", "worker"]
    assert {one["version"] for one in found["order"]} == {OLD}
    assert {one["to"] for one in found["order"]} == {catena.__version__}
    here = f"pool (process {os.getpid()})"
    assert ends_of(found) >= {(caller.name, "w1"), (here, "w0")}
    lost = {one["capability"] for one in found["lost"] if one["who"] == "w0"}
    assert {"pings", "slots", "tags", "proxy"} <= lost
    assert [one["state"] for one in found["unanswered"]] == ["old"]


async def upgrade(fleet: Fleet, folder: Path, routines: Any) -> None:
    """Take the steps that `catena doctor` prints, in their order, while calls go on."""
    met: Counter[str] = Counter()
    await fleet.start("w1")
    where = [f"unix:{folder}/{name}.sock" for name in ("w0", "w1")]
    with ExitStack() as stack:
        caller = await asyncio.to_thread(Caller, find_release(OLD), "w1", where[1])
        stack.callback(caller.process.kill)
        old = workers_of([find_release(OLD)], folder, secret=b"")
        await asyncio.to_thread(stack.enter_context, old)
        async with calling_pool(where, routines, met) as pool:
            check_beginning(await await_order("report", "w0"), caller)

            # The first step: the caller. The worker that it called goes on.
            assert await asyncio.to_thread(caller.stop) == 0
            found = await await_order("w0")
            assert caller.name not in {one for pair in ends_of(found) for one in pair}

            # The second: the worker, at the same place and with the same id.
            await asyncio.to_thread(stack.close)
            before = met["lost"]
            await until(lambda: set(pool.workers) == {"w1"})
            await fleet.start("w0")
            await until(lambda: set(pool.workers) == {"w0", "w1"})
            await await_order()

            # It is done.
            assert await await_end() == 0
            # What was lost was lost with the worker of 0.1, and not later.
            assert met["lost"] <= before + 1
            assert min(met[OLD], met[catena.__version__]) > 0


@isolated
def test_the_order_that_doctor_prints_leads_to_the_end(tmp_path: Path, routines: Any) -> None:
    """V1: after each step, that step is gone; calls go on all the time, and at last all is well."""
    with_fleet(tmp_path, lambda fleet: upgrade(fleet, tmp_path, routines))
