"""The page as a real Prometheus sees it.

Prometheus is Debian's. Where it is not installed these tests are skipped, except in CI, whose
script installs it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from catena.collect import Receiver, receiving
from tests.collect.exporting import Application
from tests.collect.messages import counter, gauge, histogram, metrics

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None and not os.environ.get("CI"),
    reason="there is no prometheus here (Debian: apt install prometheus)",
)

CONFIG = """\
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: catena
    honor_labels: true
    static_configs: [{{targets: ['{target}']}}]
"""
DEADLINE = 60.0


class Prometheus:
    """A running Prometheus and its API."""

    def __init__(self, port: int) -> None:
        self._api = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, what: str, **arguments: str) -> Any:
        """The data of an answer, empty while there is no server yet."""
        try:
            url = f"{self._api}/{what}?{urllib.parse.urlencode(arguments)}"
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except OSError:
            return []

    def until_found(self, what: str, **arguments: str) -> Any:
        """The data of an answer that is not empty; nothing tells when a scrape is through."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            data = self.ask(what, **arguments)
            found = data.get("result") if isinstance(data, dict) else data
            if found:
                return found
            time.sleep(0.2)
        raise TimeoutError(f"{what} {arguments} stays empty")


@contextmanager
def scraping(receiver: Receiver, where: Path) -> Generator[Prometheus]:
    """A Prometheus that scrapes the receiver every second."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (where / "prometheus.yml").write_text(CONFIG.format(target=receiver.metrics_address))
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={where / 'prometheus.yml'}",
            f"--storage.tsdb.path={where / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(DEADLINE)


def test_prometheus_takes_the_page_with_its_exemplars(tmp_path: Path) -> None:
    """The scrape succeeds, labels are the process's own, and an exemplar leads to the span."""
    with receiving(metrics="127.0.0.1:0") as receiver:
        application = Application.of(receiver, "grpc")
        trace = application.work("hello")
        application.shutdown()
        with scraping(receiver, tmp_path) as prometheus:
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
