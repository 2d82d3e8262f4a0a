"""What every process of an observed run sets up; it is all that their path is added for."""

from __future__ import annotations

import logging
from collections.abc import Callable

from opentelemetry.instrumentation.catena import worker

from catena import telemetry
from catena.logging import audit

__all__ = ["bootstrap"]


def bootstrap() -> Callable[[float], None]:
    """Set up the SDK that the environment describes, tell everything; return what flushes."""
    flush = worker.bootstrap()
    logging.getLogger("catena").setLevel(logging.INFO)
    audit()
    if not {"traces", "metrics", "logs"} <= telemetry.installed():
        raise RuntimeError(f"only {sorted(telemetry.installed())} are told")
    return flush
