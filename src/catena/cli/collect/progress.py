"""Showing what has arrived, on standard error: a status line on a terminal, else a line at times.

Its one rule: where there is no terminal, a line is written only when something has changed.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from catena.collect.intake import Counts

EVERY = 5.0
"""Seconds between two lines where there is no terminal."""


class Counting(Protocol):
    """What is asked for the counts."""

    @property
    def counts(self) -> Counts:
        """What arrived so far."""
        ...


def so_far(counts: Counts) -> str:
    """What arrived and was refused, in words."""
    parts = [
        _counted(counts.spans, "span"),
        _counted(counts.points, "metric point"),
        _counted(counts.records, "log record"),
    ]
    refused = counts.malformed + counts.oversized + counts.unwritten
    if refused:
        parts.append(f"{_counted(refused, 'request')} refused")
    return ", ".join(parts)


@contextmanager
def display(stream: TextIO, asked: Counting, *, live: bool) -> Generator[None]:
    """Show the counts for the length of the block; a status line only when ``live``."""
    console = Console(file=stream)
    if live and console.is_terminal and not console.is_dumb_terminal:
        with Live(
            console=console,
            refresh_per_second=4,
            transient=True,
            get_renderable=lambda: Text(f"received {so_far(asked.counts)}", overflow="ellipsis"),
        ):
            yield
    else:
        lines = Lines(stream, asked)
        with lines.ticking():
            yield


class Lines:
    """Lines of text, every ``EVERY`` seconds, from a thread."""

    def __init__(self, stream: TextIO, asked: Counting) -> None:
        self._stream, self._asked = stream, asked
        self._shown = asked.counts
        self._ended = threading.Event()

    @contextmanager
    def ticking(self) -> Generator[None]:
        """Write lines until the block is left."""
        thread = threading.Thread(target=self._tick, name="catena-collect-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def tell(self) -> None:
        """Write a line, if anything has changed since the last one."""
        counts = self._asked.counts
        if counts != self._shown:
            self._shown = counts
            self._stream.write(f"catena collect: {so_far(counts)}\n")
            self._stream.flush()

    def _tick(self) -> None:
        while not self._ended.wait(EVERY):
            self.tell()


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
