"""The bootstrap of a worker: an SDK before it serves, a flush within its time when it ends.

It is called in each worker whose parent is instrumented, and wherever it is named,
``opentelemetry.instrumentation.catena.worker:bootstrap``, as the bootstrap of a pool or in
CATENA_WORKER_BOOTSTRAP.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.catena.instrumentor import CatenaInstrumentor
from opentelemetry.instrumentation.catena.once import once
from opentelemetry.instrumentation.catena.providers import configure, configured
from opentelemetry.instrumentation.catena.records import RecordHandler
from opentelemetry.instrumentation.catena.resource import CatenaResourceDetector
from opentelemetry.instrumentation.catena.staying import stay
from opentelemetry.sdk.resources import Resource

from catena.telemetry.texts import text

__all__ = ["bootstrap", "flush"]

_log = logging.getLogger(__name__)
_SHARE = 0.9


def bootstrap() -> Callable[[float], None]:
    """Set up an SDK as the OTEL_* variables say, unless there is one; return what flushes it.

    Your own bootstrap may call it after having configured its own providers, and hand on what it
    returns.
    """
    once()
    if not configured():
        # Given as attributes, they outdo those that were inherited from the parent.
        detected = CatenaResourceDetector().detect().attributes
        loggers = configure(_plain(Resource.create(dict(detected))))
        if loggers is not None:
            stay(RecordHandler(loggers))
    instrumentor = CatenaInstrumentor()
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument()
    return flush


def _plain(resource: Resource) -> Resource:
    """Return a resource whose texts exporters take: variables are bytes, and may be no UTF-8."""
    attributes = {text(name): value for name, value in resource.attributes.items()}
    for name, value in attributes.items():
        if isinstance(value, str):
            attributes[name] = text(value)
    return Resource(attributes, resource.schema_url)


def flush(seconds: float) -> None:
    """Shut the global providers down, all at once, within so many seconds.

    Shutting down exports what waits. What is not done in time is reported in one warning.
    """
    # Whoever gave us the time need not wait to the last moment to learn that it did not suffice.
    deadline = time.monotonic() + seconds * _SHARE
    ending = [(one, _begun(one)) for one in configured() if hasattr(one, "shutdown")]
    late = [one for one, thread in ending if _is_late(thread, deadline)]
    for one in late:
        # It goes on as long as the process does; nobody need begin it again.
        atexit.unregister(one.shutdown)
    if late:
        names = ", ".join(type(one).__name__ for one in late)
        _log.warning("not everything was exported within %.1f s: %s", seconds * _SHARE, names)


def _begun(provider: Any) -> threading.Thread:
    thread = threading.Thread(target=_shut_down, args=(provider,), name="catena-flush", daemon=True)
    thread.start()
    return thread


def _shut_down(provider: Any) -> None:
    try:
        provider.shutdown()
    except Exception:
        _log.exception("%s could not be shut down", type(provider).__name__)


def _is_late(thread: threading.Thread, deadline: float) -> bool:
    thread.join(max(deadline - time.monotonic(), 0.0))
    return thread.is_alive()
