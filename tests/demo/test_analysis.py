"""The complexity of functions, on sources small enough to count by hand."""

from __future__ import annotations

from textwrap import indent

import pytest

from catena.demo.analysis import (
    count_lines,
    cut_out,
    find_functions,
    measure_complexity,
    measure_text,
    parse_source,
)


@pytest.mark.parametrize(
    ("body", "complexity"),
    [
        ("pass", 1),
        ("if a: pass", 2),
        ("if a: pass\nelif b: pass\nelse: pass", 3),
        ("for x in y: pass\nelse: pass", 2),
        ("while a: pass", 2),
        ("async for x in y: pass", 2),
        ("try: pass\nexcept A: pass\nexcept B: pass\nfinally: pass", 3),
        ("with a: pass", 1),
        ("return a if b else c", 2),
        ("return a and b and c or d", 4),
        ("return [x for x in y if x if z for w in v]", 5),
        ("return lambda: a or b", 2),
        ("match a:\n    case 1: pass\n    case _: pass", 3),
    ],
)
def test_complexity_counts_decisions(body: str, complexity: int) -> None:
    """Every decision adds one to McCabe's number, and nothing else does."""
    (found,) = find_functions(parse_source(f"async def f():\n{indent(body, '    ')}\n"))

    assert measure_complexity(found[1]) == complexity


def test_functions_are_named_by_their_way_through_the_file() -> None:
    """Methods and functions in functions and in branches are found, by line; decorators apart."""
    tree = parse_source(
        "class A:\n"
        "    @staticmethod\n"
        "    def m():\n"
        "        def n():\n"
        "            if x: pass\n"
        "try: pass\n"
        "except E:\n"
        "    async def b(): pass\n"
    )

    found = [
        (name, node.lineno, count_lines(node), measure_complexity(node))
        for name, node in find_functions(tree)
    ]
    assert found == [("A.m", 3, 3, 1), ("A.m.n", 4, 2, 2), ("b", 8, 1, 1)]


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    if a: pass\n",
        "class A:\n    @d\n    async def f(self):\n        return [x for x in y]; z\n",
        "class A:\n\tdef f(self):\n\t\tif a: pass\n",
        "if 1:\n    def f():\n        '''a\nb\n  c'''\n        if a: pass\n",
        "class A:\n    x = '\x0c'\n\x0c\n    def f(self):\n        return 'é' or b\n",
    ],
)
def test_a_function_measures_the_same_cut_out_of_its_file(text: str) -> None:
    """What the nested routine sees of a function gives what it measures in its file."""
    ((_, node),) = find_functions(parse_source(text))

    assert measure_text(cut_out(text.split("\n"), node)) == measure_complexity(node)


def test_a_text_that_does_not_stand_alone_is_no_error() -> None:
    """It is measured in its file then."""
    assert measure_text("    return 1\n") is None
    assert measure_text("\0") is None


def test_warnings_of_the_parser_are_not_repeated(recwarn: pytest.WarningsRecorder) -> None:
    """An invalid escape in somebody's file is not a matter of this run."""
    parse_source("x = '\\d'\n")

    assert not recwarn
