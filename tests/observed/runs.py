"""Whole runs: a program, its workers, and everything that they told a receiver.

The program is a module of this folder with a ``main``. Parent and workers have an SDK by the
bootstrap of the instrumentation; what a run left is read after all of them have ended.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catena.collect import Recording, receiving
from catena.collect.files import list_generations
from catena.collect.reading import LogRecord, Point, Span
from tests.instrumentation.processes import environment
from tests.integration.programs import Program

__all__ = ["BLIND", "MESSAGES", "Run", "observed"]

ROOT = Path(__file__).parents[2]
BLIND = "TESTS_OBSERVED_BLIND"
"""Names a file: the first worker that can make it goes without an SDK."""

MESSAGES = "TESTS_OBSERVED_MESSAGES"
"""Set, it has parent and workers record the texts of errors."""

_SOURCE = """
import asyncio, importlib
from tests.observed import bootstraps

finish = bootstraps.parent()
asyncio.run(importlib.import_module("tests.observed.{name}").main())
finish(30)
"""


@dataclass
class Run:
    """What a program said in its last line, what it wrote, and what was told while it ran."""

    said: Any
    output: str
    lines: list[str]
    recording: Recording

    def spans(self, name: str, kind: str = "", **attributes: Any) -> list[Span]:
        """Return the spans whose name ends so, of a kind, with attributes (dots as __)."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        return [
            one
            for one in self.recording.spans
            if one.name.endswith(name)
            and kind in ("", one.kind)
            and wanted.items() <= one.attributes.items()
        ]

    def records(self, name: str) -> list[LogRecord]:
        """Return the log records of an event."""
        return [one for one in self.recording.logs if one.name == name]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a counter over all processes, of each the last point."""
        last: dict[tuple[int, str], float] = {}
        for one in self.points(name, **labels):
            last[pid(one), repr(sorted(one.attributes.items()))] = one.value
        return sum(last.values())

    def points(self, name: str, **labels: str) -> list[Point]:
        """Return the points of a metric with these labels (dots as __)."""
        wanted = {key.replace("__", "."): value for key, value in labels.items()}
        return [
            one for one in self.recording.metric(name) if wanted.items() <= one.attributes.items()
        ]

    @property
    def traces(self) -> dict[str, list[Span]]:
        """The spans by their traces."""
        found: dict[str, list[Span]] = {}
        for one in self.recording.spans:
            found.setdefault(one.trace_id, []).append(one)
        return found

    @property
    def by_id(self) -> dict[str, Span]:
        """The spans by their ids; no two have the same."""
        found = {one.span_id: one for one in self.recording.spans}
        assert len(found) == len(self.recording.spans)
        return found


def pid(told: Span | Point | LogRecord) -> int:
    """Return the process that told something."""
    return told.origin.resource["process.pid"]


def observed(name: str, folder: Path, *, silent: bool = True, **variables: str) -> Run:
    """Run a module of this folder to its end; a ``silent`` one leaves standard error empty."""
    out = folder / "told.jsonl"
    with receiving(out=out) as receiver:
        path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
        env = environment(receiver.endpoint, PYTHONPATH=path, **variables)
        with Program(_SOURCE.format(name=name), folder, "-W", "error", env=env) as program:
            said = program.facts(90)
            code = program.ended(60)
            errors = program.errors()
    assert code == 0, errors
    assert not silent or errors == "", errors[-3000:]
    recording = Recording.read(out)
    assert recording.unread == []
    lines = [line for one in list_generations(out) for line in one.read_text().splitlines()]
    return Run(said, json.dumps(said) + errors, lines, recording)
