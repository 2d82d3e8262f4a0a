"""The report of a finished run as JSON, for programs.

Its one rule: a field keeps its name and meaning while ``schema`` stays the same; new ones may come.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from catena.cli.demo.outcome import Calls, Check, Context, Report
from catena.cli.demo.report import MOST_COMPLEX
from catena.cli.demo.rows import FileRow, FunctionRow

SCHEMA = 1


def machine(report: Report) -> str:
    r"""The whole report, every row included, as one JSON object on one line, in plain ASCII.

    Times are seconds, paths are relative to ``root``. A name that is not UTF-8 on disk has its
    bytes as lone surrogates (``\udc80`` and up), as ``os.fsdecode`` makes them.
    """
    return json.dumps(_report(report), separators=(",", ":"))


def _report(report: Report) -> dict[str, Any]:
    analysis = report.outcome.analysis
    found = {
        "schema": SCHEMA,
        "root": report.root,
        "workers": report.workers,
        "seconds": round(report.seconds, 3),
        "totals": {
            "files": len(analysis.files),
            "functions": len(analysis.functions),
            "problems": len(analysis.problems),
        },
        "most_complex": [_row(row) for row in analysis.most_complex(MOST_COMPLEX)],
        "calls": _calls(report.outcome.calls),
        "context": _context(report.outcome.context),
        "check": None if report.check is None else _check(report.check),
        "problems": [asdict(problem) for problem in analysis.problems],
        "files": [_row(row) for row in analysis.files],
        "functions": [_row(row) for row in analysis.functions],
    }
    return found if report.trace is None else {**found, "trace": asdict(report.trace)}


def _row(row: FileRow | FunctionRow) -> dict[str, Any]:
    fields = asdict(row)
    figures = fields.pop("figures")
    return {**fields, **figures}


def _calls(calls: Calls) -> dict[str, Any]:
    return {
        "total": calls.total,
        "nested": calls.nested.total(),
        "processes": [
            {
                "process": process,
                "listing": calls.listings[process],
                "files": calls.files[process],
                "nested": calls.nested[process],
            }
            for process in calls.processes
        ],
    }


def _context(context: Context) -> dict[str, Any]:
    return {**asdict(context), "changes": context.changes}


def _check(check: Check) -> dict[str, Any]:
    return {**asdict(check), "same": not check.differences}
