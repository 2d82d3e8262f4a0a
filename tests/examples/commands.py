"""Command lines of the examples, read as the product itself reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from catena.cli.worker import command
from catena.pool.worker_server import WorkerServer

__all__ = ["EXAMPLES", "STOP_SECONDS", "parse_worker", "seconds_to_end"]

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
STOP_SECONDS = 2.5
"""How long a worker of the command line cleans up after its drain, the default of the class."""


def parse_worker(words: Sequence[str]) -> dict[str, Any]:
    """Return the options of a ``catena worker`` command line, checked as a worker checks them."""
    assert (Path(words[0]).name, words[1]) == ("catena", "worker")
    with command.make_context("catena worker", list(words[2:])) as context:
        options = dict(context.params)
    names = ("listen", "id", "announce", "certs", "pool", "shared_certificate", "insecure")
    checked = ("slots", "max_calls_in_flight", "lifespan", "drain_timeout", "health")
    WorkerServer(**{name: options[name] for name in (*names, *checked)})
    return options


def seconds_to_end(options: dict[str, Any]) -> float:
    """Return how many seconds such a worker takes at most from SIGTERM to its end."""
    return float(options["drain_timeout"]) + STOP_SECONDS
