"""The arguments of ``catena demo`` and its help, without anything that takes time to import."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass

from catena.cli.shared import count

HELP = "analyse Python files on worker processes"

_DESCRIPTION = """\
Reads every .py file of the running Python's standard library, or of PATH. Each file is parsed by a
routine on a worker process, which dispatches one more routine for each of its large functions and
streams the figures back. A context variable goes along with every call and comes back changed.
The report ends with the tree of all calls, as this process and the workers saw them.
"""

_EPILOG = """\
A file that does not parse, cannot be read, has a wrong encoding or more than 4 MiB, an empty
directory and a link that is not followed are counted and named; they are not failures.

exit codes:
  0    done
  1    failed: a worker was lost, a file took longer than two minutes, or --check found a difference
  2    the command line is wrong, PATH does not exist, or what --otlp needs is not installed
  130  interrupted by Ctrl-C; the workers are gone
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What was asked; ``path`` is None for the standard library."""

    path: str | None
    workers: int
    skip: frozenset[str]
    json: bool
    check: bool
    otlp: str | None = None

    @classmethod
    def of(cls, asked: argparse.Namespace) -> Arguments:
        """The arguments that argparse found."""
        skip = frozenset(name for names in asked.skip for name in names.split(",") if name)
        return cls(
            path=asked.path,
            workers=cpus() if asked.workers is None else asked.workers,
            skip=skip,
            json=asked.json,
            check=asked.check,
            otlp=asked.otlp,
        )


def fill(demo: argparse.ArgumentParser) -> None:
    """Give the parser of ``demo`` its arguments and its help."""
    demo.description, demo.epilog = _DESCRIPTION, _EPILOG
    demo.formatter_class = argparse.RawDescriptionHelpFormatter
    demo.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        help="a directory or a file (default: the standard library, without site-packages)",
    )
    demo.add_argument(
        "--workers",
        metavar="N",
        type=count,
        help=f"worker processes (default: the CPUs this process may use, here {cpus()})",
    )
    demo.add_argument(
        "--skip",
        metavar="NAME",
        action="append",
        default=[],
        help="leave out this directory or module directly below PATH; may be repeated",
    )
    demo.add_argument(
        "--json", action="store_true", help="print one JSON object with every row instead of tables"
    )
    demo.add_argument(
        "--check",
        action="store_true",
        help="analyse again in this process without Catena, and compare every row",
    )
    demo.add_argument(
        "--otlp",
        metavar="ENDPOINT",
        help="send spans and metrics of all processes there by OTLP over gRPC, for instance to"
        " http://127.0.0.1:4317, where `catena collect` listens",
    )


def cpus() -> int:
    """How many CPUs this process may use, at least one."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
