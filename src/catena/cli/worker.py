"""``catena worker``: one worker, for pools that find it or for tasks, until it is stopped.

Its one rule: nothing goes to standard output but what is announced there, and what routines print.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from catena.cli.ending import FAILED, USAGE, CommandEnded, report_line
from catena.cli.signals import await_signals
from catena.cli.tasks import TaskOptions, run_tasks
from catena.dispatch.posting import post
from catena.errors import CatenaError
from catena.pool.worker_server import WorkerServer
from catena.wording import reason

_EPILOG = """\
On SIGTERM, on Ctrl-C, by `catena stop`, or when standard input ends with --stop-on stdin-eof, the
worker withdraws what it has announced, finishes the calls that it has, and ends. A second signal
ends it at once. With --background the signals alone stop it, when its tasks are finished.

\b
Exit codes:
  0  stopped
  1  failed: it cannot listen or be announced, a module cannot be imported
  2  the command line is wrong
"""
_OF_TASKS = {"slots", "lifespan"}
"""The options of a worker that a worker of tasks has, too."""


@click.command("worker", epilog=_EPILOG)
@click.option("--listen", metavar="ADDRESS", help="Listen here: unix:PATH or HOST:PORT.")
@click.option(
    "--background",
    metavar="URL",
    help="Run background tasks instead: of the queue at redis://..., or of MODULE:QUEUE.",
)
@click.option("--queue", metavar="NAME", help="The name of the queue at that URL; default: catena.")
@click.option(
    "--redelivery-timeout",
    type=float,
    metavar="SECONDS",
    help="After that silence others take over its tasks; default: 300.",
)
@click.option("--id", metavar="ID", help="Its name, of a-z, 0-9 and dashes; default: drawn.")
@click.option(
    "--announce",
    multiple=True,
    metavar="PLACE",
    help="Say where it is: dir:FOLDER, lan:, fd:NUMBER or stdout. May be repeated.",
)
@click.option("--certs", metavar="FOLDER", help="Its credentials, which HOST:PORT needs.")
@click.option("--pool", default="", metavar="NAME", help="The pool that its certificate names.")
@click.option(
    "--shared-certificate",
    is_flag=True,
    help="Its certificate names the pool and no worker: several have the same one.",
)
@click.option("--callers", metavar="FILE", help="Who may call; default: who has the pool's name.")
@click.option("--operators", metavar="FILE", help="Who may stop it; default: operator.POOL.catena.")
@click.option(
    "--insecure",
    is_flag=True,
    help="Listen at HOST:PORT without certificates: whoever reaches it may run code here.",
)
@click.option("--tags", default="", metavar="A,B", help="Words by which calls choose it.")
@click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Import this before it listens, so that the first call need not. May be repeated.",
)
@click.option("--lifespan", metavar="MODULE:FUNCTION", help="Enter what this returns meanwhile.")
@click.option(
    "--slots",
    type=int,
    metavar="N",
    help="Plain functions at a time, default: 1; of background tasks all, default: 10.",
)
@click.option("--max-calls-in-flight", type=int, metavar="N", help="Refuse more calls than that.")
@click.option("--refuse", metavar="MODULE:FUNCTION", help="Ask this whether to refuse a call.")
@click.option("--strict", is_flag=True, help="Refuse chains with values that cannot cross.")
@click.option(
    "--drain-timeout",
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long calls may take when it is stopped.",
)
@click.option("--health", metavar="HOST:PORT", help="Answer health checks here too, in plain text.")
@click.option(
    "--stop-on",
    type=click.Choice(["signal", "stdin-eof"]),
    default="signal",
    show_default=True,
    help="What stops it; signals always do.",
)
def command(modules: tuple[str, ...], background: str | None, **options: Any) -> None:
    """Run one worker, which pools find by WorkerPool(discovery=...), or one that runs tasks."""
    # As for `python -m`: modules of the project in whose folder it is started are found.
    sys.path.insert(0, str(Path.cwd()))
    tasks = {name: options.pop(name) for name in ("queue", "redelivery_timeout")}
    if background is None:
        surplus = [_show_option(name) for name, one in tasks.items() if one is not None]
        if surplus:
            text = f"{', '.join(surplus)} cannot be used without --background"
            raise CommandEnded("worker", text, USAGE)
        if not options["listen"]:
            raise click.UsageError("Missing option '--listen', or '--background'.")
        options["slots"] = 1 if options["slots"] is None else options["slots"]
        _run_calls(modules, **options)
        return
    source = click.get_current_context().get_parameter_source
    given = [name for name in options if source(name) is ParameterSource.COMMANDLINE]
    if surplus := [_show_option(name) for name in given if name not in _OF_TASKS]:
        text = f"{', '.join(surplus)} cannot be used with --background"
        raise CommandEnded("worker", text, USAGE)
    run_tasks(
        TaskOptions(
            background,
            tasks["queue"] or "",
            modules,
            10 if options["slots"] is None else options["slots"],
            300.0 if tasks["redelivery_timeout"] is None else tasks["redelivery_timeout"],
            options["lifespan"],
        )
    )


def _show_option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _run_calls(modules: tuple[str, ...], *, tags: str, stop_on: str, **options: Any) -> None:
    """Serve calls until the worker is stopped. Raises CommandEnded."""
    words = frozenset(word.strip() for word in tags.split(",") if word.strip())
    try:
        for module in modules:
            importlib.import_module(module)
        for names in ("callers", "operators"):
            options[names] = None if options[names] is None else Path(options[names])
        server = WorkerServer(tags=words, **options)
    except (TypeError, ValueError) as error:
        raise CommandEnded("worker", str(error), USAGE) from None
    except Exception as error:
        raise CommandEnded("worker", f"failed: {reason(error)}", FAILED) from None
    try:
        asyncio.run(_serve(server, stop_on))
    except ModuleNotFoundError as missing:
        raise CommandEnded("worker", str(missing), USAGE) from None
    except (CatenaError, OSError, TypeError, ValueError) as error:
        raise CommandEnded("worker", f"failed: {reason(error)}", FAILED) from None


async def _serve(server: WorkerServer, stop_on: str) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    stop = await_signals(over)
    async with server:
        report_line("worker", f"{server.id} listens at {server.target}")
        if stop_on == "stdin-eof":
            threading.Thread(
                target=_await_end, args=(loop, over), name="catena-stdin", daemon=True
            ).start()
        asked = asyncio.ensure_future(server.wait_stop_asked())
        waits = [asked, asyncio.ensure_future(over.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        who = f", as {asked.result()} has asked" if asked.done() else ""
        for one in waits:
            one.cancel()
        stop()
        report_line("worker", f"{server.id} finishes its calls{who}")
    report_line("worker", f"{server.id} has stopped")


def _await_end(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    """Wait until standard input ends, and pass that on."""
    while sys.stdin.buffer.read(4096):
        continue
    post(loop, over.set)
