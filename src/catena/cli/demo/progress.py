"""Showing how far a run is, on standard error: a bar on a terminal, else a line now and then.

Its one rule: a progress display is told ``Progress`` values and asks nobody; leaving its block
removes the bar and ends the thread.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress as Bar,
    TextColumn,
    TimeElapsedColumn,
)

from catena.cli.demo.outcome import Progress
from catena.cli.shared import ticking

EVERY = 5.0
"""Seconds between two lines where there is no terminal."""


class Display(Protocol):
    """Where a run tells how far it is."""

    def phase(self, text: str) -> None:
        """A part of the run begins, said in words; the figures start again."""
        ...

    def update(self, progress: Progress) -> None:
        """The run has got this far."""
        ...


@contextmanager
def display(stream: TextIO) -> Generator[Display]:
    """The display that suits ``stream``, for the length of the block."""
    console = Console(file=stream)
    if console.is_terminal and not console.is_dumb_terminal:
        with _bar(console) as bar:
            yield _Terminal(bar)
    else:
        lines = _Lines(stream)
        with ticking(lines.tell, EVERY):
            yield lines


def line(phase: str, progress: Progress) -> str:
    """One line of the plain display."""
    counts = so_far(progress)
    return f"catena demo: {phase}: {counts}" if counts else f"catena demo: {phase}"


def so_far(progress: Progress) -> str:
    """How far a run is, in words; empty before the listing."""
    if progress.known is None:
        return ""
    return f"{progress.read} of {progress.known} files, {progress.functions} functions"


def _bar(console: Console) -> Bar:
    return Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[counts]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


class _Terminal:
    """A bar of rich, one task per phase."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None, counts="")

    def phase(self, text: str) -> None:
        self._bar.reset(self._task, total=None, description=text, counts="")

    def update(self, progress: Progress) -> None:
        self._bar.update(
            self._task,
            completed=progress.read,
            total=progress.known,
            counts=so_far(progress),
        )


class _Lines:
    """Lines of text: one when a phase begins, and one each time that it is to tell."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._phase = ""
        self._progress = Progress()

    def phase(self, text: str) -> None:
        self._phase, self._progress = text, Progress()
        self._write()

    def update(self, progress: Progress) -> None:
        self._progress = progress

    def tell(self) -> None:
        """Write how far it is."""
        self._write()

    def _write(self) -> None:
        self._stream.write(line(self._phase, self._progress) + "\n")
        self._stream.flush()
