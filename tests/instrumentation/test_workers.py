"""Workers have an SDK, and nothing that they told is lost, however they end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.instrumentation.processes import (
    ZERO_CODE,
    Collected,
    collected,
    configurator,
    running,
)
from tests.integration.programs import alive, until

HEAD = """
    import asyncio, json, os, signal, sys, time
    from pathlib import Path
    import catena

    def say(what):
        print(json.dumps(what), flush=True)

    @catena.routine
    async def outer():
        return await inner()

    @catena.routine
    async def inner():
        return os.getpid()

    @catena.routine
    async def stay():
        await inner()
        Path("begun").touch()
        await asyncio.sleep(60)

    @catena.routine
    async def block():
        await inner()
        Path("begun").touch()
        time.sleep(60)
"""
INSTRUMENTED = """
    from opentelemetry.instrumentation.catena import CatenaInstrumentor
    CatenaInstrumentor().instrument(OPTIONS)
"""
CALLS = """
    async def main():
        async with catena.WorkerPool(spawn=2) as pool:
            say(pool.pids)
            for _ in range(4):
                await outer()
        say("left")

    asyncio.run(main())
"""
STAYS = """
    async def main():
        async with catena.WorkerPool(spawn=1, drain_timeout=1.0) as pool:
            say(pool.pids)
            calling = asyncio.create_task(WHAT())
            try:
                await asyncio.wait_for(calling, 60)
            except catena.WorkerLost:
                say("lost")
            except asyncio.CancelledError:
                say("cancelled")

    asyncio.run(main())
"""
STOPPED = """
    async def main():
        async with catena.WorkerPool(spawn=1, stop_timeout=1.5) as pool:
            say(pool.pids)
            calling = asyncio.create_task(WHAT())
            while not Path("leave").exists():
                await asyncio.sleep(0.02)
        say("left")

    asyncio.run(main())
"""


OURS = """
from opentelemetry.instrumentation.catena import CatenaInstrumentor
from opentelemetry.instrumentation.catena.worker import bootstrap

def set_up():
    CatenaInstrumentor().instrument(
        execution_hook=lambda span, event: span.set_attribute("hooked", "yes")
    )
    return bootstrap()
"""


def program(body: str, options: str = "", what: str = "stay") -> str:
    """A program with workers whose parent has no SDK: only workers tell."""
    return HEAD + INSTRUMENTED.replace("OPTIONS", options) + body.replace("WHAT", what)


@pytest.fixture
def told() -> Iterator[Collected]:
    """A receiver."""
    with collected() as found:
        yield found


def test_workers_tell_and_what_they_told_arrives(told: Collected, tmp_path: Path) -> None:
    """In code: workers of an instrumented parent export, and each is an instance of its own."""
    with running(program(CALLS), tmp_path, told) as ran:
        pids = ran.facts()
        assert ran.facts() == "left"
        assert ran.ended() == 0
        assert ran.errors() == ""

    executions = told.executions("outer") + told.executions("inner")
    resources = [one.origin.resource for one in executions]
    assert len(executions) == 8
    assert {one["process.pid"]: one["catena.worker.id"] for one in resources} == {
        pid: worker for worker, pid in pids.items()
    }
    assert len({one["service.instance.id"] for one in resources}) == 2
    assert {one["service.name"] for one in resources} == {"tests"}
    assert {one.name for one in told.recording.points} >= {"rpc.server.call.duration"}


def test_zero_code_tells_of_parent_and_workers(told: Collected, tmp_path: Path) -> None:
    """`opentelemetry-instrument python app.py`: one trace for each call, workers included."""
    found = configurator(tmp_path)
    more = {f"OTEL_{signal}_EXPORTER": "otlp" for signal in ("TRACES", "METRICS", "LOGS")}
    with running(HEAD + CALLS, tmp_path, told, *ZERO_CODE, PYTHONPATH=found, **more) as ran:
        pids = ran.facts()
        assert ran.facts() == "left"
        assert ran.ended() == 0
        assert ran.errors() == ""

    dispatches = [one for one in told.spans("outer") if one.kind == "CLIENT"]
    assert len(dispatches) == 4
    assert len({one.trace_id for one in dispatches}) == 4
    assert {one.trace_id for one in told.executions("inner")} == {
        one.trace_id for one in dispatches
    }
    workers = {one.origin.resource["catena.worker.id"] for one in told.executions("inner")}
    assert workers == set(pids)
    assert [one for one in told.recording.spans if "grpc" in one.origin.scope] == []


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_worker_that_gets_sigterm_tells_all(told: Collected, tmp_path: Path, loop: str) -> None:
    """SIGTERM: the spans of finished and of interrupted calls arrive, and the worker ends."""
    with running(program(STAYS), tmp_path, told, CATENA_LOOP=loop) as ran:
        (pid,) = ran.facts().values()
        begun(tmp_path)
        os.kill(pid, signal.SIGTERM)
        assert ran.facts() in ("lost", "cancelled")
        assert ran.ended() == 0
        assert not alive(pid)

    (stayed,) = told.executions("stay")
    assert stayed.attributes["catena.outcome"] == "cancelled"
    assert len(told.executions("inner")) == 1


@pytest.mark.parametrize("what", ["stay", "block"])
def test_a_worker_that_is_told_to_stop_tells_all(
    told: Collected, tmp_path: Path, what: str
) -> None:
    """A pool that is left, a routine may block the loop: what was told until then arrives."""
    with running(program(STOPPED, what=what), tmp_path, told) as ran:
        (pid,) = ran.facts().values()
        begun(tmp_path)
        (tmp_path / "leave").touch()
        assert ran.facts() == "left"
        assert ran.ended() == 0
        assert not alive(pid)

    assert len(told.executions("inner")) == 1
    # A call that never lets go has no end to tell of.
    assert len(told.executions(what)) == (what == "stay")


def test_workers_whose_parent_is_killed_tell_all(told: Collected, tmp_path: Path) -> None:
    """Kill -9 of the parent: its workers find that it is gone, and what they told arrives."""
    with running(program(STAYS), tmp_path, told) as ran:
        (pid,) = ran.facts().values()
        begun(tmp_path)
        ran.process.kill()
        assert until(lambda: not alive(pid), 20)

    assert len(told.executions("stay")) == 1
    assert len(told.executions("inner")) == 1


def test_after_kill_9_pending_spans_show_what_was_running(told: Collected, tmp_path: Path) -> None:
    """Kill -9 of a worker: its real spans are gone, pending ones name the call and the worker."""
    with running(program(STAYS, "pending=True"), tmp_path, told) as ran:
        ((worker, pid),) = ran.facts().items()
        begun(tmp_path)
        told.wait(lambda: told.spans("stay", catena__pending=True))
        os.kill(pid, signal.SIGKILL)
        assert ran.facts() == "lost"
        assert ran.ended() == 0

    (pending,) = told.spans("stay", catena__pending=True)
    assert told.executions("stay") == []
    assert pending.attributes["rpc.method"].endswith("stay")
    assert pending.attributes["catena.worker.id"] == worker
    assert pending.origin.resource["process.pid"] == pid
    assert [one.span_id == pending.span_id for one in pending.links] == [False]


def test_a_pending_span_goes_with_the_span_of_its_call(told: Collected, tmp_path: Path) -> None:
    """Pending spans: an id of their own, the parent and the trace of the real one, a link to it."""
    with running(program(CALLS, "pending=True"), tmp_path, told) as ran:
        assert ran.ended() == 0

    real = {one.span_id: one for one in told.executions("inner")}
    pending = [one for one in told.spans("inner", catena__pending=True) if one.links]
    assert len(real) == 4
    of_executions = [one for one in pending if one.links[0].span_id in real]
    assert len(of_executions) == 4
    for one in of_executions:
        its = real[one.links[0].span_id]
        assert (one.trace_id, one.parent_span_id) == (its.trace_id, its.parent_span_id)
        assert one.span_id not in real
        assert one.kind == "INTERNAL"


def test_a_bootstrap_of_ones_own_is_called(told: Collected, tmp_path: Path) -> None:
    """Workers by import string: a function sets the worker up its way, and hands on the flush."""
    (tmp_path / "ours.py").write_text(OURS)
    with running(program(CALLS, "workers='ours:set_up'"), tmp_path, told) as ran:
        assert ran.ended() == 0

    assert {one.attributes["hooked"] for one in told.executions("outer")} == {"yes"}
    assert len(told.executions("outer")) == 4


def test_the_environment_names_the_bootstrap(told: Collected, tmp_path: Path) -> None:
    """Workers by environment: the parent need not know of telemetry at all."""
    name = "opentelemetry.instrumentation.catena.worker:bootstrap"
    with running(HEAD + CALLS, tmp_path, told, CATENA_WORKER_BOOTSTRAP=name) as ran:
        assert ran.ended() == 0

    assert len(told.executions("outer")) == 4


def test_an_inherited_instance_is_told_apart(told: Collected, tmp_path: Path) -> None:
    """The resource: what names the parent as an instance does not name its workers."""
    given = "service.instance.id=one,team=blue"
    with running(program(CALLS), tmp_path, told, OTEL_RESOURCE_ATTRIBUTES=given) as ran:
        pids = ran.facts()
        assert ran.ended() == 0

    resources = [one.origin.resource for one in told.executions("outer")]
    assert {one["service.instance.id"] for one in resources} == {f"one-{name}" for name in pids}
    assert {one["team"] for one in resources} == {"blue"}


def begun(folder: Path) -> None:
    """Wait until the routine has begun that stays."""
    assert until((folder / "begun").exists, 20)
