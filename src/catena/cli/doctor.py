"""``catena doctor``: what keeps the processes of a deployment from working together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import click
from rich.console import RenderableType

from catena.cli.diagnosis import Diagnosis, Loss, diagnose
from catena.cli.ending import FAILED, report_line
from catena.cli.survey import Asking, Survey, survey_workers, takes_workers
from catena.cli.tables import count_words, make_console, make_table

UNANSWERED = 3
"""The exit code where nothing is wrong, as far as that could be seen."""

_SCHEMA = 1
_FINE = "nothing is wrong"

_EPILOG = """\
It asks the workers of the pools that your user has open on this machine, and with --discovery those
that are found there. All of them together have two seconds to answer.

\b
Exit codes:
  0  nothing is wrong
  1  something is
  2  the command line is wrong
  3  nothing is wrong, but some workers have not answered
"""


@click.command("doctor", epilog=_EPILOG)
@takes_workers
def command(*, as_json: bool, **asking: Any) -> int:
    """Say what keeps processes from working together.

    It shows who refused whom and why, which deprecated fields are in use, what is lost between
    versions, and in which order to upgrade.
    """
    survey = survey_workers("doctor", Asking(**asking))
    found = diagnose(survey)
    if as_json:
        click.echo(json.dumps(to_facts(found), indent=2))
    else:
        console = make_console()
        console.print(_summarise(survey, found))
        for part in render_parts(found):
            console.print("", part, sep="\n")
    for problem in found.problems:
        report_line("doctor", problem)
    if found.finds_something:
        return FAILED
    return UNANSWERED if found.unanswered else 0


def to_facts(found: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis as the fields of the JSON object."""
    return {
        "schema": _SCHEMA,
        "refusals": [one._asdict() for one in found.refusals],
        "deprecated": [one._asdict() for one in found.deprecated],
        "lost": [one._asdict() for one in found.lost],
        "order": [one._asdict() for one in found.order],
        "unanswered": [
            {"id": one.id or None, "address": one.target, "state": one.state, "error": one.error}
            for one in found.unanswered
        ],
        "problems": list(found.problems),
    }


def render_parts(found: Diagnosis) -> Iterator[RenderableType]:
    """Yield a table for each kind of thing that is wrong."""
    if found.refusals:
        rows = [
            (_show_time(one.at), one.by, one.whom, str(one.times), one.reason)
            for one in found.refusals
        ]
        yield make_table("Refused", ("last", "by", "whom", "times", "why"), rows)
    if found.deprecated:
        uses = [(", ".join(one.fields), one.written_by, one.read_by) for one in found.deprecated]
        yield make_table(
            "Deprecated fields in use, removed in 1.0", ("fields", "written by", "read by"), uses
        )
    if found.lost:
        yield make_table(
            "Lost between versions", ("lacking", "what is lost", "at"), _gather_losses(found.lost)
        )
    if found.order:
        steps = [
            (f"{one.step}.", one.kind, one.who, f"{one.version} to {one.to}", one.why)
            for one in found.order
        ]
        yield make_table("Upgrade in this order", ("", "", "who", "version", "why here"), steps)
    if found.unanswered:
        silent = [(one.id or "?", one.target, one.state, one.error) for one in found.unanswered]
        yield make_table("Not answered", ("id", "address", "state", "why"), silent)


def _gather_losses(losses: Iterable[Loss]) -> list[tuple[str, str, str]]:
    """Return a row for each capability, with all who lack it."""
    who: dict[tuple[str, str], list[str]] = {}
    for one in losses:
        who.setdefault((one.capability, one.lost), []).append(f"{one.who} {one.version}")
    return [(*key, ", ".join(names)) for key, names in who.items()]


def _summarise(survey: Survey, found: Diagnosis) -> str:
    seen = (
        f"{count_words(len(survey.workers), 'worker')} and {count_words(len(survey.pools), 'pool')}"
    )
    return seen if found.finds_something else f"{seen}: {_FINE}"


def _show_time(at: float) -> str:
    """Return a time of day of this machine, with its date."""
    try:
        return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):
        # A peer says what it wants.
        return "?"
