"""Tables and lines of the commands that show many workers.

Its one rule: a terminal and a pipe get the same text, and nothing that a peer has sent reaches
either with a character that a terminal would obey.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from catena.escape import printable
from catena.pool.recorded import RecordedPool

_WIDTH = 1000
"""Columns where there is no terminal: no line is broken there."""
_CELL_LIMIT = 500


def make_console() -> Console:
    """Return the console that writes to standard output."""
    width = None if sys.stdout.isatty() else _WIDTH
    return Console(file=sys.stdout, width=width, highlight=False, emoji=False, markup=False)


def make_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table with a title, and a column for each head."""
    heading = Text(title, style="bold") if title else None
    table = Table(title=heading, title_justify="left", box=None, padding=(0, 0, 0, 2))
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell, _CELL_LIMIT)) for cell in row))
    return table


def name_pool(pool: RecordedPool) -> str:
    """Return how a pool is called: by its name, if it has one, and its process."""
    return f"{pool.name} ({pool.pid})" if pool.name else str(pool.pid)


def count_words(count: int, what: str) -> str:
    """Return a number and what it counts."""
    return f"{count} {what}{'' if count == 1 else 's'}"
