"""The entry of the command line: which commands there are, and their exit codes.

Its one rule: a command's module is imported when that command is asked for, so ``catena --help``
waits for none of them.
"""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence

import click

from catena.cli.ending import INTERRUPTED, USAGE, CommandEnded
from catena.wire.versions import SOFTWARE

COMMANDS = {
    "demo": "Analyse Python files on worker processes.",
    "collect": "Receive telemetry (OTLP) and write it to a file.",
    "certs": "Make certificates for development, and check them.",
    "worker": "Run one worker, for pools that find it.",
    "workers": "List all workers, and what they are doing.",
    "doctor": "Say what keeps processes from working together.",
    "status": "Show what a worker is doing.",
    "stop": "Stop a worker when it has finished its calls.",
    "explain": "Print cause and remedy of an error, such as NoPool.",
}


class _Commands(click.Group):
    """A group whose commands are modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"catena.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="'catena COMMAND --help' lists a command's options and exit codes.",
)
@click.version_option(SOFTWARE, message="catena %(version)s")
def catena() -> None:
    """Await a routine in another process, and its context comes back."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` (by default the process's own arguments) names.

    Returns its exit code: 2 when the command line is wrong or empty, 130 after Ctrl-C, unless that
    is how the command is ended.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    code = _run_command(arguments or ["--help"])
    if argv is None and code == INTERRUPTED:
        # Everything has been said; another Ctrl-C would only print a traceback from the way out.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code if arguments else USAGE


def _run_command(arguments: list[str]) -> int:
    try:
        return catena.main(arguments, prog_name="catena", standalone_mode=False) or 0
    except CommandEnded as ended:
        ended.report()
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("catena: interrupted", err=True)
        return INTERRUPTED
    except SystemExit as stop:
        # This is how click ends where nobody reads standard output any more (`| head`).
        return stop.code if isinstance(stop.code, int) else 1
