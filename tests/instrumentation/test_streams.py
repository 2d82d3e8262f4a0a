"""The double-trace filter: Catena's own streams are in no trace when gRPC is instrumented too."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.instrumentation.catena import not_catena, streams
from opentelemetry.instrumentation.catena.streams import exclude
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import catena
from catena.link.service import METHOD, SERVICE
from tests.integration.pools import pooled
from tests.telemetry.story import add

EXCLUDED = "OTEL_PYTHON_GRPC_EXCLUDED_SERVICES"


@pytest.mark.parametrize(
    ("call", "traced"),
    [
        (SimpleNamespace(method=METHOD), False),
        (SimpleNamespace(method=METHOD.encode()), False),
        (SimpleNamespace(full_method=METHOD), False),
        (SimpleNamespace(method=f"/{SERVICE}Two/Link"), True),
        (SimpleNamespace(method="/theirs.Service/Link"), True),
        (SimpleNamespace(method=None), True),
        (SimpleNamespace(), True),
        (SimpleNamespace(method=b"\xff"), True),
    ],
)
def test_the_filter_knows_our_service(call: Any, traced: bool) -> None:
    """Servers, clients and channels name a call differently; ours is known by its service."""
    assert not_catena()(call) is traced


def test_another_filter_has_its_say() -> None:
    """A filter of the application's own narrows what is traced; ours stays out in any case."""
    both = not_catena(lambda call: call.method.endswith("Wanted"))

    assert both(SimpleNamespace(method="/theirs.Service/Wanted"))
    assert not both(SimpleNamespace(method="/theirs.Service/Other"))
    assert not both(SimpleNamespace(method=f"/{SERVICE}/Wanted"))


@pytest.mark.parametrize("before", [None, "theirs.Service", f"theirs.Service, {SERVICE}"])
def test_the_variable_names_it_once(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the application excludes stays; ours is added once, and taken away if it was."""
    if before is None:
        monkeypatch.delenv(EXCLUDED, raising=False)
    else:
        monkeypatch.setenv(EXCLUDED, before)
    undo = exclude()
    undo_second = exclude()
    during = os.environ[EXCLUDED].replace(" ", "").split(",")
    undo_second()
    undo()

    assert during.count(SERVICE) == 1
    assert os.environ.get(EXCLUDED) == before
    monkeypatch.undo()


@pytest.mark.parametrize("how", ["variable", "filter", "neither"])
def test_a_pool_under_grpc_instrumentation(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Double traces: gRPC's client spans of a pool's streams exist without the filter only."""
    exporter = InMemorySpanExporter()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.delenv(EXCLUDED, raising=False)
    undo = streams.exclude() if how == "variable" else lambda: None
    # These keep one instance of their class for good; the test makes its own.
    monkeypatch.setattr(GrpcAioInstrumentorClient, "_instance", None)
    client = GrpcAioInstrumentorClient(filter_=not_catena() if how == "filter" else None)
    client.instrument(tracer_provider=tracers, skip_dep_check=True)

    async def work(pool: catena.WorkerPool) -> int:
        return await add(1)

    try:
        assert pooled(work, spawn=1) == 1
    finally:
        client.uninstrument()
        undo()
        tracers.shutdown()
    told = [one.name for one in exporter.get_finished_spans() if one.name == METHOD]

    assert told == ([METHOD] if how == "neither" else [])
