"""The switch: on by default, late, twice, off; what is imported when, and what listens."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from catena import events, telemetry
from catena.events.bus import Event
from catena.telemetry import switch
from catena.telemetry.logs import name_of
from tests.dispatch.ends import connected
from tests.support import isolated, run
from tests.telemetry.always import ALWAYS
from tests.telemetry.sdk import telling
from tests.telemetry.story import add, contend, number

ROOT = Path(__file__).parents[2]

SDK = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()

def configure():
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    return tracers
"""

POOL = """
import asyncio, sys
import catena
from tests.integration.routines import echo

def opentelemetry():
    return [name for name in sys.modules if name.startswith(("opentelemetry", "structlog"))]

def names():
    return [one.name for one in exporter.get_finished_spans()]
"""


def python(program: str, **environment: str) -> str:
    """Run a program in a process of its own; return what it printed."""
    import os

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def listening() -> set[type[Event]]:
    """Return the events that somebody listens to or observes."""
    kinds = [getattr(events, name) for name in events.__all__]
    kinds = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Event)]
    return {kind for kind in kinds if kind.listeners or getattr(kind, "observers", ())}


def test_a_pool_without_an_sdk_imports_nothing_and_subscribes_nobody() -> None:
    """Default: no OpenTelemetry, no structlog; only of what has gone wrong somebody hears."""
    program = """
async def main():
    async with catena.WorkerPool(spawn=1):
        assert await echo(1) == 1
        from catena import events
        kinds = [getattr(events, name) for name in events.__all__]
        heard = [one for one in kinds if getattr(one, "listeners", ())]
        seen = [one for one in kinds if getattr(one, "observers", ())]
        print(opentelemetry(), *sorted(one.__name__ for one in heard + seen))

asyncio.run(main())
"""
    assert python(POOL + program).split() == ["[]", *sorted(one.__name__ for one in ALWAYS)]


def test_importing_catena_imports_no_telemetry() -> None:
    """Default: `import catena` is as light as it was; the two rooms are there when asked for."""
    program = (
        "import catena, sys; names = ('catena.telemetry', 'opentelemetry', 'structlog');"
        "print([one for one in names if one in sys.modules]);"
        "print(catena.logging.configure_json.__name__, catena.telemetry.install.__name__)"
    )
    assert python(program) == "[]\nconfigure_json install\n"


@pytest.mark.parametrize("when", ["before", "late"])
def test_an_sdk_is_found(when: str) -> None:
    """Default: configured before the pool opens, or while it is open, within a second or so."""
    early, late = ("configure()", "") if when == "before" else ("", "configure()")
    program = f"""
async def main():
    {early}
    async with catena.WorkerPool(spawn=1):
        {late}
        async with asyncio.timeout(20):
            while "traces" not in catena.telemetry.installed():
                await asyncio.sleep(0.05)
        exporter.clear()
        await echo(1)
        print(*names(), *sorted(catena.telemetry.installed()))

asyncio.run(main())
"""
    assert python(SDK + POOL + program) == "tests.integration.routines.echo metrics traces\n"


@pytest.mark.parametrize(
    ("detail", "printed"),
    [("off", "[]"), ("dispatch", "['tests.integration.routines.echo']")],
)
def test_the_environment_chooses_the_detail(detail: str, printed: str) -> None:
    """Detail: CATENA_TELEMETRY says how much is told."""
    program = """
async def main():
    configure()
    async with catena.WorkerPool(spawn=1):
        await echo(1)
    print(names())

asyncio.run(main())
"""
    assert python(SDK + POOL + program, CATENA_TELEMETRY=detail) == f"{printed}\n"


def test_an_unknown_detail_is_told_once() -> None:
    """Bad input: one warning, and the default."""
    program = """
import logging; logging.basicConfig(format="%(message)s")
from catena.telemetry.switch import ensure_recording
configure(); ensure_recording(); ensure_recording()
print(sorted(catena.telemetry.installed()))
"""
    said = python(SDK + POOL + program, CATENA_TELEMETRY="loud")

    assert said.splitlines()[0].startswith("['")
    assert said.count("CATENA_TELEMETRY is 'loud'") == 1


def test_an_sdk_that_is_configured_twice_or_shut_down_early_breaks_no_call() -> None:
    """Bad input: calls go on, and Catena has nothing to add to what the SDK says."""
    program = """
async def main():
    tracers = configure()
    async with catena.WorkerPool(spawn=1):
        assert await echo(1) == 1
        configure()
        assert await echo(2) == 2
        tracers.shutdown()
        metrics.get_meter_provider().shutdown()
        for _ in range(3):
            assert await echo(3) == 3
        await asyncio.sleep(1.1)
        assert await echo(4) == 4
    print(len(names()) >= 2)

asyncio.run(main())
"""
    said = python(SDK + POOL + program)

    assert said.startswith("True\n")
    assert "catena" not in said


# ---- in this process


def test_a_detail_that_is_none_is_refused() -> None:
    """Misuse fails where it happens, with the name in the message."""
    wrong: Any = "loud"
    with pytest.raises(ValueError, match="detail must be one of off, dispatch, full"):
        telemetry.install(detail=wrong)


@isolated
def test_uninstalled_tells_no_spans_and_metrics(caplog: pytest.LogCaptureFixture) -> None:
    """Default: after uninstall there are none, also not after the next look; warnings stay."""
    with telling():
        assert events.Mount in listening()
    switch.ensure_recording()
    run(contend())

    assert events.Mount not in listening()
    assert telemetry.installed() <= {"logs"}
    assert [name_of(one) for one in caplog.records] == ["catena.chain.contention"]


@isolated
def test_installing_again_replaces_what_was_there() -> None:
    """Several handles: each span is made once, by the provider that was given last."""
    number.set(1)

    async def main() -> None:
        async with connected():
            await add(1)

    with telling() as first, telling() as second:
        telemetry.install(tracer_provider=second.tracer_provider, detail="dispatch")
        run(main())

    assert first.spans == []
    assert len(second.named("add")) == 2


@isolated
def test_instruments_of_a_provider_are_made_once(caplog: pytest.LogCaptureFixture) -> None:
    """Several handles: the same provider twice counts on, and no instrument is a duplicate."""
    number.set(1)

    async def main() -> None:
        async with connected():
            await add(1)

    with telling() as told, caplog.at_level(logging.WARNING):
        run(main())
        telemetry.install(tracer_provider=told.tracer_provider, meter_provider=told.meter_provider)
        run(main())
        assert told.numbers("catena.chain.mounts")[(("catena.direction", "to_worker"),)] == 2

    assert caplog.records == []


@isolated
def test_detail_off_tells_nothing_at_all() -> None:
    """Detail: off is no span, no number, no record of a call, and no carrier."""
    number.set(1)

    async def main() -> None:
        async with connected():
            await add(1)

    with telling(detail="off", audit=True) as told:
        assert listening() == ALWAYS
        assert telemetry.installed() == frozenset()
        run(main())
        assert told.metrics() == {}

    assert (told.spans, told.records) == ([], [])


@isolated
def test_one_signal_alone_will_do() -> None:
    """Default: metrics are told where no tracer provider is configured."""
    number.set(1)

    async def main() -> None:
        async with connected():
            await add(1)

    with telling() as told:
        telemetry.install(meter_provider=told.meter_provider)
        switch._switch.spans = None
        assert "metrics" in telemetry.installed()
        run(main())
        (point,) = told.metrics()["rpc.server.call.duration"]
        assert point.count == 1
