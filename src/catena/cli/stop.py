"""``catena stop``: one worker finishes its calls and ends, and the command waits for that."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import click

from catena.cli.destination import ask_worker, takes_worker
from catena.cli.ending import FAILED, CommandEnded, report_line
from catena.escape import printable
from catena.link.asking import ask_status, ask_stop
from catena.link.channels import Destination
from catena.wire.status import StopAnswer, WorkerStatus

_LOOK_SECONDS = 0.2

_EPILOG = """\
TARGET is unix:PATH or HOST:PORT, as the worker's record has it. At HOST:PORT both ends prove who
they are: the worker its name, and you that you are one of its operators. The worker does as on
SIGTERM: it withdraws its record, refuses new calls, and has its --drain-timeout for those it has.

\b
Exit codes:
  0  stopped
  1  failed: it cannot be reached, refuses you, or has not stopped in time
  2  the command line is wrong
"""


@click.command("stop", epilog=_EPILOG)
@takes_worker
@click.option("--now", is_flag=True, help="Leave it no time for its calls: they are cancelled.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long for its end; 0 does not wait.",
)
def command(*, now: bool, timeout: float, **worker: Any) -> None:
    """Stop a worker when it has finished its calls.

    Workers that a pool has started itself are stopped by the pool alone.
    """

    async def stop(there: Destination) -> tuple[StopAnswer, bool]:
        answer = await ask_stop(there, now=now)
        if answer.refusal or not timeout:
            return answer, not answer.refusal
        name, calls = printable(answer.status.worker), answer.status.calls
        report_line("stop", f"{name} ends its {calls} calls" if calls else f"{name} ends")
        return answer, await _wait_stopped(there, answer.status, timeout)

    answer, stopped = ask_worker("stop", stop, **worker)
    name = printable(answer.status.worker)
    if answer.refusal:
        raise CommandEnded("stop", f"{name} does not stop: {printable(answer.refusal)}", FAILED)
    if not stopped:
        raise CommandEnded("stop", f"{name} has not stopped within {timeout:g} s", FAILED)
    report_line("stop", f"{name} has stopped" if timeout else f"{name} stops")


async def _wait_stopped(worker: Destination, before: WorkerStatus, seconds: float) -> bool:
    """Wait until a worker does not answer any more; return False when that took too long."""
    until = monotonic() + seconds
    while monotonic() < until:
        try:
            found = await ask_status(worker)
            if found.pid != before.pid or found.seconds < before.seconds:
                # Another one has taken its place.
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            # Its routines block it.
            continue
        except ConnectionError:
            return True
    return False
