"""A finished run made by hand, for the tests of what is shown."""

from __future__ import annotations

from collections import Counter

from catena.cli.demo.outcome import Calls, Check, Context, Outcome, Report
from catena.cli.demo.rows import Analysis, Figures, FileRow, FunctionRow, Problem

FIGURES = Figures(nesting=1, names=3, complexity=5)
ANALYSIS = Analysis.of(
    [FileRow(path="pkg/a.py", lines=90, functions=2, figures=FIGURES)],
    [
        FunctionRow(path="pkg/a.py", name="C.big", line=3, lines=40, figures=FIGURES),
        FunctionRow(
            path="pkg/a.py",
            name="small",
            line=50,
            lines=2,
            figures=Figures(nesting=0, names=0, complexity=1),
        ),
    ],
    [
        *(Problem(path=f"bad{n}.py", kind="syntax", detail="line 1: no") for n in range(5)),
        Problem(path="empty", kind="empty directory", detail="no entries"),
    ],
)
CALLS = Calls(Counter({11: 1}), Counter({11: 4, 12: 2}), Counter({12: 1}))
CONTEXT = Context(
    run="c0ffee", skipped=("site-packages",), set_aside=("data",), files=6, functions=1
)


def report(check: Check | None = None, analysis: Analysis = ANALYSIS) -> Report:
    """The run, with or without a check."""
    outcome = Outcome(analysis, CALLS, CONTEXT)
    return Report(root="/lib", workers=2, outcome=outcome, seconds=1.25, check=check)
