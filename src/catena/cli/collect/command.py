"""``catena collect``: open a receiver, tell where it listens, and wait for the end.

Its one rule: nothing but lines goes to standard output; all that is said goes to standard error.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable

from catena.cli.collect.arguments import Arguments
from catena.cli.collect.progress import display, so_far
from catena.collect import Receiver
from catena.errors import CatenaError

DONE, FAILED = 0, 1


def collect(asked: Arguments) -> int:
    """Receive until Ctrl-C or SIGTERM and return the exit code."""
    told = logging.StreamHandler(sys.stderr)
    told.setFormatter(logging.Formatter("catena collect: %(message)s"))
    log = logging.getLogger("catena.collect")
    log.addHandler(told)
    log.propagate = False
    try:
        return asyncio.run(_collect(asked))
    except CatenaError as error:
        _say(f"failed: {error}")
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        _say(f"failed: {name}{(error.strerror or str(error)).lower()}")
    finally:
        log.removeHandler(told)
    return FAILED


async def _collect(asked: Arguments) -> int:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    receiver = Receiver(
        listen=asked.listen,
        listen_http=asked.listen_http,
        metrics=asked.metrics,
        out=_print(over) if asked.out == "-" else asked.out,
        rotate_bytes=asked.rotate_bytes,
        keep=asked.keep,
        insecure=asked.insecure,
    )
    async with receiver:
        _say(_opened(receiver, asked))
        # On a terminal a bar would be written into the lines.
        with display(sys.stderr, receiver, live=asked.out != "-"):
            await over.wait()
        # Whoever presses again does not want to wait for what is being served.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    _say(f"stopped: {so_far(receiver.counts)}")
    return FAILED if receiver.counts.unwritten else DONE


def _opened(receiver: Receiver, asked: Arguments) -> str:
    page = receiver.metrics_address and f"http://{receiver.metrics_address}/metrics"
    parts = (
        ("gRPC", receiver.endpoint),
        ("HTTP", receiver.http_endpoint),
        ("metrics", page),
        ("lines", "standard output" if asked.out == "-" else asked.out or ""),
    )
    return ", ".join(f"{name} {where}" for name, where in parts if where)


def _print(over: asyncio.Event) -> Callable[[str], None]:
    """Return a sink that prints; when nobody reads any more, it ends everything."""
    loop = asyncio.get_running_loop()

    def write(line: str) -> None:
        try:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader has gone (``| head``); Python would complain again when it flushes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            loop.call_soon_threadsafe(over.set)
            raise

    return write


def _say(text: str) -> None:
    sys.stderr.write(f"catena collect: {text}\n")
    sys.stderr.flush()
