"""The figures of functions and files, on sources small enough to count by hand."""

from __future__ import annotations

from textwrap import dedent

import pytest

from catena.cli.demo.analysis import (
    LARGE,
    NotParsable,
    figures,
    file_row,
    fragment,
    fragment_figures,
    function_row,
    functions,
    is_large,
    parse,
    source_lines,
)
from catena.cli.demo.rows import Figures, FileRow


def measured(body: str) -> Figures:
    """Figures of ``def f`` with this body."""
    text = "def f():\n" + "".join(f"    {line}\n" for line in dedent(body).strip().split("\n"))
    return figures(functions(parse(text))[0].node)


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
        ("assert a", 1),
        ("match a:\n    case 1: pass\n    case b if b: pass\n    case _: pass", 3),
    ],
)
def test_complexity_counts_decisions(body: str, complexity: int) -> None:
    """Every decision adds one to McCabe's number, and nothing else does."""
    assert measured(body).complexity == complexity


@pytest.mark.parametrize(
    ("body", "nesting"),
    [
        ("pass", 0),
        ("if a: pass", 1),
        ("if a: pass\nelif b: pass\nelif c: pass", 1),
        ("if a: pass\nelse:\n    if b: pass\n    pass", 2),
        (
            "for x in y:\n    with a:\n        try: pass\n        except B:\n            if c: 1",
            4,
        ),
        ("match a:\n    case 1:\n        while b: pass", 2),
        ("class C:\n    if a: pass", 1),
    ],
)
def test_nesting_is_the_deepest_place(body: str, nesting: int) -> None:
    """Blocks inside blocks count, an ``elif`` and a class do not."""
    assert measured(body).nesting == nesting


def test_names_are_counted_once_and_attributes_not() -> None:
    """Names are the different identifiers read, written or taken as parameters."""
    tree = parse("def f(a, *, b: int = c):\n    a.x = d.y(key=a)\n    import os\n    del a\n")

    assert figures(functions(tree)[0].node).names == 5  # a, b, int, c, d


def test_a_nested_function_is_counted_in_its_own_row_only() -> None:
    """A function inside a function adds nothing to the one around it."""
    tree = parse(
        "def outer():\n    @deco\n    def inner(x=y):\n        if x: pass\n    return inner\n"
    )

    outer, inner = (figures(found.node) for found in functions(tree))

    assert outer == Figures(nesting=0, names=1, complexity=1)
    assert inner == Figures(nesting=1, names=2, complexity=2)


def test_functions_are_named_by_their_way_through_the_file() -> None:
    """Methods, functions in functions and in branches are found, in order of lines."""
    tree = parse(
        "class A:\n"
        "    def m(self):\n"
        "        def n(): pass\n"
        "if a:\n"
        "    async def b(): pass\n"
        "else:\n"
        "    try: pass\n"
        "    except E:\n"
        "        def c(): pass\n"
    )

    assert [found.name for found in functions(tree)] == ["A.m", "A.m.n", "b", "c"]


def test_the_row_of_a_file_covers_what_no_function_covers() -> None:
    """A file's figures are those of the code outside its functions."""
    text = "if a:\n    b = 1\ndef f():\n    while c: pass\n"

    row = file_row("x.py", text, parse(text), count=1)

    expected = Figures(nesting=1, names=2, complexity=2)
    assert row == FileRow(path="x.py", lines=4, functions=1, figures=expected)


def test_the_row_of_a_function_leaves_decorators_out() -> None:
    """A function begins at its ``def``."""
    (found,) = functions(parse("@a\n@b\ndef f():\n\n    pass\n"))

    row = function_row("x.py", found)

    assert (row.name, row.line, row.lines) == ("f", 3, 3)


def test_large_is_by_lines() -> None:
    """A function of ``LARGE`` lines is large, one line less is not."""
    large = parse("def f():\n" + "    pass\n" * (LARGE - 1))
    small = parse("def f():\n" + "    pass\n" * (LARGE - 2))

    assert [is_large(functions(tree)[0]) for tree in (large, small)] == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    if a: pass\n",
        "class A:\n    @d\n    async def f(self):\n        return [x for x in y]; z\n",
        "class A:\n\tdef f(self):\n\t\tif a: pass\n",
        "if 1:\n    def f():\n        '''a\nb\n  c'''\n        if a: pass\n",
        "class A:\r\n    def f(self):\r\n        return a or b\r\n",
        "class A:\n    x = '\x0c'\n\x0c\n    def f(self):\n        return 'é' or b\n",
    ],
)
def test_a_function_measures_the_same_cut_out_of_its_file(text: str) -> None:
    """What a nested routine sees of a function gives the figures it has in its file."""
    (found,) = functions(parse(text))

    assert fragment_figures(fragment(source_lines(text), found.node)) == figures(found.node)


def test_a_text_that_does_not_stand_alone_has_no_figures() -> None:
    """The caller then measures in place, so the row is the same."""
    assert fragment_figures("    return 1\n") is None
    assert fragment_figures("x = 1\n") is None


@pytest.mark.parametrize("text", ["def f(:\n", "a\0b", "(" * 5000, "print 'a'\n"])
def test_what_the_parser_refuses_is_one_kind_of_error(text: str) -> None:
    """Syntax errors, null bytes and too deep a nesting are all ``NotParsable``."""
    with pytest.raises(NotParsable):
        parse(text)


def test_the_parsers_warnings_are_not_repeated() -> None:
    """An invalid escape in somebody's file is no warning of ours (warnings are errors here)."""
    assert functions(parse("def f(): return '\\d' is 1\n"))[0].name == "f"


def test_lines_end_where_the_parser_ends_them() -> None:
    """Carriage returns end a line, form feeds and line separators do not."""
    assert source_lines("a\r\nb\rc\x0cd\u2028e\n") == ["a", "b", "c\x0cd\u2028e"]
    assert source_lines("") == []
