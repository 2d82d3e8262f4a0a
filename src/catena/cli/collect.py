"""``catena collect``: open a receiver, say where it listens, and wait for the end.

Its one rule: nothing but lines of telemetry goes to standard output; all that is said about them
goes to standard error.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from catena.cli.ending import FAILED, USAGE, CommandEnded, report_line
from catena.cli.progress import show_progress
from catena.errors import CatenaError

if TYPE_CHECKING:
    from catena.collect import Receiver
    from catena.collect.intake import Counts

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_EPILOG = """\
An ADDRESS is HOST:PORT, where port 0 takes any free port, or unix:PATH, or "off". Without --out
and without --metrics the lines go to standard output. For applications set
OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317.

\b
Exit codes:
  0  stopped by Ctrl-C or SIGTERM, and all that was acknowledged is written
  1  failed: an address is taken or not allowed, the file cannot be written
  2  the command line is wrong, or what `collect` needs is not installed
"""


_ADDRESS: dict[str, Any] = {"metavar": "ADDRESS", "show_default": True}
_NUMBER: dict[str, Any] = {"metavar": "N", "type": click.IntRange(min=1)}


@click.command("collect", epilog=_EPILOG)
@click.option("--listen", default="127.0.0.1:4317", help="Listen here for gRPC.", **_ADDRESS)
@click.option("--listen-http", default="127.0.0.1:4318", help="Listen here for HTTP.", **_ADDRESS)
@click.option("--metrics", default="off", help="Serve /metrics here.", **_ADDRESS)
@click.option(
    "--out", metavar="FILE", help='Append the lines to this file; "-" is standard output.'
)
@click.option(
    "--rotate-bytes",
    default=100 << 20,
    show_default="100 MiB",
    help="Begin a new file before the current one grows beyond N bytes.",
    **_NUMBER,
)
@click.option(
    "--keep",
    default=10,
    show_default=True,
    help="Keep N older files, as FILE.1, FILE.2, …",
    **_NUMBER,
)
@click.option(
    "--insecure",
    is_flag=True,
    help="Allow addresses that other machines can reach; telemetry from anybody is accepted.",
)
def command(out: str | None, **options: Any) -> None:
    """Receive spans, metrics and logs from OpenTelemetry's exporters, over gRPC and HTTP.

    Each request becomes one line of JSON, as a collector's file exporter writes it. With --metrics
    the metrics are also served at http://ADDRESS/metrics, with exemplars, for Prometheus to scrape.
    After Ctrl-C or SIGTERM it writes everything that it has acknowledged, and ends.
    """
    for name in ("listen", "listen_http", "metrics"):
        options[name] = None if options[name] == "off" else options[name]
    out = out or (None if options["metrics"] else "-")
    try:
        with _show_log():
            counts = asyncio.run(_run_collector(out, options))
    except ModuleNotFoundError as missing:
        raise CommandEnded("collect", str(missing), USAGE) from None
    except CatenaError as error:
        raise CommandEnded("collect", f"failed: {error}", FAILED) from None
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        text = f"failed: {name}{(error.strerror or str(error)).lower()}"
        raise CommandEnded("collect", text, FAILED) from None
    stopped = f"stopped: {describe_counts(counts)}"
    if counts.unwritten:
        raise CommandEnded("collect", stopped, FAILED)
    report_line("collect", stopped)


@contextmanager
def _show_log() -> Generator[None]:
    """Write what the receiver logs as lines of this command."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(logging.Formatter("catena collect: %(message)s"))
    log = logging.getLogger("catena.collect")
    log.addHandler(lines)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(lines)


async def _run_collector(out: str | None, options: dict[str, Any]) -> Counts:
    from catena.collect import Receiver  # noqa: PLC0415 - it needs an extra, and the help does not

    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, over.set)
    receiver = Receiver(out=_print_until(over) if out == "-" else out, **options)
    async with receiver:
        report_line("collect", _describe_addresses(receiver, out))
        # On a terminal a moving line would be written into the lines of telemetry.
        with show_progress(
            "collect", lambda: ("", describe_counts(receiver.counts)), live=out != "-"
        ):
            await over.wait()
        # Whoever presses Ctrl-C again does not want to wait for requests that are being served.
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    return receiver.counts


def describe_counts(counts: Counts) -> str:
    """Return in words what arrived and what was refused."""
    parts = [
        _count_words(counts.spans, "span"),
        _count_words(counts.points, "metric point"),
        _count_words(counts.records, "log record"),
    ]
    refused = counts.malformed + counts.oversized + counts.unwritten
    if refused:
        parts.append(f"{_count_words(refused, 'request')} refused")
    return ", ".join(parts)


def _count_words(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _describe_addresses(receiver: Receiver, out: str | None) -> str:
    page = receiver.metrics_address and f"http://{receiver.metrics_address}/metrics"
    parts = (
        ("gRPC", receiver.endpoint),
        ("HTTP", receiver.http_endpoint),
        ("metrics", page),
        ("lines", "standard output" if out == "-" else out or ""),
    )
    return ", ".join(f"{name} {where}" for name, where in parts if where)


def _print_until(over: asyncio.Event) -> Callable[[str], None]:
    """Return a function that prints a line; when nobody reads any more, it sets ``over``."""
    loop = asyncio.get_running_loop()

    def write(line: str) -> None:
        try:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader has gone (`| head`); Python would complain again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            loop.call_soon_threadsafe(over.set)
            raise

    return write
