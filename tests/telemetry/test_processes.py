"""One trace across real processes: caller, worker, nested worker, generator and fork."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

Run = tuple[list[int], list[int], list[dict[str, Any]]]

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio, json, sys
import catena
from tests.telemetry import traced

async def main():
    traced.configure()
    async with catena.WorkerPool(spawn=2) as pool:
        traced.number.set(5)
        pids = set(pool.pids.values())
        ready = set()
        # Workers are taken in turn.
        while len(ready) < WANTED:
            ready.add(await traced.prepared())
        traced.finished()
        for _ in pids:
            await traced.collected()
        from opentelemetry import trace
        with trace.get_tracer("app").start_as_current_span("app"):
            said = await traced.middle()
            await traced.middle()
            await asyncio.gather(*(traced.leaf(9) for _ in range(6)))
        spans = traced.finished()
        for _ in range(4):
            spans += await traced.collected()
    spans = [one for one in spans if "collected" not in one["name"]]
    print(json.dumps([said, sorted(pids), spans]))

asyncio.run(main())
"""


def told(program: str) -> Run:
    """Run the program in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said, pids, spans = json.loads(done.stdout)
    return said, pids, spans


@pytest.fixture(scope="module")
def run_of_all() -> Run:
    """A run in which every process has an SDK."""
    return told(PROGRAM.replace("WANTED", "2"))


def test_everything_is_one_connected_trace(run_of_all: Run) -> None:
    """One trace: three processes, every span's parent is there, and there is one root."""
    _, pids, spans = run_of_all
    (app,) = [one for one in spans if one["name"] == "app"]
    trace = [one for one in spans if one["trace"] == app["trace"]]
    ids = {one["id"] for one in trace}

    assert {one["pid"] for one in trace} == {app["pid"], *pids}
    assert [one["name"] for one in trace if not one["parent"]] == ["app"]
    assert [one for one in trace if one["parent"] and one["parent"] not in ids] == []
    assert {link for one in trace for link in one["links"]} <= ids
    assert {one["status"] for one in trace} == {"UNSET"}


def test_each_call_has_its_place_in_the_tree(run_of_all: Run) -> None:
    """One trace: an execution is below its dispatch, a nested dispatch below the execution."""
    _, _, spans = run_of_all
    (app,) = [one for one in spans if one["name"] == "app"]
    by_id = {one["id"]: one for one in spans if one["trace"] == app["trace"]}
    above = {(one["name"].rpartition(".")[2], one["kind"]): set() for one in by_id.values()}
    for one in by_id.values():
        if one["parent"]:
            up = by_id[one["parent"]]
            name = (up["name"].rpartition(".")[2], up["kind"])
            above[one["name"].rpartition(".")[2], one["kind"]].add(name)

    assert above["middle", "SERVER"] == {("middle", "CLIENT")}
    assert above["steps", "CLIENT"] == {("middle", "SERVER")}
    assert above["steps", "SERVER"] == {("steps", "CLIENT")}
    assert above["leaf", "CLIENT"] == {
        ("app", "INTERNAL"),
        ("middle", "SERVER"),
        ("steps", "SERVER"),
    }
    assert above["leaf", "SERVER"] == {("leaf", "CLIENT")}
    assert above["reset", "INTERNAL"] == {("leaf", "SERVER")}
    assert {side for _, side in above["lease", "INTERNAL"]} == {"SERVER"}


def test_a_process_without_an_sdk_breaks_the_trace_and_no_call() -> None:
    """One trace: where nobody traces in the middle, the next one begins a trace and says so."""
    said, pids, spans = told(PROGRAM.replace("WANTED", "1"))

    assert len(said) == 3
    (app,) = [one for one in spans if one["name"] == "app"]
    roots = [one for one in spans if one["kind"] == "SERVER" and not one["parent"]]
    assert {one["attributes"]["catena.carrier"] for one in roots} == {"absent"}
    assert {one["pid"] for one in spans} < {app["pid"], *pids}
    connected = [one for one in spans if one["kind"] == "SERVER" and one["trace"] == app["trace"]]
    assert connected
    assert [one for one in connected if "catena.carrier" in one["attributes"]] == []
