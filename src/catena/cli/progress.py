"""Showing on standard error how far a command is: a moving line on a terminal, lines elsewhere.

Its one rule: this module asks the command how far it is; the command itself shows nothing, so it
may be busy for any length of time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from catena.cli.ending import report_line

LINE_SECONDS = 5.0
"""Seconds between two lines of one phase where there is no terminal."""

_LOOK_SECONDS = 0.05

Describe = Callable[[], tuple[str, str]]
"""Returns the phase that a command is in, and how far that has got; either may be empty."""


@contextmanager
def show_progress(command: str, describe: Describe, *, live: bool = True) -> Generator[None]:
    """Show what ``describe`` returns for the length of the block.

    A terminal has a line that moves and is gone in the end, unless ``live`` is false. Elsewhere a
    line is written when a phase begins, and every few seconds if something has changed.
    """
    console = Console(stderr=True)
    if live and console.is_terminal and not console.is_dumb_terminal:
        with _moving_line(console, describe):
            yield
        return
    ended = threading.Event()
    thread = threading.Thread(
        target=_write_lines, args=(command, describe, ended), name="catena-progress", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _moving_line(console: Console, describe: Describe) -> Live:
    def render() -> Text:
        return Text(_join_parts(*describe()), overflow="ellipsis", no_wrap=True)

    return Live(console=console, refresh_per_second=10, transient=True, get_renderable=render)


def _write_lines(command: str, describe: Describe, ended: threading.Event) -> None:
    phase, detail = "", describe()[1]
    due = time.monotonic() + LINE_SECONDS
    while True:
        now = describe()
        if now[0] != phase or (now[1] != detail and time.monotonic() >= due):
            phase, detail = now
            due = time.monotonic() + LINE_SECONDS
            report_line(command, _join_parts(phase, detail))
        if ended.wait(_LOOK_SECONDS):
            return


def _join_parts(phase: str, detail: str) -> str:
    return ": ".join(part for part in (phase, detail) if part)
