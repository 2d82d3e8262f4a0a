"""The page as a real Prometheus sees it."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from catena.collect import receiving
from catena.telemetry.catalog import metrics_of
from tests.collect.exporting import Application
from tests.collect.messages import counter, gauge, histogram, metrics
from tests.scraping import DEADLINE, NEEDS_PROMETHEUS, scraping

pytestmark = NEEDS_PROMETHEUS


def test_prometheus_takes_the_page_with_its_exemplars(tmp_path: Path) -> None:
    """The scrape succeeds, labels are the process's own, and an exemplar leads to the span."""
    with receiving(metrics="127.0.0.1:0") as receiver:
        application = Application.of(receiver, "grpc")
        trace = application.work("hello")
        application.shutdown()
        with scraping(receiver.metrics_address or "", tmp_path) as prometheus:
            name = "catena_chain_contentions_total"
            (series,) = prometheus.until_found("query", query=name)
            (targets,) = prometheus.until_found("query", query="up")
            exemplars = prometheus.until_found(
                "query_exemplars", query=name, start="0", end=str(time.time() + 60)
            )

    assert (series["metric"]["job"], series["metric"]["instance"]) == ("shop", "one")
    assert series["value"][1] == "1"
    assert targets["value"][1] == "1"
    assert exemplars[0]["exemplars"][0]["labels"]["trace_id"] == trace


def test_promtool_finds_nothing_to_say() -> None:
    """The text format passes the linter: names, units, help and types."""
    with receiving() as receiver:
        timed, active = histogram([1, 2], [0.1]), gauge(3, name="catena.worker.slots")
        timed.description = active.description = "A word."
        application = metrics(counter(1), timed, active)
        with urllib.request.urlopen(
            urllib.request.Request(
                f"{receiver.http_endpoint}/v1/metrics",
                application.SerializeToString(),
                {"Content-Type": "application/x-protobuf"},
            ),
            timeout=20,
        ):
            text = receiver.exposition(openmetrics=False)
    assert "catena_chain_contentions_total" in text
    assert complaints(text) == (0, "", "")


def test_promtool_finds_nothing_to_say_of_the_catalog() -> None:
    """Conventions: no metric of ours has a name, a unit or a suffix that the linter minds."""
    with receiving() as receiver:
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(f"{receiver.http_endpoint}/v1/metrics")
        )
        provider = MeterProvider([reader])
        meter = provider.get_meter("catena")
        for metric in metrics_of():
            facts = (metric.name, metric.unit, metric.description)
            labels = dict.fromkeys(metric.labels, "x")
            match metric.kind:
                case "histogram":
                    meter.create_histogram(*facts).record(1, labels)
                case "counter":
                    meter.create_counter(*facts).add(1, labels)
                case _:
                    meter.create_up_down_counter(*facts).add(1, labels)
        provider.shutdown()
        text = receiver.exposition(openmetrics=False)
    assert text.count("# TYPE catena_") >= len(list(metrics_of())) - 2
    assert complaints(text) == (0, "", "")


def complaints(page: str) -> tuple[int, str, str]:
    """What promtool's linter says of a page."""
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=page,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
