"""Rows: their order, the most complex ones, and what a comparison names."""

from __future__ import annotations

from dataclasses import replace

from catena.cli.demo.rows import Analysis, Figures, FileRow, FunctionRow, Problem, differences

PLAIN = Figures(nesting=0, names=1, complexity=1)
FILE = FileRow(path="a.py", lines=9, functions=2, figures=PLAIN)
FUNCTION = FunctionRow(path="a.py", name="f", line=1, lines=4, figures=PLAIN)
OTHER = FunctionRow(path="a.py", name="g", line=6, lines=3, figures=PLAIN)
PROBLEM = Problem(path="b.py", kind="syntax", detail="line 1: invalid syntax")
ANALYSIS = Analysis.of([FILE], [FUNCTION, OTHER], [PROBLEM])


def test_an_analysis_does_not_depend_on_the_order_of_arrival() -> None:
    """Rows that came from many workers are put in one order."""
    assert Analysis.of([FILE], [OTHER, FUNCTION], [PROBLEM]) == ANALYSIS


def test_the_most_complex_come_first_and_the_longer_among_equals() -> None:
    """The ranking is total, so two runs show the same functions."""
    hard = replace(OTHER, name="h", line=8, figures=replace(PLAIN, complexity=7))
    analysis = Analysis.of([], [OTHER, FUNCTION, hard], [])

    assert analysis.most_complex(2) == (hard, FUNCTION)


def test_equal_analyses_do_not_differ() -> None:
    """No row is named when all are the same."""
    assert differences(ANALYSIS, ANALYSIS) == ()


def test_every_row_that_differs_is_named() -> None:
    """A changed row, a missing one and one too many each have a line."""
    changed = replace(FUNCTION, figures=replace(PLAIN, names=2))
    local = Analysis.of([], [changed, OTHER], [PROBLEM, replace(PROBLEM, path="c.py")])

    lines = differences(ANALYSIS, local)

    assert [line.split(": ")[0] for line in lines] == ["a.py", "a.py:1 f", "c.py (syntax)"]
    assert "only from the workers" in lines[0]
    assert "names=1" in lines[1]
    assert "names=2" in lines[1]
    assert "only in this process" in lines[2]
