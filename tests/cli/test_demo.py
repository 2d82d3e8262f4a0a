"""The command around a run of the demo: what it prints where, and with which exit code it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catena.cli import demo
from catena.cli.main import main
from catena.demo.run import Check, ContextLost, Outcome, Progress
from catena.errors import WorkerLost
from tests.demo.sample import OUTCOME

Printed = pytest.CaptureFixture[str]
Running = Callable[[Outcome | BaseException], None]
LOST = WorkerLost(worker="w1", routine="demo", begun=True)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Running:
    """Let an outcome, or an error, stand in for that of a run on workers."""

    def stand_in(end: Outcome | BaseException) -> None:
        async def run(_: object, progress: Progress, **__: object) -> Outcome:
            progress.begin_phase("reading")
            progress.files, progress.known, progress.functions = 1, 4, 2
            if isinstance(end, BaseException):
                raise end
            return end

        monkeypatch.setattr(demo, "run_demo", run)

    return stand_in


def test_a_run_that_is_done_gives_zero(running: Running, capsys: Printed) -> None:
    """The report goes to standard output, progress to standard error."""
    running(OUTCOME)

    assert main(["demo"]) == 0

    assert capsys.readouterr().out.startswith("1 file with 2 functions in /lib")


def test_json_is_alone_on_standard_output(running: Running, capsys: Printed) -> None:
    """A program can read all of standard output as one object."""
    running(OUTCOME)

    assert main(["demo", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["path"] == "/lib"


def test_what_is_asked_reaches_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Path, workers and check; without options as many workers as there are CPUs to use."""
    asked: list[tuple[str, dict[str, Any]]] = []

    async def run(target: Any, _: object, **options: Any) -> Outcome:
        asked.append((target.path, options))
        return OUTCOME

    monkeypatch.setattr(demo, "run_demo", run)
    assert main(["demo", str(tmp_path), "--workers", "3", "--check"]) == 0
    assert main(["demo", str(tmp_path)]) == 0

    path = str(tmp_path.resolve())
    cpus = demo._count_cpus()
    assert asked == [
        (path, {"workers": 3, "check": True, "bootstrap": None}),
        (path, {"workers": cpus, "check": False, "bootstrap": None}),
    ]


def test_a_check_that_found_a_difference_gives_one(running: Running, capsys: Printed) -> None:
    """The report is printed all the same."""
    running(replace(OUTCOME, check=Check(2, 3, ("only on workers: x",), 0.5)))

    assert main(["demo", "--check"]) == 1

    printed = capsys.readouterr()
    assert "only on workers: x" in printed.out
    assert printed.err.endswith("catena demo: failed: --check found a difference\n")


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
    running: Running, capsys: Printed, error: BaseException, line: str
) -> None:
    """Each cause has one line, and standard output stays empty."""
    running(error)

    assert main(["demo", "--json"]) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    failed = [one for one in printed.err.splitlines() if "failed" in one]
    assert failed == [f"catena demo: failed: {line}"]


def test_a_mistake_of_ours_keeps_its_traceback(running: Running) -> None:
    """An error that does not explain itself is not made shorter, even among others."""
    running(ExceptionGroup("", [LOST, KeyError("x")]))

    with pytest.raises(ExceptionGroup):
        main(["demo"])


def test_an_interrupt_gives_130_and_what_breaks_meanwhile_is_part_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    """Workers that are lost because the user wants to stop are not reported."""

    async def run(_: object, progress: Progress, **__: object) -> Outcome:
        progress.files, progress.known = 1, 4
        signal.raise_signal(signal.SIGINT)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            raise LOST from None
        raise AssertionError

    monkeypatch.setattr(demo, "run_demo", run)
    before = signal.getsignal(signal.SIGINT)
    try:
        assert main(["demo"]) == 130
    finally:
        # A process that was interrupted is about to end, and hears of no other Ctrl-C.
        signal.signal(signal.SIGINT, before)

    assert capsys.readouterr().err.endswith("catena demo: interrupted, 1 of 4 files, 0 functions\n")


def test_a_wrong_endpoint_is_named_before_anything_runs(capsys: Printed) -> None:
    """Nobody listens, or it is no address: one line, and exit code 1."""
    for endpoint in ("http://127.0.0.1:1", "nonsense:x"):
        assert main(["demo", "--otlp", endpoint]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"catena demo: failed: nobody receives telemetry at {endpoint}: ")


def test_otlp_without_its_extra_names_the_command(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not installed is named with what installs it, and exit code 2."""
    monkeypatch.delitem(sys.modules, "catena.demo.tracing", raising=False)
    monkeypatch.delattr("catena.demo.tracing", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    assert main(["demo", "--otlp", "http://127.0.0.1:1"]) == 2

    assert capsys.readouterr().err == (
        "catena demo: opentelemetry.sdk.trace is not installed: pip install '.[otel]'\n"
    )
