"""The command line entry: exit codes, help, version, and what is imported when."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from catena.cli.main import COMMANDS, main


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


def test_the_help_lists_every_command_and_imports_none() -> None:
    """It is quick; the short help of a command is that of the command's own page."""
    program = (
        "import sys; from catena.cli.main import COMMANDS, main; main(['--help']);"
        " print(*(one for one in sys.modules if one.startswith(('catena.', 'rich', 'aiohttp'))))"
    )
    shown = run_python("-c", program).splitlines()

    assert not {"rich", "aiohttp", "catena.demo", "catena.cli.demo"} & set(shown[-1].split())
    for name, text in COMMANDS.items():
        assert f"  {name:<7}  {text}" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_page_of_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the list names is there, and says what it is for."""
    assert main([name, "--help"]) == 0

    assert capsys.readouterr().out.startswith(f"Usage: catena {name} ")


def test_a_worker_needs_no_command_line() -> None:
    """What a pool starts imports neither click nor rich."""
    program = "import sys, catena.pool.worker_main; print(*sys.modules)"

    assert not {"click", "rich", "catena.cli"} & set(run_python("-c", program).split())


@pytest.mark.parametrize(
    "asked",
    [
        ["nonsense"],
        ["worker"],
        ["demo", "--workers", "0"],
        ["demo", "--workers", "two"],
        ["demo", "-x"],
        ["demo", "no-such-path"],
        ["collect", "--keep", "0"],
        ["collect", "--rotate-bytes", "x"],
        ["collect", "x"],
    ],
)
def test_a_wrong_command_line_gives_two(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A usage error goes to standard error and gives exit code 2."""
    assert main(asked) == 2

    printed = capsys.readouterr()
    assert "Error: " in printed.err
    assert printed.out == ""


def test_the_help_of_demo_names_its_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """The four exit codes of the demo are in its help."""
    assert main(["demo", "--help"]) == 0

    shown = capsys.readouterr().out
    assert all(f"\n    {code} " in shown for code in (0, 1, 2, 130))


def test_ctrl_c_anywhere_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An interrupt outside a run ends with 130 and without a traceback."""

    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("catena.cli.main.importlib.import_module", interrupted)

    assert main(["demo"]) == 130
    assert capsys.readouterr().err.strip() == "catena: interrupted"


def test_the_package_runs_as_a_module() -> None:
    """``python -m catena`` is the same command."""
    assert run_python("-m", "catena", "--version").startswith("catena ")


def run_python(*arguments: str) -> str:
    """Return what a process of its own prints when it succeeds without complaint."""
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return done.stdout
