"""The report: every fact of a run, in words and as JSON, and nothing that a terminal would obey."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from catena.demo.analysis import FileRow, FunctionRow
from catena.demo.files import Problem
from catena.demo.report import grow_tree, show_report, to_json
from catena.demo.routines import Call
from catena.demo.run import Analysis, Check, Outcome
from tests.demo.sample import ANALYSIS, OUTCOME, READ

EXPECTED = """\
1 file with 2 functions in /lib, analysed on 2 workers in 1.2 s

The 2 most complex functions
  complexity  lines  function  where
           5     40  C.big     pkg/a.py:3
           1      2  small     pkg/a.py:50

What ran where: 6 calls in run c0ffee
├── list_files on worker 0: 12 ms
├── read_file on worker 0, 3 calls: half within 1.2 s, longest 1.2 s
│   └── measure on worker 1: 4.0 ms
└── read_file on worker 1: 0.8 ms

Nested: 1 of 6 calls came from a routine on a worker, one for each function of 40 lines or more.
Context: each call noted itself in a context variable on its worker, and its caller found the note\
 there.

Not analysed: 6 paths
├── encoding: x.py (unknown encoding: x)
└── syntax: bad0.py (line 1: no), and 4 more
"""
NO_ROWS = Analysis((), (Call("list_files", "/lib", "c0ffee", 11, 0.01, ()),))


def shown(outcome: Outcome, stream: io.StringIO | None = None) -> str:
    """The report without the blanks that fill the columns of a table."""
    stream = stream or io.StringIO()
    show_report(outcome, stream)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def terminal() -> io.StringIO:
    """A stream that says that it is a terminal."""
    stream = io.StringIO()
    stream.isatty = lambda: True
    return stream


def checked(*differences: str) -> Outcome:
    """A run whose check found these differences."""
    return replace(OUTCOME, check=Check(20, 6, differences, 2.0))


def test_a_pipe_gets_everything_on_lines_that_are_not_broken() -> None:
    """Tables and trees are aligned by blanks; there are no escape sequences."""
    assert shown(OUTCOME) == EXPECTED


def test_a_terminal_gets_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a bit of bold, and broken into its width."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")

    lines = shown(OUTCOME, terminal())

    assert "\x1b[1m" in lines
    plain = lines.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert max(map(len, plain.splitlines())) <= 80
    assert plain.split() == EXPECTED.split()


def test_a_check_says_what_it_compared_or_what_differs() -> None:
    """The first ten differences are named, the others counted."""
    same = "Check: 20 rows and 6 calls are the same with .local in this process (2.0 s)\n"
    assert shown(checked()).endswith(same)

    text = shown(checked(*(f"row {n}" for n in range(12))))

    assert "of 20 rows and 6 calls, these differ" in text
    assert text.endswith("├── row 9\n└── and 2 more (--json has all)\n")


def test_a_run_without_functions_has_no_table_of_them() -> None:
    """An empty directory gives a report, not an error."""
    text = shown(replace(OUTCOME, analysis=NO_ROWS))

    assert text.startswith("0 files with 0 functions in /lib")
    assert "most complex" not in text
    assert "Not analysed" not in text


def test_thousands_of_calls_are_a_few_lines() -> None:
    """The tree grows with the names of routines, not with calls or workers."""
    calls = [replace(READ, about=str(n), process=n % 64) for n in range(3000)]

    (node,) = grow_tree(calls, range(64))

    assert (node.name, node.calls, node.longest) == ("read_file on workers", 3000, 0.5)


def test_names_cannot_command_a_terminal() -> None:
    """Control characters, markup and bytes that are no UTF-8 are written out."""
    name = "a\x1b[2J[bold]\n\udcffé"
    rows = (FunctionRow(name, "f", 3, 1, 1), Problem(name, "syntax", "no"))
    text = shown(replace(OUTCOME, path=name, analysis=replace(NO_ROWS, rows=rows)))

    assert text.count("a\\x1b[2J[bold]\\n\\udcffé") == 3


def test_the_object_has_every_field_of_the_schema() -> None:
    """A program finds the same facts as a person, and all rows."""
    text = to_json(checked("row"))
    found = json.loads(text)

    assert (text.isascii(), text.isprintable()) == (True, True)
    assert found.pop("problems")[-1] == {
        "path": "x.py",
        "kind": "encoding",
        "detail": "unknown encoding: x",
    }
    assert found.pop("functions")[0] == {
        "path": "pkg/a.py",
        "name": "C.big",
        "line": 3,
        "lines": 40,
        "complexity": 5,
    }
    assert found.pop("calls")[1] == {
        "name": "read_file on worker 0",
        "calls": 3,
        "median": 1.25,
        "longest": 1.25,
        "children": [
            {
                "name": "measure on worker 1",
                "calls": 1,
                "median": 0.004,
                "longest": 0.004,
                "children": [],
            }
        ],
    }
    assert found == {
        "schema": 2,
        "path": "/lib",
        "run": "c0ffee",
        "workers": 2,
        "seconds": 1.25,
        "files": [{"path": "pkg/a.py", "lines": 90, "functions": 2}],
        "check": {"rows": 20, "calls": 6, "differences": ["row"], "seconds": 2.0},
    }


def test_a_name_that_is_no_utf_8_comes_back_as_it_was() -> None:
    """Bytes of a file's name that are no text are lone surrogates, as Python has them."""
    odd = replace(OUTCOME, analysis=replace(ANALYSIS, rows=(FileRow("\udcff\n.py", 1, 0),)))

    assert json.loads(to_json(odd))["files"][0]["path"] == "\udcff\n.py"
