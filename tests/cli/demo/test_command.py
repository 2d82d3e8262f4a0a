"""The command around a run: what it prints where, and with which exit code it ends."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catena.cli.demo import command
from catena.cli.demo.local import analyse
from catena.cli.demo.outcome import Outcome, Progress
from catena.cli.demo.rows import Analysis
from catena.cli.demo.run import ContextLost
from catena.cli.demo.target import Target
from catena.cli.main import main
from catena.errors import WorkerLost
from tests.cli.demo import sample

Told = pytest.CaptureFixture[str]
LOST = WorkerLost(worker="w1", routine="demo", begun=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """One file with one function."""
    (tmp_path / "a.py").write_text("def f(): pass\n")
    return tmp_path


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Target], Outcome]], None]:
    """Let a function of the target stand in for the run on workers."""

    def stand_in(outcome: Callable[[Target], Outcome]) -> None:
        async def run(target: Target, *_: Any, report: Any, **__: Any) -> Outcome:
            report(Progress(read=1, known=4, functions=2))
            return outcome(target)

        monkeypatch.setattr(command, "run", run)

    return stand_in


def true(target: Target) -> Outcome:
    """What a faultless run gives."""
    return Outcome(analyse(target, target.skip), sample.CALLS, sample.CONTEXT)


def fails(error: BaseException) -> Callable[[Target], Outcome]:
    """A run that raises."""

    def outcome(_: Target) -> Outcome:
        raise error

    return outcome


def test_a_run_that_is_done_gives_zero(tree: Path, running: Any, capsys: Told) -> None:
    """The report goes to standard output, progress to standard error."""
    running(true)

    assert main(["demo", str(tree)]) == 0

    told = capsys.readouterr()
    assert told.out.startswith("1 file with 1 function in ")
    assert told.err.splitlines()[0].startswith("catena demo: starting ")


def test_json_is_alone_on_standard_output(tree: Path, running: Any, capsys: Told) -> None:
    """A program can read all of standard output as one object."""
    running(true)

    assert main(["demo", "--json", str(tree)]) == 0

    assert json.loads(capsys.readouterr().out)["files"][0]["path"] == "a.py"


def test_a_check_that_agrees_gives_zero(tree: Path, running: Any, capsys: Told) -> None:
    """Both rows were compared."""
    running(true)

    assert main(["demo", "--check", str(tree)]) == 0

    assert "Check: all 2 rows came out the same" in capsys.readouterr().out


def test_a_check_that_differs_gives_one_and_names_the_rows(
    tree: Path, running: Any, capsys: Told
) -> None:
    """The report is printed all the same."""
    running(lambda _: Outcome(Analysis((), (), ()), sample.CALLS, sample.CONTEXT))

    assert main(["demo", "--check", "--json", str(tree)]) == 1

    told = capsys.readouterr()
    check = json.loads(told.out)["check"]
    assert (check["same"], [line.split(": ")[0] for line in check["differences"]]) == (
        False,
        ["a.py", "a.py:1 f"],
    )
    assert told.err.endswith("catena demo: failed: --check found a difference\n")


@pytest.mark.parametrize("arguments", [["gone"], [".", "--skip", "gone"]])
def test_what_is_not_there_gives_two(
    tree: Path, arguments: list[str], capsys: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing path, or nothing of that name to skip, is told in one line."""
    monkeypatch.chdir(tree)

    assert main(["demo", *arguments]) == 2

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("catena demo: ")
    assert "gone" in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (LOST, f"WorkerLost: {LOST}"),
        (ExceptionGroup("", [LOST, ExceptionGroup("", [LOST])]), f"WorkerLost: {LOST}"),
        (ExceptionGroup("", [ContextLost("a.py: no")]), "ContextLost: a.py: no"),
        (TimeoutError("a.py took longer"), "TimeoutError: a.py took longer"),
        (OSError(28, "No space left"), "OSError: [Errno 28] No space left"),
    ],
)
def test_a_run_that_fails_gives_one(
    tree: Path, running: Any, capsys: Told, error: BaseException, line: str
) -> None:
    """Each cause is told once, in a line, and standard output stays empty."""
    running(fails(error))

    assert main(["demo", "--json", str(tree)]) == 1

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[2:] == [f"catena demo: failed: {line}"]


def test_a_mistake_of_ours_keeps_its_traceback(tree: Path, running: Any) -> None:
    """An error that does not explain itself is not made shorter, even among others."""
    running(fails(ExceptionGroup("", [LOST, KeyError("x")])))

    with pytest.raises(ExceptionGroup):
        main(["demo", str(tree)])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError()])
def test_an_interrupt_gives_130(
    tree: Path, running: Any, capsys: Told, error: BaseException
) -> None:
    """One short line says how far the run was."""
    running(fails(error))

    assert main(["demo", str(tree)]) == 130

    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "catena demo: interrupted, 1 of 4 files, 2 functions"


def test_what_breaks_during_an_interrupt_is_part_of_it(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    """Workers that are lost because the user wants to stop are not reported."""

    async def run(*_: Any, **__: Any) -> Outcome:
        signal.raise_signal(signal.SIGINT)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            raise LOST from None
        raise AssertionError

    monkeypatch.setattr(command, "run", run)

    assert main(["demo", str(tree)]) == 130
    assert "interrupted, no file was read" in capsys.readouterr().err
