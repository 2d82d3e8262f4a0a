"""One trace across real processes: caller, worker, nested worker, generator and fork."""

from __future__ import annotations

import json
import os
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


def told(program: str, **variables: str) -> Run:
    """Run the program in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=ROOT,
        env={**os.environ, **variables},
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


def test_a_process_without_an_sdk_passes_the_trace_on_and_breaks_no_call() -> None:
    """One trace: where nobody traces in the middle, the trace goes on behind it."""
    said, pids, spans = told(PROGRAM.replace("WANTED", "1"))

    assert len(said) == 3
    (app,) = [one for one in spans if one["name"] == "app"]
    assert {one["pid"] for one in spans} < {app["pid"], *pids}
    executions = [one for one in spans if one["kind"] == "SERVER"]
    assert executions
    assert {one["trace"] for one in executions} == {app["trace"]}
    assert [one for one in executions if "catena.carrier" in one["attributes"]] == []


OPTIONS = """
import asyncio, json
from opentelemetry import baggage
from opentelemetry.context import attach
import catena
from tests.telemetry import traced

async def main():
    traced.configure()
    catena.telemetry.install(GIVEN)
    attach(baggage.set_baggage("who", "me"))
    async with catena.WorkerPool(spawn=1):
        await traced.prepared()
        await traced.collected()
        traced.number.set(5)
        await traced.leaf(1)
        carried = await traced.failing("why")
        spans = [one for one in await traced.collected() if "collected" not in one["name"]]
    print(json.dumps([carried, [], spans]))

asyncio.run(main())
"""


def told_by_a_worker(given: str, **variables: str) -> tuple[Any, list[dict[str, Any]]]:
    """Return the baggage that reached a worker, and its spans, with options given in code."""
    carried, _, spans = told(OPTIONS.replace("GIVEN", given), **variables)
    return carried, spans


def is_pending(span: dict[str, Any]) -> bool:
    """Say whether a span tells of a call that has begun."""
    return "catena.pending" in span["attributes"]


def messages(spans: list[dict[str, Any]]) -> set[str]:
    """Return the texts of errors in the spans of calls that failed."""
    failed = [one for one in spans if one["status"] == "ERROR"]
    return {one["attributes"].get("exception.message", "") for one in failed}


def test_options_given_in_code_reach_workers() -> None:
    """Workers: detail, messages, baggage and pending are as the parent was given them."""
    given = 'detail="dispatch", record_messages=True, baggage=True, pending=True'
    carried, spans = told_by_a_worker(given)

    assert carried == {"who": "me"}
    names = sorted(one["name"].rpartition(".")[2] for one in spans if not is_pending(one))
    assert names == ["failing", "leaf", "raising", "raising"]
    assert sum(map(is_pending, spans)) == len(names)
    assert messages(spans) == {"why"}


def test_what_code_leaves_open_the_environment_says_in_workers_as_here() -> None:
    """Workers: a variable holds where code says nothing, and yields where it does."""
    on = dict.fromkeys(("CATENA_RECORD_MESSAGES", "CATENA_BAGGAGE", "CATENA_PENDING_SPANS"), "1")
    carried, spans = told_by_a_worker("baggage=False, pending=False", **on)

    assert carried == {}
    assert "catena.mount" in {one["name"] for one in spans}
    assert not any(map(is_pending, spans))
    assert messages(spans) == {"why"}
