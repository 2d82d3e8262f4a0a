"""What is shown while telemetry arrives."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass

import pexpect
import pytest

from catena.cli.collect.arguments import Arguments
from catena.cli.collect.progress import Lines, so_far
from catena.cli.main import main, parser
from catena.collect.intake import Counts


@dataclass(slots=True)
class Asked:
    counts: Counts


def test_counts_in_words() -> None:
    """One is one, two are several, and refusals are named only when there are any."""
    assert so_far(Counts(1, 2, 0)) == "1 span, 2 metric points, 0 log records"
    assert so_far(Counts(malformed=1, oversized=1, unwritten=1)).endswith(", 3 requests refused")


def test_a_line_is_written_when_something_changed() -> None:
    """A log file is not filled by a receiver to which nobody sends."""
    stream, asked = io.StringIO(), Asked(Counts())
    lines = Lines(stream, asked)
    for counts in (Counts(), Counts(spans=1), Counts(spans=1), Counts(spans=2)):
        asked.counts = counts
        lines.tell()

    assert stream.getvalue() == (
        "catena collect: 1 span, 0 metric points, 0 log records\n"
        "catena collect: 2 spans, 0 metric points, 0 log records\n"
    )


def test_a_terminal_has_a_status_line() -> None:
    """On a terminal the counts stand in a line that is gone in the end; Ctrl-C gives 0."""
    arguments = ["-m", "catena", "collect", "--listen", "127.0.0.1:0", "--listen-http", "off"]
    with_page = ["--metrics", "127.0.0.1:0"]
    child = pexpect.spawn(sys.executable, [*arguments, *with_page], encoding="utf-8", timeout=60)
    child.expect("received 0 spans, 0 metric points, 0 log records")
    child.sendintr()
    child.expect("stopped: 0 spans")
    child.expect(pexpect.EOF)
    child.close()

    assert (child.exitstatus, child.signalstatus) == (0, None)


def test_the_defaults_are_those_of_otlp() -> None:
    """The well-known ports on this machine only, and standard output."""
    assert Arguments.of(parser().parse_args(["collect"])) == Arguments(
        listen="127.0.0.1:4317",
        listen_http="127.0.0.1:4318",
        metrics=None,
        out="-",
        rotate_bytes=100 << 20,
        keep=10,
        insecure=False,
    )


def test_with_metrics_alone_nothing_is_printed() -> None:
    """Who wants the page has it without the lines; "off" is no address."""
    asked = ["collect", "--metrics", "127.0.0.1:9464", "--listen-http", "off"]
    found = Arguments.of(parser().parse_args(asked))

    assert (found.out, found.metrics, found.listen_http) == (None, "127.0.0.1:9464", None)


@pytest.mark.parametrize("wrong", [["--keep", "0"], ["--rotate-bytes", "x"], ["--nothing"], ["x"]])
def test_a_wrong_command_line_gives_two(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A usage error is told on standard error."""
    assert main(["collect", *wrong]) == 2
    assert "error:" in capsys.readouterr().err
