"""The long counts: the runner, the page it writes, and what stands there today."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.long import command as running, page, progress
from tests.long.checks import CHECKS, Check
from tests.long.command import command
from tests.long.page import COLUMNS, PAGE, Row, read, with_row

LEAST = {
    "background-tasks": 10_000,
    "endings": 20_000,
    "joins-and-leaves": 3_000,
    "kills": 10_000,
    "leases": 10_000,
    "token-oracle": 2_000,
    "upgrades": 150,
}
"""Counts that may be below the usual: each of these examples is many dispatches, or many looks."""


def row(check: str, **more: str) -> Row:
    """Return a row with something in each column."""
    return Row(check, "10", "1", "abc", "def", "2 s", "holds", "all 10")._replace(**more)


def counting(name: str = "counting", **more: Any) -> Check:
    """Return a check that meets what it is told to."""

    def run(count: int, seed: int, tell: Any) -> Counter[str]:
        tell(count)
        if seed == 13:
            raise AssertionError("an unlucky | number\nand more")
        return Counter(met=count, seed=seed)

    return replace(Check(name, "X1", "counts", 10, run, floors={"met": 10}), **more)


class Run:
    """Runs the command on checks of a test and keeps what it said."""

    def __init__(self, folder: Path) -> None:
        self.page = folder / "page.md"
        self.said = io.StringIO()
        self.checks = {one.name: one for one in (counting(), counting("another"))}

    def __call__(self, *arguments: str) -> int:
        console = Console(file=self.said, width=80)
        return command(arguments, checks=self.checks, page=self.page, console=console)

    @property
    def rows(self) -> list[Row]:
        """The rows of the page; none without one."""
        return read(self.page.read_text("utf-8")) if self.page.exists() else []


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """The command, with a page of its own."""
    return Run(tmp_path)


def test_rows_are_sorted_and_the_others_kept() -> None:
    """A run replaces the row of its own check and leaves those of others."""
    text = with_row(with_row(with_row("", row("b")), row("c")), row("a"))
    assert [one.check for one in read(text)] == ["a", "b", "c"]

    again = with_row(text, row("b", count="20", outcome="fails: a | b"))
    assert read(again) == [row("a"), row("b", count="20", outcome="fails: a / b"), row("c")]
    assert again.startswith("# Long runs\n")
    assert with_row(again, read(again)[0]) == again


def test_a_line_that_is_no_row_is_told() -> None:
    """A table that somebody broke is not rewritten in silence."""
    with pytest.raises(ValueError, match=r"not a row of long runs: . a . b ."):
        read(with_row("", row("a")) + "| a | b |\n")


def test_all_checks_run_and_are_written(run: Run) -> None:
    """Without a name every check runs, with its own count and seed."""
    assert run() == 0
    assert [(one.check, one.count, one.seed, one.outcome) for one in run.rows] == [
        ("another", "10", "1", "holds"),
        ("counting", "10", "1", "holds"),
    ]
    assert run.rows[0].met == "met 10, seed 1"
    assert run.rows[0].commit
    assert len(run.rows[0]) == len(COLUMNS)


def test_one_check_runs_by_its_name(run: Run) -> None:
    """With a name, that one alone."""
    assert run("another") == 0
    assert [one.check for one in run.rows] == ["another"]


def test_an_unknown_name_is_refused_with_the_known_ones(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage is exit code 2; the message lists the names."""
    assert run("fuzz") == 2
    assert "'fuzz'; there are: counting, another" in capsys.readouterr().err
    assert run("--count", "0") == 2
    assert run.rows == []


def test_trying_out_writes_nothing_unless_it_is_told_to(run: Run) -> None:
    """--count and --seed are for trying out; floors hold for a full count alone."""
    assert run("counting", "--count", "3") == 0
    assert run("counting", "--seed", "5") == 0
    assert run.rows == []
    assert run("counting", "--count", "3", "--seed", "5", "--write") == 0
    assert [(one.count, one.seed, one.met) for one in run.rows] == [("3", "5", "met 3, seed 5")]


def test_a_check_that_fails_is_written_too(run: Run) -> None:
    """A failure is exit code 1 and a row with its outcome; the other checks run all the same."""
    run.checks["counting"] = counting(seed=13)

    assert run() == 1
    assert [one.outcome for one in run.rows] == [
        "holds",
        "fails: AssertionError: an unlucky / number",
    ]


def test_a_check_below_its_floor_fails(run: Run) -> None:
    """A full count that met too little does not hold."""
    run.checks["counting"] = counting(floors={"met": 11, "seen": 1})

    assert run("counting") == 1
    assert run.rows[0].outcome.endswith("met too seldom: met: 10 of 11, seen: 0 of 1")


def test_without_a_terminal_there_is_a_line_now_and_then(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain lines tell of the progress, at most one every five seconds."""
    clock = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: clock[0])
    said = io.StringIO()
    with progress.Bar("name", 2000, Console(file=said, width=80)) as bar:
        for done, clock[0] in ((1, 1.0), (1000, 5.0), (1001, 9.9), (1500, 10.0)):
            bar(done)

    assert said.getvalue() == "name: 1,000 of 2,000\nname: 1,500 of 2,000\n"


def test_on_a_terminal_there_is_a_bar() -> None:
    """A terminal gets a bar, which is gone afterwards."""
    said = io.StringIO()
    with progress.Bar("name", 20, Console(file=said, force_terminal=True, width=80)) as bar:
        bar(7)
        assert bar._bar is not None
        assert bar._bar.tasks[0].completed == 7


def test_the_row_tells_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is marked when src differs from it; the tree is that of src as it is."""
    answers = {"rev-parse": "abc1234", "status": "", "add": "", "write-tree": "0123456789abcdef"}
    monkeypatch.setattr(page, "_git", lambda word, *_, **__: answers[word])
    assert page.source() == ("abc1234", "0123456789")

    answers["status"] = " M src/catena/ids.py"
    assert page.source() == ("abc1234+changes", "0123456789")


def test_the_page_tells_of_checks_that_there_are() -> None:
    """Each row is of a registered check, in its full size; the page is as it is written."""
    text = PAGE.read_text("utf-8")
    for one in read(text):
        assert one.check in CHECKS
        assert int(one.count) >= CHECKS[one.check].count
        assert with_row(text, one) == text


def test_every_check_has_floors_and_says_what_it_is() -> None:
    """A long count fails when it has hardly looked."""
    assert running.CHECKS is CHECKS
    for name, check in CHECKS.items():
        assert check.name == name
        assert check.clauses
        assert check.floors
        assert check.count >= LEAST.get(name, 100_000)
