"""Text of others in lines of ours."""

from __future__ import annotations

import sys

import pytest

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


def test_whatever_comes_is_a_line_that_can_be_written() -> None:
    """R10: one line, every character of it printable, and known to UTF-8."""
    for first in range(0, sys.maxunicode + 1, 64):
        line = printable("".join(map(chr, range(first, first + 64))), 1024)
        assert line.isprintable()
        assert line.encode().decode() == line
        assert len(line.splitlines()) <= 1
