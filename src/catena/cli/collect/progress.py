"""Showing what has arrived, on standard error: a status line on a terminal, else a line at times.

Its one rule: where there is no terminal, a line is written only when something has changed.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from catena.cli.shared import ticking
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
        with ticking(Lines(stream, asked).tell, EVERY):
            yield


class Lines:
    """Lines of text for a stream that is no terminal."""

    def __init__(self, stream: TextIO, asked: Counting) -> None:
        self._stream, self._asked = stream, asked
        self._shown = asked.counts

    def tell(self) -> None:
        """Write a line, if anything has changed since the last one."""
        counts = self._asked.counts
        if counts != self._shown:
            self._shown = counts
            self._stream.write(f"catena collect: {so_far(counts)}\n")
            self._stream.flush()


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
