"""The command line entry: one parser, one function per command.

Its one rule: ``main`` returns the exit code of whatever was asked and raises no SystemExit; what a
command needs is imported when that command runs, so ``--help`` and a worker's start stay quick.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import metadata

from catena.cli import explain
from catena.cli.collect import arguments as collect_arguments
from catena.cli.demo import arguments

USAGE, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` (by default the process's own arguments) names.

    Returns its exit code: 2 when the command line is wrong or empty, 130 after Ctrl-C, unless that
    is how the command is ended. ``worker`` is what a pool starts; it is not for people and not in
    the help.
    """
    code = _main(list(sys.argv[1:] if argv is None else argv))
    if argv is None and code == INTERRUPTED:
        # All is said and done; one more Ctrl-C would only print a traceback from the way out.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


def _main(given: list[str]) -> int:
    try:
        if given[:1] == ["worker"]:
            return _worker(given[1:])
        return _command(given)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        sys.stderr.write("catena: interrupted\n")
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """The parser of everything that a person may type."""
    whole = argparse.ArgumentParser(
        prog="catena",
        description="Await a routine in another process, and its context comes back.",
        epilog="'catena COMMAND --help' tells a command's arguments and exit codes.",
    )
    whole.add_argument("--version", action="version", version=f"catena {_version()}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    arguments.fill(commands.add_parser("demo", help=arguments.HELP))
    collect_arguments.fill(commands.add_parser("collect", help=collect_arguments.HELP))
    explain.fill(commands.add_parser("explain", help=explain.HELP))
    return whole


def _command(given: list[str]) -> int:
    whole = parser()
    asked = whole.parse_args(given)
    match asked.command:
        case "demo":
            from catena.cli.demo.command import demo  # noqa: PLC0415 - see above

            return demo(arguments.Arguments.of(asked))
        case "collect":
            return _collect(asked)
        case "explain":
            return explain.explain(asked.name)
        case _:
            whole.print_help()
            return USAGE


def _collect(asked: argparse.Namespace) -> int:
    try:
        from catena.cli.collect.command import collect  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as missing:
        sys.stderr.write(f"catena collect: {missing}\n")
        return USAGE
    return collect(collect_arguments.Arguments.of(asked))


def _worker(given: list[str]) -> int:
    from catena.pool import serve  # noqa: PLC0415 - see above

    return serve.main(given)


def _version() -> str:
    try:
        return metadata.version("catena-dispatch")
    except metadata.PackageNotFoundError:
        return "(not installed)"
