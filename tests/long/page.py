"""The page of long runs: a table with the last run of each check, sorted by name."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

__all__ = ["PAGE", "ROOT", "Row", "read", "source", "with_row"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "long-runs.md"

HEAD = """\
# Long runs

Written by `make long NAME=…`, one row for the last run of each check; edits are lost.
`make test` runs the same checks with small counts. `commit` is what was checked out, with
`+changes` when `src` differed from it. `src` is how the hash of that folder's tree begins, as it
was then: when `git rev-parse HEAD:src` shows the same, the row is about the source at hand.

"""
COLUMNS = ("check", "count", "seed", "commit", "src", "duration", "outcome", "met")


class Row(NamedTuple):
    """One run: the columns of the table, as text."""

    check: str
    count: str
    seed: str
    commit: str
    src: str
    duration: str
    outcome: str
    met: str


def read(text: str) -> list[Row]:
    """Return the rows of a page. Raises ValueError for a line of the table that is no row."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows: list[Row] = []
    for line in lines[2:]:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != len(COLUMNS):
            raise ValueError(f"not a row of long runs: {line}")
        rows.append(Row(*cells))
    return rows


def with_row(text: str, row: Row) -> str:
    """Return the page with a row in the place of the check's earlier one; the others are kept."""
    rows = sorted([*(one for one in read(text) if one.check != row.check), row])
    table = [_line(COLUMNS), _line(["---"] * len(COLUMNS)), *map(_line, rows)]
    return HEAD + "\n".join(table) + "\n"


def source() -> tuple[str, str]:
    """Return the commit that is checked out and the hash of the tree of ``src`` as it is now."""
    changed = "+changes" if _git("status", "--porcelain", "src") else ""
    with tempfile.TemporaryDirectory() as folder:
        # In an index of its own: what is staged stays as it is.
        index = str(Path(folder) / "index")
        _git("add", "src", index=index)
        tree = _git("write-tree", "--prefix=src/", index=index)
    return _git("rev-parse", "--short", "HEAD") + changed, tree[:10]


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(one.replace('|', '/') for one in cells)} |"


def _git(*words: str, index: str | None = None) -> str:
    done = subprocess.run(
        ["git", *words],
        cwd=ROOT,
        env={**os.environ, "GIT_INDEX_FILE": index} if index else None,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else "unknown"
