"""Progress: lines where there is no terminal, a bar where there is one."""

from __future__ import annotations

import io
import threading

import pytest

from catena.cli.demo import progress
from catena.cli.demo.outcome import Progress
from catena.cli.demo.progress import display, line


class Recorded(io.StringIO):
    """A stream that is no terminal and says when so many lines are there."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self.enough = threading.Event()
        self._lines = lines

    def flush(self) -> None:
        super().flush()
        if self.getvalue().count("\n") >= self._lines:
            self.enough.set()


def test_a_line_says_how_far_a_run_is() -> None:
    """Before the listing there is nothing to count."""
    assert line("starting", Progress()) == "catena demo: starting"
    assert (
        line("reading", Progress(read=3, known=7, functions=21))
        == "catena demo: reading: 3 of 7 files, 21 functions"
    )


def test_without_a_terminal_lines_come_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is written when a phase begins and then at intervals, whoever is busy."""
    assert progress.EVERY == 5.0
    monkeypatch.setattr(progress, "EVERY", 0.01)
    stream = Recorded(lines=3)

    with display(stream) as shown:
        shown.phase("reading")
        shown.update(Progress(read=1, known=2, functions=3))
        assert stream.enough.wait(30)

    told = stream.getvalue().splitlines()
    assert told[0] == "catena demo: reading"
    assert told[-1] == "catena demo: reading: 1 of 2 files, 3 functions"
    assert "catena-demo-progress" not in {thread.name for thread in threading.enumerate()}


def test_a_terminal_gets_a_bar_that_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar shows phase and counts, and is gone afterwards."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = io.StringIO()
    stream.isatty = lambda: True

    with display(stream) as shown:
        shown.phase("reading")
        shown.update(Progress(read=1, known=2, functions=3))

    told = stream.getvalue()
    assert "reading" in told
    assert "1 of 2 files, 3 functions" in told
    assert told.endswith("\x1b[2K")


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that cannot move its cursor is served like a file."""
    monkeypatch.setenv("TERM", "dumb")
    stream = io.StringIO()
    stream.isatty = lambda: True

    with display(stream) as shown:
        shown.phase("reading")

    assert stream.getvalue() == "catena demo: reading\n"
