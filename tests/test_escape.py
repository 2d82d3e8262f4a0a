"""Text of others in lines of ours."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from catena.escape import printable


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain, ünd «so»", "plain, ünd «so»"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("a\nCRITICAL: b\r\tc", r"a\nCRITICAL: b\r\tc"),
        ("caf\udce9", r"caf\udce9"),
        ("\u202eabc\u2028", r"\u202eabc\u2028"),
        ("x" * 300, "x" * 200 + "…"),
    ],
    ids=["plain", "terminal", "lines", "surrogate", "direction", "long"],
)
def test_what_is_not_printable_is_escaped_and_what_is_long_is_cut(text: str, escaped: str) -> None:
    """R10: control characters of a peer never reach a log or a terminal raw."""
    assert printable(text) == escaped


@given(st.text(st.characters(codec=None, categories=None), max_size=400))
def test_whatever_comes_is_a_line_that_can_be_written(text: str) -> None:
    """R10: one line, every character of it printable, and known to UTF-8."""
    line = printable(text)
    assert line.isprintable()
    assert line.encode().decode() == line
    assert len(line.splitlines()) <= 1
