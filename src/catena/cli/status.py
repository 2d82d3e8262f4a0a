"""``catena status``: what one worker is, and what it does at this moment."""

from __future__ import annotations

import json
from typing import Any

import click

from catena.cli.destination import ask_worker, takes_worker
from catena.escape import printable
from catena.link.asking import ask_status
from catena.wire.status import WorkerStatus

_SCHEMA = 1

_EPILOG = """\
TARGET is unix:PATH or HOST:PORT, as the worker's record has it. At HOST:PORT both ends prove who
they are: the worker its name, and you that you are one of its operators.

\b
Exit codes:
  0  the worker has answered
  1  failed: it cannot be reached, does not answer, or refuses you
  2  the command line is wrong
"""


@click.command("status", epilog=_EPILOG)
@takes_worker
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def command(*, as_json: bool, **worker: Any) -> None:
    """Show what a worker is, and what it does at this moment."""
    found = ask_worker("status", ask_status, **worker)
    click.echo(json.dumps(as_facts(found), indent=2) if as_json else _as_lines(found))


def as_facts(status: WorkerStatus) -> dict[str, Any]:
    """Return a status as the fields of the JSON object."""
    facts = status._asdict()
    for name in ("refusals", "peers"):
        # What `catena doctor` makes of them is of more use.
        del facts[name]
    renamed = {"schema": _SCHEMA, "id": facts.pop("worker"), "version": facts.pop("software")}
    facts["protocol"] = ".".join(map(str, status.protocol))
    facts["seconds"] = round(status.seconds, 3)
    return {**renamed, **facts}


def _as_lines(status: WorkerStatus) -> str:
    words = {
        "process": f"{status.pid}, for {show_seconds(status.seconds)}",
        "version": f"{status.software}, protocol {'.'.join(map(str, status.protocol))}",
        "capable of": ", ".join(status.capabilities) or "nothing more",
        "tags": ", ".join(status.tags) or "none",
        "slots": f"{status.slots_taken} of {status.slots} taken",
        "calls": str(status.calls),
        "links": str(status.links),
    }
    head = f"{printable(status.worker)} at {printable(status.address)}: {status.state}"
    return "\n".join(
        (head, *(f"  {name:10} {printable(text, 1000)}" for name, text in words.items()))
    )


def show_seconds(seconds: float) -> str:
    """Return a time in its two largest units, such as ``2 h 5 min``."""
    left = int(seconds)
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    at = next((n for n, (_, size) in enumerate(units) if left >= size), len(units) - 1)
    parts: list[str] = []
    for unit, size in units[at : at + 2]:
        many, left = divmod(left, size)
        parts.append(f"{many} {unit}")
    return " ".join(parts)
