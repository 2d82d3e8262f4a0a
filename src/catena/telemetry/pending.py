"""Pending spans: a call in flight is visible before it ends, also when its end is never recorded.

A pending span shows one call when it begins. It has an id of its own and the parent of the call's
real span, to which it is linked, and ends at once. Where the real span has no parent, it is itself
the parent, because only through a parent can a span be in the same trace. The rule: a pending span
is exported soon, and no call waits for that.
"""

from __future__ import annotations

import threading
from typing import Any

from opentelemetry.trace import Link, Span, SpanKind, Tracer

from catena.events import Dispatch, Execution
from catena.telemetry.attempts import attempt
from catena.telemetry.carrier import add_span
from catena.telemetry.facts import Facts
from catena.telemetry.texts import text

_PAUSE = 0.05
"""Seconds that a first pending span waits for others, so that many leave together."""
_IDLE = 5.0
"""Seconds after which the thread that flushes ends, when nothing came."""


class Pending:
    """Makes pending spans and has the provider flush them; ``flush`` is its ``force_flush``."""

    def __init__(self, provider: Any) -> None:
        self._flush: Any = getattr(provider, "force_flush", None)
        self._waiting = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def record_begin(
        self,
        tracer: Tracer,
        event: Dispatch | Execution,
        outer: Span | None,
        facts: Facts,
    ) -> None:
        """Record that a call has begun whose span is sampled; ``outer`` is the parent of that."""
        parent: Span = event.span
        if outer is not None and outer.get_span_context().is_valid:
            parent = outer
        # Not of the call's kind: whoever counts calls by their spans counts this one once.
        pending = tracer.start_span(
            text(event.routine),
            add_span(parent, event.context),
            kind=SpanKind.INTERNAL,
            attributes={**facts, "catena.pending": True},
            links=[Link(event.span.get_span_context())],
        )
        pending.end()
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flush is None:
            return
        self._waiting.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name="catena-pending", daemon=True
                    )
                    self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()
        while self._waiting.wait(_IDLE) or not self._end_if_idle():
            pause.wait(_PAUSE)
            self._waiting.clear()
            # Where it fails they leave with the others.
            attempt("traces", self._flush)

    def _end_if_idle(self) -> bool:
        """Say that the thread ends, unless something came at the last moment."""
        with self._lock:
            if self._waiting.is_set():
                return False
            self._thread = None
            return True
