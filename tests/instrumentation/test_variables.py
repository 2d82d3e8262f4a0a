"""What OpenTelemetry's variables say holds for workers, and off is off."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.instrumentation.processes import (
    ZERO_CODE,
    Collected,
    collected,
    configurator,
    running,
)

TRACED = """
    import asyncio, json, logging
    import catena
    from opentelemetry import context, propagate, trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.instrumentation.catena import CatenaInstrumentor

    @catena.routine
    async def where():
        header = {}
        propagate.inject(header)
        logging.getLogger("shop").warning("in the routine")
        return header.get("traceparent", "")

    async def main():
        async with catena.WorkerPool(spawn=1):
            context.attach(propagate.extract({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}))
            with trace.get_tracer("app").start_as_current_span("app") as span:
                mine = format(span.get_span_context().trace_id, "032x")
                print(json.dumps([mine, await where()]), flush=True)

    trace.set_tracer_provider(TracerProvider())
    CatenaInstrumentor().instrument()
    asyncio.run(main())
"""
LOGS = """
    import asyncio, json
    import catena
    from opentelemetry.instrumentation.catena import CatenaInstrumentor
    from shop_logging import configure_and_say

    async def main():
        async with catena.WorkerPool(spawn=1):
            print(json.dumps(await configure_and_say()), flush=True)

    CatenaInstrumentor().instrument()
    asyncio.run(main())
"""
SHOP_LOGGING = """
import logging, logging.config
import catena

@catena.routine
async def configure_and_say():
    logging.basicConfig(level=logging.INFO, format="%(levelname)s of %(name)s: %(message)s")
    logging.getLogger("shop").info("first")
    logging.basicConfig(level=logging.INFO, format="again %(message)s", force=True)
    logging.getLogger("shop").info("second")
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False,
        "handlers": {"err": {"class": "logging.StreamHandler"}},
        "root": {"level": "INFO", "handlers": ["err"]}})
    logging.getLogger("shop").info("third")
    return [type(one).__name__ for one in logging.getLogger().handlers]
"""
PLAIN = """
    import asyncio, json
    import catena
    from opentelemetry import trace

    @catena.routine
    async def work():
        return 1

    async def main():
        async with catena.WorkerPool(spawn=1):
            with trace.get_tracer("app").start_as_current_span("mine"):
                print(json.dumps(await work()), flush=True)

    asyncio.run(main())
"""
DECLARED = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

def load_config_file(path):
    with open(path, encoding="utf-8") as file:
        return file.read()

def configure_sdk(config):
    provider = TracerProvider(resource=Resource({"service.name": config}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
"""
"""What stands in for opentelemetry-configuration, which pins each release of the SDK exactly."""


def traced(told: Collected, folder: Path, **variables: str) -> tuple[str, str, str]:
    """Run a call within a trace; return the caller's trace, the worker's, and standard error."""
    with running(TRACED, folder, told, **variables) as ran:
        mine, header = ran.facts()
        assert ran.ended() == 0
        return mine, header[3:35], ran.errors()


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_EXPORTER": "carrier_pigeon"},
        {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")},
        {"OTEL_SDK_DISABLED": "true"},
    ],
    ids=lambda one: "-".join(one.values()),
)
def test_a_trace_goes_on_where_no_span_is_exported(
    variables: dict[str, str], tmp_path: Path
) -> None:
    """OTEL_TRACES_EXPORTER, OTEL_SDK_DISABLED: what the routine calls is in its caller's trace."""
    with collected() as told:
        mine, theirs, _ = traced(told, tmp_path, **variables)

    assert told.recording.spans == []
    assert theirs == mine == "a" * 32
    assert {one.trace_id for one in told.recording.logs if one.body == "in the routine"} <= {mine}


def test_the_sampler_of_workers_is_the_one_that_is_named(tmp_path: Path) -> None:
    """OTEL_TRACES_SAMPLER: a worker whose sampler drops all exports nothing, its header says so."""
    with collected() as told:
        mine, theirs, said = traced(told, tmp_path, OTEL_TRACES_SAMPLER="always_off")

    assert (theirs, said) == (mine, "in the routine\n")
    assert told.recording.spans == []


def test_a_file_of_declarative_configuration_is_followed(tmp_path: Path) -> None:
    """OTEL_CONFIG_FILE: the file describes the worker's SDK, and no variable counts beside it."""
    package = tmp_path / "declared" / "opentelemetry" / "configuration"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(DECLARED)
    (tmp_path / "otel.yaml").write_text("from the file")
    path = os.pathsep.join([str(tmp_path / "declared"), os.environ.get("PYTHONPATH", "")])
    with collected() as told:
        mine, theirs, said = traced(
            told,
            tmp_path,
            PYTHONPATH=path.strip(os.pathsep),
            OTEL_CONFIG_FILE=str(tmp_path / "otel.yaml"),
            OTEL_TRACES_EXPORTER="none",
        )

    (execution,) = told.executions("where")
    assert (theirs, execution.trace_id, said) == (mine, mine, "in the routine\n")
    assert execution.origin.resource["service.name"] == "from the file"


def test_a_file_that_cannot_be_followed_is_one_warning(tmp_path: Path) -> None:
    """OTEL_CONFIG_FILE without the package that reads it: the remedy is named, traces go on."""
    with collected() as told:
        mine, theirs, said = traced(told, tmp_path, OTEL_CONFIG_FILE=str(tmp_path / "none.yaml"))

    assert theirs == mine
    assert told.recording.spans == []
    (warning,) = [one for one in said.splitlines() if "OTEL_CONFIG_FILE" in one]
    assert "none.yaml" in warning


def test_logging_is_configured_as_without_us(tmp_path: Path) -> None:
    """Neutral: `basicConfig` and `dictConfig` do on a worker what they do anywhere; all arrives."""
    (tmp_path / "shop_logging.py").write_text(SHOP_LOGGING)
    with collected() as told, running(LOGS, tmp_path, told, PYTHONPATH=str(tmp_path)) as ran:
        handlers: Any = ran.facts()
        assert ran.ended() == 0
        said = ran.errors()

    assert said == "INFO of shop: first\nagain second\nthird\n"
    assert sorted(handlers) == ["RecordHandler", "StreamHandler"]
    shop = [one.body for one in told.recording.logs if one.origin.scope == "shop"]
    assert shop == ["first", "second", "third"]


@pytest.mark.parametrize("names", ["catena", "requests , catena", "*"])
def test_what_is_left_out_of_zero_code_tells_nothing(names: str, tmp_path: Path) -> None:
    """OTEL_PYTHON_DISABLED_INSTRUMENTATIONS: the SDK is there, and Catena does not use it."""
    more = {f"OTEL_{signal}_EXPORTER": "otlp" for signal in ("TRACES", "METRICS")}
    more |= {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": names, "PYTHONPATH": configurator(tmp_path)}
    with collected() as told, running(PLAIN, tmp_path, told, *ZERO_CODE, **more) as ran:
        assert ran.facts() == 1
        assert ran.ended() == 0
        assert ran.errors() == ""

    assert [one.name for one in told.recording.spans] == ["mine"]
    names_told = {one.name for one in told.recording.points}
    assert {one for one in names_told if one.startswith(("catena.", "rpc."))} == set()
