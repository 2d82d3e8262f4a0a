"""The command line entry: exit codes, help, version, and the command that only a pool calls."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from catena.cli.main import main


def test_nothing_asked_is_a_usage_error_and_shows_the_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a command the help is printed and the exit code is 2."""
    assert main([]) == 2

    assert "demo" in capsys.readouterr().out


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` prints the installed version and succeeds."""
    assert main(["--version"]) == 0

    assert capsys.readouterr().out == f"catena {metadata.version('catena-dispatch')}\n"


def test_the_worker_command_is_not_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """``worker`` is hidden from the help."""
    assert main(["--help"]) == 0

    assert "worker " not in capsys.readouterr().out.replace("worker processes", "")


@pytest.mark.parametrize(
    "asked",
    [["nonsense"], ["demo", "--workers", "0"], ["demo", "--workers", "two"], ["demo", "-x"]],
)
def test_a_wrong_command_line_gives_two(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A usage error is told on standard error and gives exit code 2."""
    assert main(asked) == 2

    told = capsys.readouterr()
    assert "error:" in told.err
    assert told.out == ""


def test_the_help_of_demo_tells_its_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """The four exit codes of the demo are in its help."""
    assert main(["demo", "--help"]) == 0

    told = capsys.readouterr().out
    assert all(f"\n  {code} " in told for code in (0, 1, 2, 130))


def test_ctrl_c_anywhere_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An interrupt outside a run ends with 130 and without a traceback."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("catena.cli.main.parser", interrupted)

    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "catena: interrupted\n"


def test_the_package_runs_as_a_module() -> None:
    """``python -m catena`` is the same command."""
    done = subprocess.run(
        [sys.executable, "-m", "catena", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout[:7], done.stderr) == (0, "catena ", "")
