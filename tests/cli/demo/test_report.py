"""The report in words: every fact of a run, and nothing that a terminal would obey."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from catena.cli.demo.outcome import Check
from catena.cli.demo.report import plain, show, shown
from catena.cli.demo.rows import Analysis
from tests.cli.demo import sample

EXPECTED = """\
1 file with 2 functions in /lib, analysed on 2 workers in 1.2 s

The 2 most complex functions
  complexity  nesting  names  lines  function  where
           5        1      3     40  C.big     pkg/a.py:3
           1        0      0      2  small     pkg/a.py:50

Calls by worker process
  process  listing  files  nested  calls
       11        1      4       0      5
       12        0      2       1      3
      all        1      6       1      8

Nested: 1 of 8 calls came from a routine on a worker, one for each function of 40 lines or more.
Context: run c0ffee; 8 changes made on workers were seen here (6 files and 1 large function noted,\
 1 directory without Python set aside: data). Skipped: site-packages.
Not analysed: 6 paths.
  syntax: 5: bad0.py (line 1: no), bad1.py (line 1: no), bad2.py (line 1: no) and 2 more
  empty directory: 1: empty (no entries)
"""


def test_the_plain_report_says_everything() -> None:
    """Without a terminal the report is plain text, the tables aligned by spaces."""
    assert plain(sample.report()) == EXPECTED


def test_a_stream_that_is_no_terminal_gets_the_plain_report() -> None:
    """A pipe or a file gets no escape sequences and no wrapped lines."""
    stream = io.StringIO()

    show(sample.report(), stream)

    assert stream.getvalue() == EXPECTED


def test_a_terminal_gets_the_same_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the tables are drawn, with the same cells and lines."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    stream.isatty = lambda: True

    show(sample.report(), stream)

    words = stream.getvalue()
    assert "\x1b[" in words
    for word in EXPECTED.split():
        assert word in words


def test_a_check_that_found_nothing_says_how_much_it_compared() -> None:
    """The number of rows tells that something was compared."""
    check = Check(rows=9, differences=(), seconds=2.0)

    assert plain(sample.report(check)).endswith(
        "Check: all 9 rows came out the same in this process without Catena (2.0 s).\n"
    )


def test_a_check_that_found_differences_names_them() -> None:
    """The first ten are named, the others counted."""
    check = Check(rows=20, differences=tuple(f"row {n}" for n in range(12)), seconds=2.0)

    told = plain(sample.report(check))

    assert "12 of 20 rows differ" in told
    assert "  row 9\n  and 2 more" in told
    assert sample.report(check).failed


def test_a_run_without_functions_has_no_table_of_them() -> None:
    """An empty directory gives a report, not an error."""
    told = plain(sample.report(analysis=Analysis((), (), ())))

    assert told.startswith("0 files with 0 functions in /lib")
    assert "most complex" not in told
    assert "Not analysed: nothing." in told


def test_names_cannot_command_a_terminal() -> None:
    """Control characters and bytes that are not UTF-8 are written out."""
    assert shown("a\x1b[2Jb\nc\udcffé") == "a\\x1b[2Jb\\nc\\udcffé"

    (file,) = sample.ANALYSIS.files
    function = replace(sample.ANALYSIS.functions[0], path="\x1b]0;[bold]")
    told = plain(sample.report(analysis=Analysis((file,), (function,), ())))

    assert "\x1b" not in told
    assert "\\x1b]0;[bold]:3" in told
