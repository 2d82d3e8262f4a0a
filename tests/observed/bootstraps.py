"""How the processes of a run are set up: by the bootstrap of the instrumentation, each its way."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from opentelemetry.instrumentation.catena import CatenaInstrumentor
from opentelemetry.instrumentation.catena.worker import bootstrap

from catena.pool.bootstrap import BOOTSTRAP
from tests.observed.runs import BLIND, MESSAGES

__all__ = ["parent", "worker"]


def parent() -> Callable[[float], None]:
    """Set the parent up, and have its workers set up by the function below."""
    os.environ[BOOTSTRAP] = "tests.observed.bootstraps:worker"
    return _set_up()


def worker() -> Callable[[float], None] | None:
    """Set a worker up, unless it is the one that goes without an SDK."""
    return None if _is_blind() else _set_up()


def _set_up() -> Callable[[float], None]:
    # Lifecycle and failures are told at INFO, which the root logger leaves out by default.
    logging.getLogger("catena").setLevel(logging.INFO)
    finish = bootstrap()
    # OpenTelemetry's own errors are exported by nobody: here they are seen.
    errors = logging.StreamHandler()
    errors.setLevel(logging.ERROR)
    # What the catalog lists is exported; what breaks within Catena is told by "catena" itself.
    errors.addFilter(lambda record: not record.name.startswith("catena."))
    logging.getLogger().addHandler(errors)
    if MESSAGES in os.environ:
        CatenaInstrumentor().uninstrument()
        CatenaInstrumentor().instrument(record_messages=True)
    return finish


def _is_blind() -> bool:
    path = os.environ.get(BLIND)
    if not path:
        return False
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
