"""``catena workers``: all workers of this user's pools, asked at the same time."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from catena.cli.ending import FAILED, report_line
from catena.cli.status import as_facts
from catena.cli.survey import Asking, Survey, SurveyedWorker, survey_workers, takes_workers
from catena.cli.tables import count_words, make_console, make_table, name_pool
from catena.pool.recorded import RecordedPool
from catena.targets import address_of
from catena.wire.status import WorkerStatus
from catena.wire.versions import find_lacking

_SCHEMA = 1
_WATCH_SECONDS = 2.0
_HEADS = (
    *("id", "address", "state", "version", "protocol", "slots", "calls", "leases"),
    *("pools", "capable of", "last error"),
)
_KNOWN = ("id", "version", "address", "state", "protocol", "capabilities")
"""The fields of an answer that are also known without it."""
_UNASKED = WorkerStatus("", "", "unknown", 0, 0.0, (0, 0), "")

_EPILOG = """\
It asks the workers of the pools that your user has open on this machine, and with --discovery those
that are found there. All of them together have two seconds to answer.

\b
Exit codes:
  0  all have answered, or there are none
  1  some have not answered
  2  the command line is wrong
"""


@click.command("workers", epilog=_EPILOG)
@takes_workers
@click.option("--watch", is_flag=True, help="Show them anew every two seconds, until Ctrl-C.")
def command(*, as_json: bool, watch: bool, **asking: Any) -> int:
    """List all workers, and what they are doing."""
    where = Asking(**asking)
    if watch:
        try:
            _watch(where, as_json=as_json)
        except KeyboardInterrupt:
            return 0
    survey = survey_workers("workers", where)
    if as_json:
        click.echo(json.dumps(to_facts(survey), indent=2))
    else:
        make_console().print(render_survey(survey))
    for problem in survey.problems:
        report_line("workers", problem)
    return FAILED if any(one.status is None for one in survey.workers) else 0


def to_facts(survey: Survey) -> dict[str, Any]:
    """Return what was found as the JSON object has it."""
    return {
        "schema": _SCHEMA,
        "pools": [_pool_facts(one) for one in survey.pools],
        "workers": [_worker_facts(one) for one in survey.workers],
        "problems": list(survey.problems),
    }


def render_survey(survey: Survey) -> Group | Text:
    """Return what was found, for a person."""
    if not survey.workers:
        return Text("no pool of yours is open on this machine, and no worker was found")
    answered = sum(one.status is not None for one in survey.workers)
    workers = count_words(len(survey.workers), "worker")
    pools = f" of {count_words(len(survey.pools), 'pool')}" if survey.pools else ""
    head = Text(f"{workers}{pools}, {answered} of which have answered\n")
    return Group(head, make_table("", _HEADS, map(_show_worker, survey.workers)))


def find_last_error(worker: SurveyedWorker) -> str:
    """Return why a worker has not answered, or what it has refused last; empty without one.

    Else it is why a pool has no link to it.
    """
    if worker.status is not None and worker.status.refusals:
        last = worker.status.refusals[-1]
        whom = last.whom or "its call"
        return f"refused {whom}: {last.reason}" if not last.by else f"{last.by}: {last.reason}"
    return worker.error


def _watch(asking: Asking, *, as_json: bool) -> None:
    """Show the workers again and again."""
    console = make_console()
    if as_json or not console.is_terminal:
        for survey in _look_again(asking):
            if as_json:
                click.echo(json.dumps(to_facts(survey)))
            else:
                console.print(render_survey(survey), "")
            sys.stdout.flush()
    with Live(console=console, auto_refresh=False) as live:
        for survey in _look_again(asking):
            live.update(render_survey(survey), refresh=True)


def _look_again(asking: Asking) -> Iterator[Survey]:
    while True:
        began = time.monotonic()
        yield survey_workers("workers", asking)
        time.sleep(max(_WATCH_SECONDS - (time.monotonic() - began), 0.0))


def _pool_facts(pool: RecordedPool) -> dict[str, Any]:
    return {
        "id": pool.id,
        "name": pool.name,
        "pid": pool.pid,
        "version": pool.version,
        "protocol": pool.protocol,
        "credentials": pool.credentials or None,
        "workers": [one.target for one in pool.workers],
    }


def _worker_facts(worker: SurveyedWorker) -> dict[str, Any]:
    if worker.status is None:
        facts: dict[str, Any] = dict.fromkeys(as_facts(_UNASKED))
        known = () if worker.known is None else worker.known.capabilities
        address = address_of(worker.target)
        values = (worker.id, worker.version, address, worker.state, worker.protocol, known)
        facts |= {
            name: list(value) if isinstance(value, tuple) else value or None
            for name, value in zip(_KNOWN, values, strict=True)
        }
    else:
        facts = as_facts(worker.status)
    del facts["schema"]
    facts["last_error"] = find_last_error(worker) or None
    facts["pools"] = [pool.id for pool in worker.pools]
    return facts


def _show_worker(worker: SurveyedWorker) -> tuple[str, ...]:
    status = worker.status
    known = () if worker.known is None else worker.known.capabilities
    now = ("", "", "")
    if status is not None:
        now = (f"{status.slots_taken}/{status.slots}", str(status.calls), str(status.leases))
        known = status.capabilities
    return (
        worker.id or "?",
        address_of(worker.target) if status is None else status.address,
        worker.state,
        worker.version,
        worker.protocol,
        *now,
        ", ".join(map(name_pool, worker.pools)),
        _show_capabilities(known),
        find_last_error(worker),
    )


def _show_capabilities(known: Sequence[str]) -> str:
    """Return what a worker is capable of in short, where that is all that there is."""
    return ", ".join(known) if find_lacking(frozenset(known)) else "everything"
