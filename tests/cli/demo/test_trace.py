"""The tree of a run's calls: from what processes saw, as a value and as lines."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from catena.cli.demo.machine import machine
from catena.cli.demo.report import plain, show
from catena.cli.demo.trace import Node, Seen, Trace, trace_of
from catena.cli.demo.tree import drawn, lines, tree
from catena.cli.demo.words import duration
from tests.cli.demo import sample


def dispatch(id: str, parent: str = "", seconds: float = 1.0, about: str = "") -> Seen:
    """A call as its caller saw it; what it calls is in its id."""
    return Seen(id, parent, "dispatch", f"demo.{id[:-1]}", "w-0", seconds, "done", about)


def execution(parent: str, worker: str = "w-0", seconds: float = 0.5) -> Seen:
    """The same call as its worker saw it."""
    return Seen(f"{parent}!", parent, "execution", "", worker, seconds, "done")


SEEN = [
    dispatch("list1", seconds=0.04),
    execution("list1", seconds=0.02),
    dispatch("read1", seconds=0.003, about="a.py"),
    execution("read1", seconds=0.002),
    dispatch("read2", seconds=3, about="b.py"),
    execution("read2", "w-1", 2),
    dispatch("read3", seconds=0.004, about="c.py"),
    execution("read3", seconds=0.003),
    dispatch("measure1", "read2!"),
    execution("measure1"),
    dispatch("measure2", "read2!"),
]
DRAWN = """\
Trace of run c0ffee: 6 calls, each as its caller and its worker saw it, 1 by its caller only
├── list: 40 ms
│   └── on worker 0: 20 ms
└── read, 3 calls: half within 4.0 ms, longest 3.0 s
    ├── on worker 0, 2 calls: half within 2.5 ms, longest 3.0 ms
    ├── on worker 1: 2.0 s
    │   └── measure, 2 calls: half within 1.0 s, longest 1.0 s
    │       └── on worker 0: 500 ms
    └── the longest, b.py: 3.0 s
        └── on worker 1: 2.0 s
            └── measure, 2 calls: half within 1.0 s, longest 1.0 s
                └── on worker 0: 500 ms
"""


def traced(seen: list[Seen] = SEEN) -> Trace:
    """The trace of what was seen."""
    found = trace_of(seen)
    assert found is not None
    return found


def shown_in(width: int, trace: Trace) -> str:
    """The tree as a terminal of that width shows it, without colours."""
    stream = io.StringIO()
    Console(file=stream, width=width).print(drawn(tree(trace, "c0ffee")))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def test_calls_of_one_name_are_one_node_and_the_longest_is_shown() -> None:
    """Dispatch, execution, nested call: each below what it belongs to, workers apart."""
    assert shown_in(120, traced()) == DRAWN


def test_the_lines_say_what_the_tree_says() -> None:
    """Without a terminal levels are indented, in characters that any encoding has."""
    found = list(lines(tree(traced(), "c0ffee")))

    assert [line.strip() for line in found] == [line.lstrip("│├└─ ") for line in DRAWN.splitlines()]
    assert [len(line) - len(line.lstrip()) for line in found[:4]] == [0, 2, 4, 2]
    assert "\n".join(found).isascii()


@pytest.mark.parametrize("width", [80, 120])
def test_the_tree_fits_into_a_terminal(width: int) -> None:
    """No line is wider than the terminal, also with a name that is."""
    long = [replace(one, about="directory/" * 20 if one.about else "") for one in SEEN]

    assert max(map(len, shown_in(width, traced(long)).splitlines())) <= width


def test_thousands_of_calls_are_a_few_lines() -> None:
    """The tree grows with the names of routines, not with calls or workers."""
    many = [replace(dispatch("read1", about=f"{n}.py"), id=str(n)) for n in range(3000)]
    workers = [execution(str(n), f"w-{n % 64}") for n in range(3000)]

    assert list(lines(tree(traced([*many, *workers]), "c0ffee")))[1:] == [
        "  read, 3000 calls: half within 1.0 s, longest 1.0 s",
        "    on workers, 3000 calls: half within 500 ms, longest 500 ms",
        "    the longest, 0.py: 1.0 s",
        "      on worker 0: 500 ms",
    ]


def test_calls_that_did_not_end_well_are_counted() -> None:
    """A call that failed or was cancelled is told apart."""
    seen = [dispatch("read1"), replace(dispatch("read2"), end="failed")]

    assert traced(seen).roots == (Node("read", 2, 1.0, 1.0, 1),)
    assert list(lines(tree(traced(seen), "x")))[1].endswith("longest 1.0 s, 1 not done")


def test_without_a_call_there_is_no_tree() -> None:
    """A run in one process has nothing to show, and its report is as it was."""
    assert trace_of([]) is None
    assert "Trace" not in plain(sample.report())


def test_the_report_has_the_tree_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """In plain text, on a terminal and as JSON."""
    report = replace(sample.report(), trace=traced())
    monkeypatch.setenv("TERM", "xterm")
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    show(report, terminal)

    assert "\n\nTrace of run c0ffee: 6 calls" in plain(report)
    assert "\n    on worker 0: 20 ms\n" in plain(report)
    assert "└── on worker 0: 20 ms" in terminal.getvalue()
    assert '"trace":{"calls":6,"untold":1,"roots":[{"name":"list"' in machine(report)


def test_names_cannot_command_a_terminal() -> None:
    """A path comes from a file's name and is written out."""
    seen = [dispatch("read1", about="a"), dispatch("read2", seconds=2, about="\x1b[2J[bold]")]

    assert "\x1b" not in "".join(lines(tree(traced(seen), "x")))
    assert "\\x1b[2J[bold]" in shown_in(80, traced(seen))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.00081, "0.8 ms"), (0.012, "12 ms"), (1.25, "1.2 s"), (70, "70.0 s")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    """Milliseconds below a second."""
    assert duration(seconds) == text
