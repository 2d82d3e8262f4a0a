"""What every process of an observed run sets up; workers find it on their path, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable

from catena import telemetry
from catena.logging import audit
from opentelemetry.instrumentation.catena import worker

__all__ = ["bootstrap"]


def bootstrap() -> Callable[[float], None]:
    """Set up the SDK that the environment describes, tell everything, and return what flushes it."""
    flush = worker.bootstrap()
    logging.getLogger("catena").setLevel(logging.INFO)
    audit()
    if not {"traces", "metrics", "logs"} <= telemetry.installed():
        raise RuntimeError(f"only {sorted(telemetry.installed())} are told")
    return flush
