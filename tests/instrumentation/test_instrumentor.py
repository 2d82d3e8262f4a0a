"""The instrumentor: on and off, its options, and what it hands on to workers."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest
from opentelemetry.instrumentation.catena import CatenaInstrumentor
from opentelemetry.instrumentation.distro import DefaultDistro
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from catena import telemetry
from catena.link.service import SERVICE
from catena.pool.bootstrap import worker_environment
from catena.telemetry import attempts
from catena.telemetry.logs import name_of
from tests.dispatch.ends import connected
from tests.support import isolated, run
from tests.telemetry.story import add, contend

EXCLUDED = "OTEL_PYTHON_GRPC_EXCLUDED_SERVICES"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Where spans arrive."""
    return InMemorySpanExporter()


@pytest.fixture
def tracers(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    """A provider that exports at once."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


@pytest.fixture(autouse=True)
def off_again() -> Iterator[None]:
    """Whatever a test switched on is off for the next."""
    yield
    if CatenaInstrumentor().is_instrumented_by_opentelemetry:
        CatenaInstrumentor().uninstrument()


def call() -> None:
    """Call a routine, caller and worker both in this process."""

    async def calling() -> None:
        async with connected():
            await add(1)

    isolated(run)(calling())


def kinds(spans: list[ReadableSpan] | tuple[ReadableSpan, ...]) -> list[str]:
    """Return the kinds of the spans of calls."""
    return sorted(one.kind.name for one in spans if one.name.endswith("add"))


def test_the_entry_point_leads_to_it() -> None:
    """Zero-code: what `opentelemetry-instrument` does with an entry point switches it on."""
    (entry,) = entry_points(group="opentelemetry_instrumentor", name="catena")
    DefaultDistro().load_instrumentor(entry, skip_dep_check=True)

    assert entry.load() is CatenaInstrumentor
    assert CatenaInstrumentor().is_instrumented_by_opentelemetry


def test_there_is_one() -> None:
    """As with BaseInstrumentor: constructing it again returns the same, state and all."""
    CatenaInstrumentor().instrument()

    assert CatenaInstrumentor() is CatenaInstrumentor()
    assert CatenaInstrumentor().is_instrumented_by_opentelemetry
    assert "catena-dispatch" in "".join(CatenaInstrumentor().instrumentation_dependencies())


def test_it_has_what_base_instrumentor_promises() -> None:
    """The duck type: every public name of BaseInstrumentor is there."""
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

    public = {name for name in dir(BaseInstrumentor) if not name.startswith("_")}
    assert public <= set(dir(CatenaInstrumentor))


def test_on_and_off(tracers: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """`instrument` tells, `uninstrument` ends it, and it can be switched on again."""
    CatenaInstrumentor().instrument(tracer_provider=tracers)
    call()
    told = kinds(exporter.get_finished_spans())
    CatenaInstrumentor().uninstrument()
    call()
    silent = kinds(exporter.get_finished_spans())
    CatenaInstrumentor().instrument(tracer_provider=tracers)
    call()

    assert told == silent == ["CLIENT", "SERVER"]
    assert kinds(exporter.get_finished_spans()) == ["CLIENT", "CLIENT", "SERVER", "SERVER"]


def test_twice_is_one_warning(
    tracers: TracerProvider, exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    """Bad input: switched on twice or off twice, calls are recorded once, each with one warning."""
    CatenaInstrumentor().instrument(tracer_provider=tracers)
    CatenaInstrumentor().instrument(tracer_provider=TracerProvider())
    call()
    CatenaInstrumentor().uninstrument()
    CatenaInstrumentor().uninstrument()

    assert kinds(exporter.get_finished_spans()) == ["CLIENT", "SERVER"]
    assert [one.levelname for one in caplog.records] == ["WARNING", "WARNING"]


def test_off_again_is_as_before(
    tracers: TracerProvider, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neutral: `uninstrument` leaves Catena's own warnings, and variables as they were."""
    monkeypatch.setenv(EXCLUDED, f"theirs.Service,{SERVICE}")
    before = dict(os.environ)
    CatenaInstrumentor().instrument(tracer_provider=tracers)
    CatenaInstrumentor().uninstrument()
    isolated(run)(contend())

    assert [name_of(one) for one in caplog.records] == ["catena.chain.contention"]
    assert dict(os.environ) == before
    assert telemetry.installed() <= {"logs"}


def test_an_unknown_option_is_refused() -> None:
    """Misuse fails where it is made."""
    with pytest.raises(TypeError, match="traces_provider"):
        CatenaInstrumentor().instrument(traces_provider=1)  # type: ignore[call-arg]
    assert not CatenaInstrumentor().is_instrumented_by_opentelemetry


def test_a_senseless_detail_leaves_it_off() -> None:
    """Misuse fails where it is made, and nothing is half on."""
    wrong: Any = "everything"
    with pytest.raises(ValueError, match="everything"):
        CatenaInstrumentor().instrument(detail=wrong)
    assert not CatenaInstrumentor().is_instrumented_by_opentelemetry
    assert EXCLUDED not in os.environ


def test_all_three_providers_are_used(
    tracers: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """Providers as arguments: spans, metrics and log records go where they say."""
    reader, records = InMemoryMetricReader(), InMemoryLogRecordExporter()
    meters, loggers = MeterProvider([reader]), LoggerProvider()
    loggers.add_log_record_processor(SimpleLogRecordProcessor(records))
    CatenaInstrumentor().instrument(
        tracer_provider=tracers, meter_provider=meters, logger_provider=loggers
    )
    call()
    isolated(run)(contend())
    CatenaInstrumentor().uninstrument()
    call()

    assert telemetry.installed() <= {"logs"}
    data = reader.get_metrics_data()
    names = {
        metric.name
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert "rpc.client.call.duration" in names
    told = {one.log_record.event_name: one.log_record for one in records.get_finished_logs()}
    (span,) = [one for one in exporter.get_finished_spans() if one.name == "catena.contention"]
    assert told["catena.chain.contention"].span_id == span.context.span_id
    loggers.shutdown()
    meters.shutdown()


def test_hooks_see_span_and_event(tracers: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """Hooks: called with the span and the event of a call that begins, one at each end."""
    CatenaInstrumentor().instrument(
        tracer_provider=tracers,
        dispatch_hook=lambda span, event: span.set_attribute("ours", f"to {event.routine}"),
        execution_hook=lambda span, event: span.set_attribute(
            "ours", f"of {event.served.endpoints.worker}"
        ),
    )
    call()

    ours = {
        one.kind.name: (one.attributes or {}).get("ours")
        for one in exporter.get_finished_spans()
        if one.name.endswith("add")
    }
    assert ours["CLIENT"] == f"to {add.__module__}.add"
    assert str(ours["SERVER"]).startswith("of ")


def test_a_hook_that_raises_is_called_again_and_logged_once(
    tracers: TracerProvider,
    exporter: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bad input: a hook that raises costs one log record; calls and their spans go on."""
    # As if nothing had been logged in the last minute.
    monkeypatch.setattr(attempts, "_said", {})
    called: list[Any] = []

    def hook(span: Any, event: Any) -> None:
        called.append(event)
        raise LookupError("the hook's own mistake")

    CatenaInstrumentor().instrument(tracer_provider=tracers, dispatch_hook=hook)
    call()
    call()

    assert len(called) == 2
    assert [one.levelno for one in caplog.records] == [logging.ERROR]
    assert kinds(exporter.get_finished_spans()) == ["CLIENT", "CLIENT", "SERVER", "SERVER"]


def test_pending_spans_have_no_end_to_wait_for(
    tracers: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """Pending spans: made when the call begins, one at each end, none without the option."""
    CatenaInstrumentor().instrument(tracer_provider=tracers, pending=True)
    call()
    CatenaInstrumentor().uninstrument()
    CatenaInstrumentor().instrument(tracer_provider=tracers)
    call()

    spans = [one for one in exporter.get_finished_spans() if one.name.endswith("add")]
    pending = [one for one in spans if (one.attributes or {}).get("catena.pending")]
    assert [one.kind.name for one in pending] == ["INTERNAL", "INTERNAL"]
    assert kinds([one for one in spans if one not in pending]) == [
        *("CLIENT", "CLIENT", "SERVER", "SERVER")
    ]
    assert spans.index(pending[0]) < 2


def environment_of_a_worker(**given: str) -> dict[str, str]:
    """Return what a worker's environment becomes."""
    return worker_environment(dict(given), "w7")


def test_workers_are_told_what_the_parent_was_told() -> None:
    """Workers tell as their parent does: what it was told in code travels as variables."""
    CatenaInstrumentor().instrument(
        detail="dispatch", pending=True, baggage=True, record_messages=False, span_events=True
    )
    told = environment_of_a_worker(OTEL_EXPERIMENTAL_RESOURCE_DETECTORS="process")
    CatenaInstrumentor().uninstrument()

    assert told == {
        "CATENA_WORKER_ID": "w7",
        "CATENA_WORKER_BOOTSTRAP": "opentelemetry.instrumentation.catena.worker:bootstrap",
        "CATENA_TELEMETRY": "dispatch",
        "CATENA_PENDING_SPANS": "1",
        "CATENA_BAGGAGE": "1",
        "CATENA_RECORD_MESSAGES": "0",
        "CATENA_SPAN_EVENTS": "1",
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "process,catena",
    }
    assert environment_of_a_worker() == {"CATENA_WORKER_ID": "w7"}


def test_workers_do_not_do_what_the_parent_was_told_not_to_do() -> None:
    """What code switched off stays off in workers; of what it left open nothing is said."""
    CatenaInstrumentor().instrument(pending=False)
    told = environment_of_a_worker(CATENA_PENDING_SPANS="1", CATENA_SPAN_EVENTS="1")

    assert told["CATENA_PENDING_SPANS"] == "0"
    assert told["CATENA_SPAN_EVENTS"] == "1"
    assert "CATENA_TELEMETRY" not in told


@pytest.mark.parametrize(
    ("workers", "given", "becomes"),
    [
        (True, "theirs:f", "theirs:f"),
        ("ours:f", "theirs:f", "ours:f"),
        (False, "theirs:f", "theirs:f"),
        (False, "", ""),
    ],
)
def test_who_names_the_bootstrap(workers: bool | str, given: str, becomes: str) -> None:
    """A name in code comes before the environment's, and that before ours."""
    CatenaInstrumentor().instrument(workers=workers)
    told = environment_of_a_worker(**({"CATENA_WORKER_BOOTSTRAP": given} if given else {}))

    assert told.get("CATENA_WORKER_BOOTSTRAP", "") == becomes


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ("service.instance.id=one", "service.instance.id=one-w7"),
        ("a=1, service.instance.id=x%20y ,b=2", "a=1,b=2,service.instance.id=x%20y-w7"),
        ("service.instance.id=one-w7", "service.instance.id=one-w7"),
        ("a=1", "a=1"),
        ("nonsense", "nonsense"),
    ],
)
def test_no_worker_has_its_parents_instance(given: str, becomes: str) -> None:
    """The resource: an instance's name that is inherited gets the worker's id, once."""
    CatenaInstrumentor().instrument()

    assert (
        environment_of_a_worker(OTEL_RESOURCE_ATTRIBUTES=given)["OTEL_RESOURCE_ATTRIBUTES"]
        == becomes
    )
