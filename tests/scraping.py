"""A real Prometheus for tests: started on a free port, asked over its API, ended by its id.

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
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

__all__ = ["DEADLINE", "NEEDS_PROMETHEUS", "Prometheus", "scraping"]

NEEDS_PROMETHEUS = pytest.mark.skipif(
    shutil.which("prometheus") is None and not os.environ.get("CI"),
    reason="there is no prometheus here (Debian: apt install prometheus)",
)
DEADLINE = 60.0

_CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: catena
    honor_labels: true
    static_configs: [{{targets: ['{target}']}}]
"""


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
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
                # It listens, and reads its files first.
                return []
            raise ValueError(error.read().decode()) from None
        except OSError:
            return []

    def query(self, query: str) -> list[tuple[dict[str, str], float]]:
        """The labels and values that a query finds."""
        data = self.ask("query", query=query)
        found = data.get("result", []) if isinstance(data, dict) else []
        return [(one["metric"], float(one["value"][1])) for one in found]

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or fire."""
        data = self.ask("alerts")
        return data["alerts"] if isinstance(data, dict) else []

    def until_found(self, what: str, **arguments: str) -> Any:
        """The data of an answer that is not empty; nothing tells when a scrape is through."""

        def found() -> Any:
            data = self.ask(what, **arguments)
            return data.get("result") if isinstance(data, dict) else data

        return self.until(found, f"{what} {arguments} stays empty")

    def until(self, found: Callable[[], Any], otherwise: str) -> Any:
        """What is found, as soon as it is something."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            if data := found():
                return data
            time.sleep(0.2)
        raise TimeoutError(otherwise)


@contextmanager
def scraping(target: str, where: Path, rules: Path | None = None) -> Generator[Prometheus]:
    """A Prometheus that scrapes an address, and evaluates its rules, every second."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = where / "prometheus.yml"
    config.write_text(_CONFIG.format(target=target, rules="" if rules is None else rules))
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={config}",
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
