"""``catena demo``: its options, its exit codes, and its messages when it fails.

Its one rule: whatever ends the run, its workers are gone when the command returns.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar, cast

import click

from catena.cli.ending import FAILED, INTERRUPTED, USAGE, CommandEnded, report_line
from catena.cli.progress import show_progress
from catena.demo.files import Target
from catena.demo.report import show_report, to_json
from catena.demo.run import ContextLost, Progress, run_demo
from catena.errors import CatenaError, install_command

T = TypeVar("T")

_FLUSH_SECONDS = 5.0
"""For sending the last spans of this process."""

_EXPLAINED = (CatenaError, ContextLost, OSError)
"""Errors whose own text says enough; any other is a mistake of ours and keeps its traceback."""

_EPILOG = """\
The report names files that cannot be parsed, read or decoded, or that are larger than 4 MiB; they
do not make the run fail.

\b
Exit codes:
  0    done
  1    failed: a worker was lost, a file took longer than two minutes, or
       --check found a difference
  2    the command line is wrong, or what --otlp needs is not installed
  130  interrupted by Ctrl-C; the workers are gone
"""


def _count_cpus() -> int:
    """Return how many CPUs this process may use, at least one."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@click.command("demo", epilog=_EPILOG)
@click.argument("path", required=False, type=click.Path(exists=True))
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=1),
    default=_count_cpus,
    show_default="the CPUs this process may use",
    help="Number of worker processes.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object with every row instead."
)
@click.option(
    "--check",
    is_flag=True,
    help="Run the same routines with .local in this process, and compare every row and every call.",
)
@click.option(
    "--otlp",
    metavar="ENDPOINT",
    help="Send spans and metrics of all processes to ENDPOINT by OTLP over gRPC, for instance to"
    " http://127.0.0.1:4317, where `catena collect` listens.",
)
def command(
    path: str | None, *, workers: int, as_json: bool, check: bool, otlp: str | None
) -> None:
    """Analyse Python files on worker processes.

    Reads every .py file below PATH, by default those of the running Python's standard library. Each
    file is read by a routine on a worker, which streams its figures back and calls one more routine
    for each of its large functions. Every call notes in a context variable where it ran, and the
    report ends with a tree made from these notes.
    """
    progress = Progress()
    bootstrap, flush = _begin_export(otlp)
    run = run_demo(Target.choose(path), progress, workers=workers, check=check, bootstrap=bootstrap)
    try:
        outcome = _run_reported(run, progress)
    finally:
        if not flush(_FLUSH_SECONDS):
            report_line("demo", f"not all was sent to {otlp} within {_FLUSH_SECONDS:g} seconds")
    # A function may have a name that the terminal's encoding lacks.
    cast("Any", sys.stdout).reconfigure(errors="backslashreplace")
    if as_json:
        click.echo(to_json(outcome))
    else:
        show_report(outcome, sys.stdout)
    if outcome.check is not None and outcome.check.differences:
        raise CommandEnded("demo", "failed: --check found a difference", FAILED)


def _begin_export(endpoint: str | None) -> tuple[str | None, Callable[[float], bool]]:
    """Begin to export if that was asked for; return the bootstrap of workers and the end of it."""
    if endpoint is None:
        return None, lambda _: True
    try:
        from catena.demo import tracing  # noqa: PLC0415 - it needs an extra

        return tracing.BOOTSTRAP, tracing.export_run(endpoint)
    except ModuleNotFoundError as missing:
        text = f"{missing.name} is not installed: {install_command('otel')}"
        raise CommandEnded("demo", text, USAGE) from None
    except OSError as error:
        raise CommandEnded("demo", f"failed: {error}", FAILED) from None


def _run_reported(run: Coroutine[Any, Any, T], progress: Progress) -> T:
    """Run and show the progress; raises CommandEnded for an end that explains itself."""
    try:
        with show_progress("demo", progress.describe):
            return _run_interruptibly(run)
    except KeyboardInterrupt:
        text = f"interrupted, {progress.describe()[1] or 'no file was read'}"
        raise CommandEnded("demo", text, INTERRUPTED) from None
    except Exception as error:
        leaves = list(_find_leaves(error))
        if not all(isinstance(leaf, _EXPLAINED) for leaf in leaves):
            raise
        lines = dict.fromkeys(f"failed: {type(leaf).__name__}: {leaf}" for leaf in leaves)
        raise CommandEnded("demo", "\n".join(lines), FAILED) from None


def _run_interruptibly(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; raises KeyboardInterrupt when Ctrl-C has cancelled it and it has ended.

    The first Ctrl-C cancels, and others are ignored from then on: stopping workers has its own
    deadlines, an interrupt in the middle of it would leave some behind, and the process ends soon.
    """
    task: asyncio.Task[T] | None = None
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if task is not None and not task.done():
            task.get_loop().call_soon_threadsafe(task.cancel)

    async def run() -> T:
        nonlocal task
        task = asyncio.ensure_future(coroutine)
        if interrupted:
            task.cancel()
        return await task

    # Not asyncio's own handler: while a loop is made or closed, that leaves half of one.
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        return asyncio.run(run())
    except (Exception, asyncio.CancelledError):
        # What breaks while Ctrl-C takes the run down is part of that, and not worth a word.
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        if not interrupted:
            signal.signal(signal.SIGINT, before)


def _find_leaves(error: BaseException) -> Iterator[BaseException]:
    match error:
        case BaseExceptionGroup(exceptions=tuple(inside)):
            for each in cast("tuple[BaseException, ...]", inside):
                yield from _find_leaves(each)
        case _:
            yield error
