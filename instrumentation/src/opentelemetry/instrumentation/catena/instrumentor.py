"""The instrumentor: what ``opentelemetry-instrument``, or an application, switches on and off.

Its class does what ``opentelemetry.instrumentation.instrumentor.BaseInstrumentor`` promises, and
does not inherit from it: that package is a pre-release which others pin exactly. Whoever loads it
calls the class without arguments, then ``instrument`` with options of its own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Self

from opentelemetry.instrumentation.catena.bridge import SpanEventHandler
from opentelemetry.instrumentation.catena.environment import SPAN_EVENTS, YES, for_worker
from opentelemetry.instrumentation.catena.records import RecordHandler, unhandled
from opentelemetry.instrumentation.catena.streams import exclude

from catena import telemetry
from catena.pool.bootstrap import on_spawn

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import TracerProvider

    from catena.telemetry.options import Detail, Hooked

__all__ = ["CatenaInstrumentor"]

_log = logging.getLogger(__name__)
_catena = logging.getLogger("catena")


class CatenaInstrumentor:
    """Switches telemetry of Catena on in this process and in the workers that it starts.

    There is one in a process: constructing it again returns the same.
    """

    _only: CatenaInstrumentor | None = None

    def __new__(cls) -> Self:  # noqa: D102 - the class says it
        if not isinstance(cls._only, cls):
            cls._only = super().__new__(cls)
        return cls._only

    def __init__(self) -> None:
        if not hasattr(self, "_undo"):
            self._undo: list[Callable[[], object]] = []
            self._on = False

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether it is switched on."""
        return self._on

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what is instrumented, as requirements."""
        return ("catena-dispatch >= 0.1.0.dev0",)

    def instrument(  # noqa: PLR0913 - each has its default and is given by name
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        propagator: TextMapPropagator | None = None,
        dispatch_hook: Hooked | None = None,
        execution_hook: Hooked | None = None,
        detail: Detail | None = None,
        record_messages: bool | None = None,
        baggage: bool | None = None,
        pending: bool | None = None,
        span_events: bool | None = None,
        workers: bool | str = True,
        skip_dep_check: bool = False,
        raise_exception_on_conflict: bool = False,
    ) -> None:
        """Switch telemetry on; when it is on already, there is one warning and nothing changes.

        Without providers and propagator the global ones count, as soon as somebody configures them.
        Log records go to ``logger_provider``; ``opentelemetry-instrument``, which is who says
        ``skip_dep_check``, has them go to the global one, unless something else hands it records.

        ``dispatch_hook(span, event)`` is called when the span of a call begins at its caller,
        ``execution_hook(span, event)`` when it begins at its worker, both in this process only.
        ``detail``, ``record_messages``, ``baggage`` and ``pending`` are those of
        ``catena.telemetry.install``, which hands them to workers; so is ``span_events``, which
        turns log records into events of the current span. ``workers`` says what workers do that
        this process starts: set up an SDK as the OTEL_* variables say, call the function of that
        name ("module:function"), or nothing.
        """
        if self._on:
            _log.warning("Catena is instrumented already; what is new is not looked at")
            return
        telemetry.install(
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            propagator=propagator,
            detail=detail,
            record_messages=record_messages,
            baggage=baggage,
            dispatch_hook=dispatch_hook,
            execution_hook=execution_hook,
            pending=pending,
        )
        self._on = True
        self._undo.append(telemetry.uninstall)
        self._undo.append(exclude())
        in_environment = os.environ.get(SPAN_EVENTS, "").lower() in YES
        if in_environment if span_events is None else span_events:
            self._handle(SpanEventHandler())
        if logger_provider is None and skip_dep_check:
            logger_provider = unhandled()
        if logger_provider is not None:
            self._handle(RecordHandler(logger_provider))
        if workers:
            self._undo.append(on_spawn(for_worker(workers, span_events)))

    def uninstrument(self, **_: Any) -> None:
        """Switch it off again; calls under way are recorded to their end."""
        if not self._on:
            _log.warning("Catena is not instrumented; there is nothing to undo")
            return
        self._on = False
        while self._undo:
            self._undo.pop()()

    def _handle(self, handler: logging.Handler) -> None:
        _catena.addHandler(handler)
        self._undo.append(lambda: _catena.removeHandler(handler))
