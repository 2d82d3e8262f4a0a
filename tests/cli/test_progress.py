"""Progress: lines where there is no terminal, a moving line where there is one."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from catena.cli import progress
from catena.cli.progress import show_progress

Printed = pytest.CaptureFixture[str]


class Steps:
    """Says one thing after another, and when all of them were heard."""

    def __init__(self, *steps: tuple[str, str]) -> None:
        self._left = list(steps)
        self.heard = threading.Event()

    def __call__(self) -> tuple[str, str]:
        if len(self._left) == 1:
            self.heard.set()
            return self._left[0]
        return self._left.pop(0)


def lines_of(steps: Steps, printed: Printed) -> list[str]:
    """What is written while the steps are asked for, and once more after the last one."""
    with show_progress("demo", steps):
        assert steps.heard.wait(30)
    return printed.readouterr().err.splitlines()


def test_a_phase_that_begins_has_a_line_at_once(capsys: Printed) -> None:
    """Nobody waits to see that something goes on."""
    steps = Steps(("", ""), ("starting", ""), ("starting", ""), ("reading", "1 of 2"))

    assert lines_of(steps, capsys) == ["catena demo: starting", "catena demo: reading: 1 of 2"]


def test_the_same_phase_has_a_line_at_times(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """... when something has changed, and not more often than every five seconds."""
    assert progress.LINE_SECONDS == 5.0
    steps = Steps(("", "0"), ("", "0"), ("", "1"), ("", "2"))
    assert lines_of(steps, capsys) == []

    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    steps = Steps(("", "0"), ("", "0"), ("", "1"), ("", "1"), ("", "2"))
    assert lines_of(steps, capsys) == ["catena demo: 1", "catena demo: 2"]


def test_the_thread_ends_with_the_block(capsys: Printed) -> None:
    """Nothing is written any more when it has been left."""
    lines_of(Steps(("a", "")), capsys)

    assert "catena-progress" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> Callable[[str], None]:
    """Let standard error say that it is a terminal of a kind."""

    def be(kind: str) -> None:
        monkeypatch.setenv("TERM", kind)
        monkeypatch.setenv("COLUMNS", "60")
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    return be


def test_a_terminal_gets_one_line_that_leaves_no_trace(
    terminal: Callable[[str], None], capsys: Printed
) -> None:
    """It shows phase and counts, cut to the width, and is gone afterwards."""
    terminal("xterm")

    with show_progress("demo", lambda: ("reading", "1 of 2 files" + "!" * 100)):
        pass

    shown = capsys.readouterr().err
    assert "reading: 1 of 2 files" in shown
    assert "!" * 61 not in shown
    assert shown.endswith("\x1b[2K")


def test_a_dumb_terminal_gets_lines(terminal: Callable[[str], None], capsys: Printed) -> None:
    """A terminal that cannot move its cursor is served like a file, and so is one for lines."""
    terminal("dumb")
    assert lines_of(Steps(("reading", "")), capsys) == ["catena demo: reading"]

    terminal("xterm")
    with show_progress("collect", lambda: ("", "1 span"), live=False):
        pass
    assert capsys.readouterr().err == ""
