"""The run with its routines called in this process: what is merged, and what is refused."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catena.cli.demo import routines, run as run_module
from catena.cli.demo.analysis import LARGE
from catena.cli.demo.local import analyse
from catena.cli.demo.outcome import Outcome, Progress
from catena.cli.demo.routines import Head, Part, state
from catena.cli.demo.run import ContextLost, run
from catena.cli.demo.state import RunState
from catena.cli.demo.target import choose

LARGE_FUNCTION = "def large():\n" + "    a = b\n" * LARGE


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The routines run in this process, as ``local`` runs them."""
    monkeypatch.setattr(run_module, "WorkerPool", lambda **_: nullcontext())
    monkeypatch.setattr(run_module, "list_packages", routines.list_packages.local)
    monkeypatch.setattr(run_module, "read_file", routines.read_file.local)
    monkeypatch.setattr(routines, "measure", routines.measure.local)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A few files, one with two large functions, one that does not parse, and an empty package."""
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.py").write_text(f"def {name}(): pass\n")
    (tmp_path / "large.py").write_text(LARGE_FUNCTION + LARGE_FUNCTION.replace("large", "more"))
    (tmp_path / "bad.py").write_text("def f(:\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.txt").touch()
    return tmp_path


def ran(path: Path, **options: Any) -> Outcome:
    """The outcome of a run over ``path``."""
    started = RunState(run="c0ffee", skip=frozenset({"left"}))
    return asyncio.run(run(choose(str(path)), started, workers=2, **options))


def reads(monkeypatch: pytest.MonkeyPatch, *parts: Part, told: RunState | None = None) -> None:
    """Let every file be read as a stream of ``parts``, with ``told`` as the state it leaves."""

    async def read_file(root: str, path: str) -> AsyncGenerator[Part]:
        if told is not None:
            state.set(told)
        for part in parts:
            yield part

    monkeypatch.setattr(run_module, "read_file", read_file)


@pytest.mark.usefixtures("here")
def test_the_rows_are_those_of_this_process(tree: Path) -> None:
    """What the routines stream is what the local analysis finds, large functions included."""
    outcome = ran(tree)

    assert outcome.analysis == analyse(choose(str(tree)), frozenset())
    assert [row.name for row in outcome.analysis.functions] == ["a", "b", "c", "large", "more"]


@pytest.mark.usefixtures("here")
def test_calls_and_changes_are_counted(tree: Path) -> None:
    """One listing, a call a file, a nested call a large function; each noted itself."""
    outcome = ran(tree)

    assert outcome.calls.processes == (os.getpid(),)
    assert (outcome.calls.total, outcome.calls.nested.total()) == (1 + 5 + 2, 2)
    assert outcome.context.set_aside == ("data",)
    assert (outcome.context.files, outcome.context.functions) == (5, 2)
    assert outcome.context.changes == 8


@pytest.mark.usefixtures("here")
def test_progress_is_told_from_the_listing_on(tree: Path) -> None:
    """The first word comes with the number of files, the last when all are read."""
    told: list[Progress] = []

    ran(tree, report=told.append)

    assert told[0] == Progress(read=0, known=5, functions=0)
    assert told[-1] == Progress(read=5, known=5, functions=5)


@pytest.mark.usefixtures("here")
def test_no_more_files_are_in_flight_than_allowed(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading is bounded, however many files there are."""
    now: list[str] = []
    most = 0

    async def read_file(root: str, path: str) -> AsyncGenerator[Part]:
        nonlocal most
        now.append(path)
        most = max(most, len(now))
        await asyncio.sleep(0)
        async for part in routines.read_file.local(root, path):
            yield part
        now.remove(path)

    monkeypatch.setattr(run_module, "IN_FLIGHT", 2)
    monkeypatch.setattr(run_module, "read_file", read_file)
    ran(tree)

    assert most == 2


@pytest.mark.usefixtures("here")
def test_a_function_that_does_not_stand_alone_is_measured_in_place(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is the same when its text cannot be measured elsewhere."""
    expected = ran(tree).analysis

    monkeypatch.setattr(routines, "fragment", lambda *_: "    return 1\n")

    assert ran(tree).analysis == expected


@pytest.mark.usefixtures("here")
def test_a_change_that_is_not_seen_fails_the_run(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are not enough: the context must have come back too."""
    row = analyse(choose(str(tree)), frozenset()).files[0]
    reads(monkeypatch, Head(1, "c0ffee", row))

    with pytest.raises(ExceptionGroup) as caught:
        ran(tree)

    assert caught.group_contains(ContextLost, match="0 and 0 were seen here")


@pytest.mark.usefixtures("here")
def test_a_value_of_another_run_fails_the_run(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that read another run's id was not given this run's context."""
    row = analyse(choose(str(tree)), frozenset()).files[0]
    reads(monkeypatch, Head(1, "other", row))

    with pytest.raises(ExceptionGroup) as caught:
        ran(tree)

    assert caught.group_contains(ContextLost, match="was read for run 'other'")


@pytest.mark.usefixtures("here")
def test_a_file_that_takes_too_long_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for without an end."""

    async def read_file(root: str, path: str) -> AsyncGenerator[Part]:
        await asyncio.Event().wait()
        yield Head(1, "", replace(analyse(choose(str(tree)), frozenset()).files[0]))

    monkeypatch.setattr(run_module, "DEADLINE", 0.01)
    monkeypatch.setattr(run_module, "read_file", read_file)

    with pytest.raises(ExceptionGroup) as caught:
        ran(tree)

    assert caught.group_contains(TimeoutError, match=r"a\.py took longer than 0\.01 seconds")
