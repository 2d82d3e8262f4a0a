"""Programs whose telemetry goes to a receiver in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from catena.collect import Receiver, Recording, receiving
from catena.collect.reading import LogRecord, Span
from tests.integration.programs import Program, until

__all__ = ["ZERO_CODE", "Collected", "collected", "configurator", "environment", "running"]

ZERO_CODE = (
    "-c",
    "from opentelemetry.instrumentation.auto_instrumentation import run; run()",
    sys.executable,
)
"""Flags of an interpreter that make it what the command ``opentelemetry-instrument`` is."""


@dataclass
class Collected:
    """What has arrived, and where it does."""

    receiver: Receiver
    recording: Recording = field(default_factory=Recording)

    def spans(self, name: str = "", **attributes: object) -> list[Span]:
        """Return the spans whose name ends so, and that have these attributes, dots as __."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        return [
            one
            for one in tuple(self.recording.spans)
            if one.name.endswith(name) and wanted.items() <= one.attributes.items()
        ]

    def records(self, name: str) -> list[LogRecord]:
        """Return the log records of an event."""
        return [one for one in tuple(self.recording.logs) if one.name == name]

    def wait(self, true: Callable[[], object], seconds: float = 30) -> None:
        """Wait until something holds of what has arrived."""
        assert until(lambda: bool(true()), seconds), sorted(
            f"{one.name} {one.kind}" for one in self.recording.spans
        )

    def executions(self, name: str) -> list[Span]:
        """Return the spans of a routine that workers told."""
        return [one for one in self.spans(name) if one.kind == "SERVER"]


@contextmanager
def collected() -> Iterator[Collected]:
    """Receive over gRPC and HTTP while the block runs."""
    recording = Recording()
    with receiving(out=recording.add) as receiver:
        yield Collected(receiver, recording)


def environment(endpoint: str, **more: str) -> dict[str, str]:
    """Return the variables with which a program's SDK exports to an endpoint by OTLP."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SERVICE_NAME": "tests", **more}


def configurator(folder: Path) -> str:
    """Write a distribution that configures the SDK as opentelemetry-distro does.

    That one pins a version of its own; returned is a PYTHONPATH on which this one is found.
    """
    info = folder / "tests_configurator-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tests-configurator\nVersion: 0\n")
    (info / "entry_points.txt").write_text(
        "[opentelemetry_configurator]\ntests = tests_configurator:Configurator\n"
    )
    (folder / "tests_configurator.py").write_text(
        "from opentelemetry.sdk._configuration import _OTelSDKConfigurator\n"
        "class Configurator(_OTelSDKConfigurator): pass\n"
    )
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


@contextmanager
def running(
    source: str, folder: Path, told: Collected, *flags: str, **more: str
) -> Iterator[Program]:
    """Run a program that tells the receiver; it is ended with the block."""
    env = environment(told.receiver.endpoint, **more)
    with Program(source, folder, *flags, env=env) as program:
        yield program
