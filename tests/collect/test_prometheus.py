"""The page as a real Prometheus sees it."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from pathlib import Path

from catena.collect import receiving
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
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )

    assert "catena_chain_contentions_total" in text
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
