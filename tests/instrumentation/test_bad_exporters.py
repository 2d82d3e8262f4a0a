"""Bad input: exporters that fail and SDKs that come late, twice or leave early; calls go on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.instrumentation.processes import Collected, collected, environment, running
from tests.instrumentation.test_workers import CALLS, program
from tests.integration.programs import Program

ALL = ("TRACES", "METRICS", "LOGS")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """An address that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of an HTTP server that refuses whatever is posted."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_error(403)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def warnings(text: str) -> list[str]:
    """Return the lines on standard error that tell of something."""
    return [one for one in text.splitlines() if one.strip()]


def ran(tmp_path: Path, endpoint: str, protocol: str) -> str:
    """Run calls whose workers export there; return what was said of it. One worker, to count."""
    source = program(CALLS.replace("spawn=2", "spawn=1"))
    env = environment(endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    with Program(source, tmp_path, env=env) as started:
        assert len(started.facts()) == 1
        assert started.facts() == "left"
        assert started.ended() == 0
        return started.errors()


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_an_exporter_that_reaches_nobody(tmp_path: Path, nobody: str, protocol: str) -> None:
    """Exporter down: calls go on, the worker ends in time, and there is one warning."""
    assert len(told_once(ran(tmp_path, nobody, protocol))) == 1


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_an_exporter_that_hears_nothing_back(tmp_path: Path, silent: str, protocol: str) -> None:
    """Exporter slow: calls go on, the flush is given up in time, with a warning."""
    said = ran(tmp_path, silent, protocol)

    late = [one for one in warnings(said) if "not everything was exported" in one]
    assert len(late) == 1
    assert warnings(said) == [*told_once(said), *late]
    assert len(told_once(said)) <= 1


def test_an_exporter_that_is_refused(tmp_path: Path, refusing: str) -> None:
    """Exporter refusing: calls go on, and there is one warning."""
    assert len(told_once(ran(tmp_path, refusing, "http/protobuf"))) == 1


def told_once(said: str) -> list[str]:
    """Return the warnings of exporters; other lines may tell that time was short."""
    return [one for one in warnings(said) if "(reported once)" in one]


def test_an_exporter_that_is_not_installed(tmp_path: Path) -> None:
    """What the environment asks for and nobody has: a warning for the signal, and calls go on."""
    with collected() as told:
        more = {"OTEL_TRACES_EXPORTER": "carrier_pigeon", "OTEL_LOGS_EXPORTER": "none"}
        with running(program(CALLS), tmp_path, told, **more) as started:
            assert started.ended() == 0
            said = started.errors()

    assert said.count("no traces are exported by carrier_pigeon") == 2  # workers
    assert told.recording.points
    assert told.recording.spans == []


def test_an_sdk_that_is_disabled(tmp_path: Path) -> None:
    """OTEL_SDK_DISABLED: workers set nothing up, and nothing is said."""
    with collected() as told:
        with running(program(CALLS), tmp_path, told, OTEL_SDK_DISABLED="true") as started:
            assert started.ended() == 0
            assert started.errors() == ""
        assert told.receiver.counts.spans == 0
        assert told.receiver.counts.points == 0


SDK = """
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    def configure():
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
        return provider
"""
LATE = """
    async def main():
        async with catena.WorkerPool(spawn=1):
            await outer()
            configure()
            BEFORE
            while not catena.telemetry.installed() >= {"traces"}:
                await asyncio.sleep(0.05)
            await outer()
            await outer()
            AFTER
            await outer()
        say("left")

    asyncio.run(main())
"""


@pytest.fixture
def told() -> Iterator[Collected]:
    """A receiver."""
    with collected() as found:
        yield found


def dispatched(told: Collected) -> int:
    """Return how many calls the parent told."""
    return len([one for one in told.spans("outer") if one.kind == "CLIENT"])


@pytest.mark.parametrize(
    ("before", "after", "calls", "said"),
    [
        ("", "", 3, None),
        ("configure()", "", 3, "Overriding of current TracerProvider is not allowed"),
        ("", "trace.get_tracer_provider().shutdown()", 2, None),
    ],
    ids=["late", "twice", "shut down early"],
)
def test_an_sdk_of_the_application(
    told: Collected, tmp_path: Path, before: str, after: str, calls: int, said: str | None
) -> None:
    """An SDK configured late, twice, or shut down early: calls go on, one warning at most."""
    body = SDK + LATE.replace("BEFORE", before or "pass").replace("AFTER", after or "pass")
    with running(program(body), tmp_path, told) as started:
        assert started.facts() == "left"
        assert started.ended() == 0
        lines = warnings(started.errors())

    assert dispatched(told) == calls
    assert len(lines) == (said is not None), lines
    assert said is None or said in lines[0]
