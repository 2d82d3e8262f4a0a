"""``catena collect``: what it is asked for, and what it shows while telemetry arrives."""

from __future__ import annotations

import sys
from typing import Any

import pexpect
import pytest

from catena.cli import collect
from catena.cli.collect import describe_counts
from catena.cli.main import main
from catena.collect.intake import Counts


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a receiver would be made with; none is made."""
    found: dict[str, Any] = {}

    async def run(out: str | None, options: dict[str, Any]) -> Counts:
        found.update(options, out=out)
        return Counts()

    monkeypatch.setattr(collect, "_run_collector", run)
    return found


def test_counts_in_words() -> None:
    """One is one, two are several, and refusals are named only when there are any."""
    assert describe_counts(Counts(1, 2, 0)) == "1 span, 2 metric points, 0 log records"
    assert describe_counts(Counts(malformed=1, oversized=1, unwritten=1)).endswith(
        ", 3 requests refused"
    )


def test_the_defaults_are_those_of_otlp(asked: dict[str, Any]) -> None:
    """The well-known ports on this machine only, and standard output."""
    assert main(["collect"]) == 0

    assert asked == {
        "listen": "127.0.0.1:4317",
        "listen_http": "127.0.0.1:4318",
        "metrics": None,
        "out": "-",
        "rotate_bytes": 100 << 20,
        "keep": 10,
        "insecure": False,
    }


def test_with_metrics_alone_nothing_is_printed(asked: dict[str, Any]) -> None:
    """Who wants the page has it without the lines; "off" is no address."""
    assert main(["collect", "--metrics", "127.0.0.1:9464", "--listen-http", "off"]) == 0

    assert (asked["out"], asked["metrics"], asked["listen_http"]) == (None, "127.0.0.1:9464", None)


def test_a_terminal_has_a_status_line() -> None:
    """On a terminal the counts stand in a line that is gone in the end; Ctrl-C gives 0."""
    arguments = ["-m", "catena", "collect", "--listen", "127.0.0.1:0", "--listen-http", "off"]
    with_page = ["--metrics", "127.0.0.1:0"]
    child = pexpect.spawn(sys.executable, [*arguments, *with_page], encoding="utf-8", timeout=60)
    child.expect("0 spans, 0 metric points, 0 log records")
    child.sendintr()
    child.expect("stopped: 0 spans")
    child.expect(pexpect.EOF)
    child.close()

    assert (child.exitstatus, child.signalstatus) == (0, None)
