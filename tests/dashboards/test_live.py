"""Board and alert against a real Prometheus that scrapes what a real run tells `catena collect`."""

from __future__ import annotations

import json
import math
import os
import re
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from catena.collect import Recording
from tests.collect.processes import collecting
from tests.dashboards.test_overview import BOARD_KEPT, expressions
from tests.dashboards.test_rules import RULES
from tests.scraping import DEADLINE, NEEDS_PROMETHEUS, Prometheus, scraping

pytestmark = [NEEDS_PROMETHEUS, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio
from tests.dashboards import application
asyncio.run(application.main())
"""
COUNTER = "catena_chain_contentions_total"
FILLED = {"$job": ".*", "$instance": ".*", "$__rate_interval": "1m", "$__range": "5m"}


@dataclass(frozen=True)
class Live:
    """What was seen while the application ran, and whom to ask more."""

    prometheus: Prometheus
    recording: Path
    before: list[tuple[dict[str, str], float]]
    alerts_before: list[dict[str, Any]]
    told: dict[str, Any]
    alert: dict[str, Any]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An application that has contended once, for as long as the tests of this file run."""
    folder = tmp_path_factory.mktemp("live")
    recording = folder / "telemetry.jsonl"
    with collecting("--metrics", "127.0.0.1:0", "--out", str(recording)) as receiver:
        page = receiver.where("metrics").removeprefix("http://").removesuffix("/metrics")
        with (
            scraping(page, folder, RULES) as prometheus,
            application(receiver.where("gRPC")) as process,
        ):
            assert line(process) == "ready"
            # The caller and two workers, each with a series for tasks and one for threads.
            before = prometheus.until(
                lambda: len(found := prometheus.query(COUNTER)) == 6 and found, "no counters"
            )
            alerts_before = prometheus.alerts()
            say(process)
            told = json.loads(line(process))
            (alert,) = prometheus.until(prometheus.alerts, "the alert does not fire")
            assert line(process) == "done"
            yield Live(prometheus, recording, before, alerts_before, told, alert)


@contextmanager
def application(endpoint: str) -> Iterator[subprocess.Popen[bytes]]:
    """The application, exporting; it ends with its standard input, or is ended."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        cwd=ROOT,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint},
    ) as process:
        try:
            yield process
        finally:
            pipe(process.stdin).close()
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def pipe(found: IO[bytes] | None) -> IO[bytes]:
    """A stream that is there."""
    assert found is not None
    return found


def line(process: subprocess.Popen[bytes]) -> str:
    """The next line that the application prints; empty when it has ended."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe(process.stdout), selectors.EVENT_READ)
        if not selector.select(DEADLINE):
            raise TimeoutError("the application says nothing")
    return pipe(process.stdout).readline().decode().strip()


def say(process: subprocess.Popen[bytes]) -> None:
    """Let the application go on."""
    pipe(process.stdin).write(b"\n")


def filled(expression: str) -> str:
    """A query of the board with everything chosen."""
    for name, value in FILLED.items():
        expression = expression.replace(name, value)
    return expression


def test_every_process_counts_contentions_from_zero(live: Live) -> None:
    """The series are there before anything has happened, and the alert is silent."""
    assert {value for _, value in live.before} == {0}
    assert {labels["catena_kind"] for labels, _ in live.before} == {"task", "thread"}
    assert live.alerts_before == []


def test_the_alert_fires_on_the_first_contention(live: Live) -> None:
    """It names the process and the kind, nothing of the scope; what rose is 1, and rose from 0."""
    process = f"worker-{live.told['process']}"
    rose = live.prometheus.query(f"increase({COUNTER}[5m]) > 0")

    assert live.alert["state"] == "firing"
    assert live.alert["labels"] == {
        "alertname": "ChainContention",
        "job": "dashboards",
        "instance": process,
        "catena_kind": live.told["kind"],
        "severity": "warning",
    }
    assert [labels["instance"] for labels, _ in rose] == [process]


def test_the_exemplar_leads_to_owner_and_intruder(live: Live) -> None:
    """The way of the runbook: from the counter to the span, and from it to both sides."""
    (series,) = live.prometheus.until_found(
        "query_exemplars", query=COUNTER, start="0", end=str(time.time() + 60)
    )
    seen = series["exemplars"][0]["labels"]

    def spans() -> list[Any]:
        # The span may come a moment later than the number.
        return [
            one
            for one in Recording.read(live.recording).spans
            if (one.trace_id, one.span_id) == (seen["trace_id"], seen["span_id"])
        ]

    (span,) = live.prometheus.until(spans, "the span does not arrive")

    assert span.name == "catena.contention"
    assert span.attributes["catena.chain.id"] == live.told["chain"]
    assert span.attributes["catena.owner.task"] == "the owner"
    assert span.attributes["catena.contender.task"] == "the intruder"
    assert span.attributes["catena.owner.process"] == live.told["process"]


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_a_query_of_the_board_finds_data(live: Live, expression: str) -> None:
    """Every name is one that was scraped, and the answer has a number."""
    for name in re.findall(r"(\w+)\{", expression):
        assert live.prometheus.until_found("query", query=f"count({name})")

    def numbers() -> list[float]:
        return [
            value for _, value in live.prometheus.query(filled(expression)) if math.isfinite(value)
        ]

    assert live.prometheus.until(numbers, f"nothing is found by {filled(expression)}")


def test_there_is_something_to_choose_from(live: Live) -> None:
    """The variables of the board find the service and its three processes."""
    chosen = [one for one in BOARD_KEPT["templating"]["list"] if one["type"] == "query"]
    found: dict[str, list[str]] = {}
    for one in chosen:
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", one["query"])
        assert asked
        match, label = filled(asked[1]), asked[2]
        found[label] = live.prometheus.ask(f"label/{label}/values", **{"match[]": match})

    assert found["job"] == ["dashboards"]
    assert len(found["instance"]) == 3
