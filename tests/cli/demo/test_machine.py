"""The report as JSON: one object, one line, every row."""

from __future__ import annotations

import json
from dataclasses import replace

from catena.cli.demo.machine import machine
from catena.cli.demo.outcome import Check
from catena.cli.demo.rows import Analysis
from tests.cli.demo import sample

BIG = {
    "path": "pkg/a.py",
    "name": "C.big",
    "line": 3,
    "lines": 40,
    "nesting": 1,
    "names": 3,
    "complexity": 5,
}


def test_the_object_has_every_field_of_the_schema() -> None:
    """A program finds the same facts as a person, and all rows."""
    told = json.loads(machine(sample.report()))

    assert told.pop("problems")[-1] == {
        "path": "empty",
        "kind": "empty directory",
        "detail": "no entries",
    }
    assert told.pop("functions")[0] == BIG
    assert told.pop("most_complex")[0] == BIG
    assert told == {
        "schema": 1,
        "root": "/lib",
        "workers": 2,
        "seconds": 1.25,
        "totals": {"files": 1, "functions": 2, "problems": 6},
        "calls": {
            "total": 8,
            "nested": 1,
            "processes": [
                {"process": 11, "listing": 1, "files": 4, "nested": 0},
                {"process": 12, "listing": 0, "files": 2, "nested": 1},
            ],
        },
        "context": {
            "run": "c0ffee",
            "changes": 8,
            "skipped": ["site-packages"],
            "set_aside": ["data"],
            "files": 6,
            "functions": 1,
        },
        "check": None,
        "files": [
            {
                "path": "pkg/a.py",
                "lines": 90,
                "functions": 2,
                "nesting": 1,
                "names": 3,
                "complexity": 5,
            }
        ],
    }


def test_a_check_is_told_in_full() -> None:
    """All differences are there, not the first ten."""
    check = Check(rows=20, differences=tuple("abcdefghijklm"), seconds=0.5)

    told = json.loads(machine(sample.report(check)))["check"]

    assert told == {"same": False, "rows": 20, "seconds": 0.5, "differences": [*"abcdefghijklm"]}


def test_the_object_is_one_line_of_ascii() -> None:
    """A name that is no UTF-8 on disk does not break the output, and comes back as it was."""
    (problem, *_) = sample.ANALYSIS.problems
    odd = Analysis((), (), (replace(problem, path="\udcff\n.py"),))

    told = machine(sample.report(analysis=odd))

    assert told.isascii()
    assert told.isprintable()
    assert json.loads(told)["problems"][0]["path"] == "\udcff\n.py"
