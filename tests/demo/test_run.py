"""The run with its routines called in this process: what is merged, and what is refused."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

import catena
from catena.demo import routines, run as run_module
from catena.demo.analysis import LARGE, FileRow, FunctionRow
from catena.demo.files import Problem, Target
from catena.demo.routines import Call, Measure, Row, journal
from catena.demo.run import Analysis, ContextLost, Outcome, Progress, find_differences, run_demo

LARGE_FUNCTION = "def large():\n" + "    a = b or c\n" * LARGE
Read = Callable[[str, str, Measure], AsyncGenerator[list[Row]]]


class Pool:
    """Stands in for workers; the routines run in this process."""

    def __init__(self, **_: object) -> None:
        self.pids = {"w-0": os.getpid()}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


@pytest.fixture(autouse=True)
def reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Read], None]:
    """What would run on workers runs here; a function may stand in for ``read_file``."""

    def stand_in(read: Read) -> None:
        ways = replace(run_module._HERE, read_file=read)
        monkeypatch.setattr(run_module, "_ON_WORKERS", ways)

    monkeypatch.setattr(catena, "WorkerPool", Pool)
    stand_in(routines.read_file.local)
    return stand_in


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A few files, one with two large functions, and one that does not parse."""
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.py").write_text(f"def {name}(): pass\n")
    (tmp_path / "large.py").write_text(LARGE_FUNCTION + LARGE_FUNCTION.replace("large", "more"))
    (tmp_path / "bad.py").write_text("def f(:\n")
    return tmp_path


def ran(tree: Path, progress: Progress | None = None, *, check: bool = False) -> Outcome:
    """The outcome of a run over ``tree``."""
    target = Target.choose(str(tree))
    return asyncio.run(run_demo(target, progress or Progress(), workers=1, check=check))


def test_rows_and_problems_are_merged_in_one_order(tree: Path) -> None:
    """What the routines stream is there, large functions included."""
    analysis = ran(tree).analysis

    assert analysis.rows_of(FileRow)[-1] == FileRow("large.py", 2 * (LARGE + 1), 2)
    assert [(row.name, row.complexity) for row in analysis.rows_of(FunctionRow)] == [
        ("a", 1),
        ("b", 1),
        ("c", 1),
        ("large", 1 + LARGE),
        ("more", 1 + LARGE),
    ]
    assert [(row.path, row.kind) for row in analysis.rows_of(Problem)] == [("bad.py", "syntax")]


def test_every_call_is_in_the_journal_below_the_one_that_made_it(tree: Path) -> None:
    """One listing, a call for each file, and a nested one for each large function."""
    outcome = ran(tree)

    found = [(one.about, [call.about for call in one.calls]) for one in outcome.analysis.calls]
    assert found == [
        (str(tree), []),
        ("a.py", []),
        ("b.py", []),
        ("bad.py", []),
        ("c.py", []),
        ("large.py", ["large", "more"]),
    ]
    assert {one.run for one in outcome.analysis.calls} == {outcome.run}


def test_progress_says_how_far_a_run_is(tree: Path) -> None:
    """Before the listing there is nothing to count."""
    progress = Progress("starting")
    assert progress.describe() == ("starting", "")

    ran(tree, progress)

    assert progress.describe() == ("reading on 1 worker", "5 of 5 files, 5 functions")


def test_no_more_files_are_in_flight_than_allowed(
    tree: Path, reading: Callable[[Read], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading is bounded, however many files there are."""
    now: list[str] = []
    most: list[int] = []

    async def read(root: str, path: str, measure: Measure) -> AsyncGenerator[list[Row]]:
        now.append(path)
        most.append(len(now))
        await asyncio.sleep(0)
        async for part in routines.read_file.local(root, path, measure):
            yield part
        now.remove(path)

    monkeypatch.setattr(run_module, "IN_FLIGHT", 2)
    reading(read)
    ran(tree)

    assert max(most) == 2


def test_a_function_that_does_not_stand_alone_is_measured_in_place(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is the same when its text cannot be measured elsewhere."""
    expected = ran(tree).analysis.rows

    monkeypatch.setattr(routines, "cut_out", lambda *_: "    return 1\n")

    assert ran(tree).analysis.rows == expected


def test_an_entry_that_is_not_in_the_journal_fails_the_run(
    tree: Path, reading: Callable[[Read], None]
) -> None:
    """Rows are not enough: the context must have come back too."""

    async def read(root: str, path: str, measure: Measure) -> AsyncGenerator[list[Row]]:
        yield [FileRow(path, 1, 0)]

    reading(read)
    with pytest.raises(ExceptionGroup) as caught:
        ran(tree)

    assert caught.group_contains(ContextLost, match="after read_file of a.py")


@pytest.mark.parametrize("lost", ["run", "nested"])
def test_an_entry_that_says_something_else_fails_the_run(
    tree: Path, reading: Callable[[Read], None], lost: str
) -> None:
    """A worker that ran for another run, or whose nested calls left no note, lost the context."""

    async def read(root: str, path: str, measure: Measure) -> AsyncGenerator[list[Row]]:
        async for part in routines.read_file.local(root, path, measure):
            yield part
        (call,) = journal.get()
        journal.set((replace(call, run="other") if lost == "run" else replace(call, calls=()),))

    reading(read)
    with pytest.raises(ExceptionGroup) as caught:
        ran(tree)

    assert caught.group_contains(ContextLost, match="other" if lost == "run" else "large.py")


def test_a_file_that_takes_too_long_is_named(tree: Path, reading: Callable[[Read], None]) -> None:
    """What Catena says of a routine's timeout is said of the file."""

    async def read(root: str, path: str, measure: Measure) -> AsyncGenerator[list[Row]]:
        raise TimeoutError
        yield []

    reading(read)
    with pytest.raises(ExceptionGroup) as caught:
        ran(tree)

    assert caught.group_contains(TimeoutError, match=r"a\.py took longer than 120 seconds")


def test_a_check_that_agrees_says_how_much_it_compared(tree: Path) -> None:
    """Rows and calls of both runs are the same."""
    check = ran(tree, check=True).check

    assert check is not None
    assert (check.rows, check.calls, check.differences) == (4 + 5 + 1, 1 + 5 + 2, ())


def test_what_differs_is_named_with_where_it_was_found() -> None:
    """A changed row, one too many, and a call that did something else each have their lines."""
    row, call = FileRow("a.py", 1, 0), Call("read_file", "a.py", "r", 1, 0.5, ())
    there = Analysis((row,), (call,))
    elsewhere = replace(call, process=2, seconds=9.0)

    assert find_differences(there, Analysis((row,), (elsewhere,))) == ()
    assert find_differences(there, Analysis((replace(row, lines=2),), (elsewhere,))) == (
        f"only on workers: {row}",
        f"only in this process: {replace(row, lines=2)}",
    )
    (on_workers, in_process) = find_differences(
        there, Analysis((row,), (replace(elsewhere, calls=(call,)),))
    )
    assert on_workers.startswith("only on workers: Call(")
    assert in_process.startswith("only in this process: Call(")
