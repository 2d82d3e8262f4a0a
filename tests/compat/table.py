"""The table of what holds between releases: rows are features, columns are who calls whom.

It stands in ``skew.toml`` and is written before a run. A cell says ``intact``, ``absent`` where the
caller's release does not have the feature, or else what tells its loss: the class of the error, or
the event that a process of the chain announces. A run has to come to just that.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["PAIRS", "TABLE", "Row", "compare", "read_table"]

TABLE = Path(__file__).parent / "skew.toml"

PAIRS: Mapping[str, str] = {
    "old-new": "0.1.0 calls this release",
    "new-old": "this release calls 0.1.0",
    "old-new-old": "0.1.0 calls 0.1.0 through this release",
    "new-old-new": "this release calls this release through 0.1.0",
}


class Row(NamedTuple):
    """A feature, the clauses that promise it, and what it is in each column."""

    probe: str
    feature: str
    clauses: str
    cells: Mapping[str, str]


def read_table(file: Path = TABLE) -> dict[str, Row]:
    """Return the rows by the names of their probes."""
    found: dict[str, Row] = {}
    for probe, row in tomllib.loads(file.read_text("utf-8")).items():
        cells = dict(zip(PAIRS, row["cells"], strict=True))
        found[probe] = Row(probe, row["feature"], row["clauses"], cells)
    return found


def compare(expected: Mapping[str, str], found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return where a run differs from a column; ``found`` is what a caller printed."""
    wrong = [f"{probe}: no probe" for probe in expected.keys() - found.keys()]
    wrong += [f"{probe}: not in the table" for probe in found.keys() - expected.keys()]
    for probe in expected.keys() & found.keys():
        cell, run = expected[probe], found[probe]
        outcome = run["outcome"]
        if cell in ("intact", "absent") or outcome in ("intact", "absent"):
            if cell != outcome:
                wrong.append(f"{probe}: is {outcome}, and the table says {cell}")
        elif cell not in (run["error"], *run["events"]):
            told = ", ".join(run["events"])
            wrong.append(f"{probe}: is {outcome}, and {cell} does not tell it; announced: {told}")
    return sorted(wrong)
