"""The switch: what telemetry records, from when on, and in how much detail.

It does not import OpenTelemetry. That is imported only when the application has imported it,
without which it cannot have configured an SDK, or with the first log record.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Mapping
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, get_args

from catena import events
from catena.events.bus import Event, Operation, Subscription, observe, subscribe
from catena.telemetry.attempts import attempt
from catena.telemetry.catalog import BY_EVENT, CATALOG
from catena.telemetry.options import (
    Detail,
    Hooked,
    Options,
    choose_options,
    from_environment,
    is_asked_for,
)
from catena.telemetry.rows import AUDIT, WARNING, Log, Row

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import TracerProvider

    from catena.telemetry.metrics import Metrics
    from catena.telemetry.spans import Spans

_log = logging.getLogger("catena")
_lock = RLock()
_LOGS = [log for row in CATALOG for log in row.logs]
_SILENCED = {log.logger for log in _LOGS} - {log.logger for log in _LOGS if log.always}
_SILENT = logging.NullHandler()
_PROVIDERS = {"trace": "OTEL_PYTHON_TRACER_PROVIDER", "metrics": "OTEL_PYTHON_METER_PROVIDER"}
_NO_OPINION = ("opentelemetry.trace", "opentelemetry.metrics")


def install(  # noqa: PLR0913 - each has its default and is given by name
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    propagator: TextMapPropagator | None = None,
    detail: Detail | None = None,
    record_messages: bool | None = None,
    baggage: bool | None = None,
    dispatch_hook: Hooked | None = None,
    execution_hook: Hooked | None = None,
    pending: bool | None = None,
) -> None:
    """Record spans, metrics and logs with these options, in place of what was installed before.

    Without a provider, or a propagator, the global one is used, as soon as the application has
    configured it. ``detail`` takes precedence over CATENA_TELEMETRY. ``record_messages`` records
    the texts of errors, which may quote values, in spans and logs; ``baggage`` lets baggage travel
    with calls; ``pending`` makes an additional span when a recorded call begins. These three are
    off by default and take precedence over CATENA_RECORD_MESSAGES, CATENA_BAGGAGE and
    CATENA_PENDING_SPANS.

    ``dispatch_hook`` and ``execution_hook`` are called when a call begins, with its span and its
    event: the first at the caller, the second at the worker, and only when the span is recorded.

    Workers that are started afterwards get the four options ``detail``, ``record_messages``,
    ``baggage`` and ``pending`` in their environment. Providers, the propagator and hooks are
    objects of this process and stay here, so an ``execution_hook`` is called on a worker only if
    the worker's bootstrap installs it.

    Raises ValueError for an unknown ``detail``.
    """
    if detail is not None and detail not in get_args(Detail):
        raise ValueError(f"detail must be one of {', '.join(get_args(Detail))}, it is {detail!r}")
    with _lock:
        _switch.cancel_all()
        _switch.off = False
        _switch.options = choose_options(
            detail,
            (record_messages, baggage, pending),
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            propagator=propagator,
            hooks=(dispatch_hook, execution_hook),
        )
        _switch.subscribe_possible()


def uninstall() -> None:
    """Record no more spans and metrics, until ``install`` is called.

    Calls that are under way are recorded to their end. Catena's log records go on, as if nothing
    had been installed.
    """
    with _lock:
        _switch.cancel_all()
        _switch.off = True
        _switch.subscribe_possible()


def options_for_workers() -> Mapping[str, str]:
    """Return the variables that make another process record with the options given to ``install``.

    What was left to the environment is not in it: that is inherited.
    """
    with _lock:
        return dict(_switch.options.for_workers) if _switch.options is not None else {}


def installed() -> frozenset[str]:
    """Return which signals are recorded: some of ``traces``, ``metrics`` and ``logs``."""
    with _lock:
        recorded = {
            "traces": _switch.spans is not None,
            "metrics": _switch.metrics is not None,
            "logs": any(_switch.is_recorded(log) for log in _switch.list_logs()),
        }
    return frozenset(name for name, is_recorded in recorded.items() if is_recorded)


def ensure_recording() -> None:
    """Look whether an SDK, or a logger, is there for what is not recorded yet.

    A pool asks when it opens and about once a second, a worker likewise.
    """
    with _lock:
        _switch.subscribe_possible()


def audit(on: bool = True) -> None:  # noqa: FBT001, FBT002 - reads as a switch
    """Turn the records of every mount, reset, lease and call on, or off."""
    with _lock:
        _switch.audit = on
        logging.getLogger(AUDIT).setLevel(logging.DEBUG if on else logging.NOTSET)
        _switch.subscribe_possible()


class _Switch:
    """What is subscribed; used under the lock."""

    def __init__(self) -> None:
        self.options: Options | None = None
        self.off = False
        self.audit: bool | None = None
        self.spans: Spans | None = None
        self.metrics: Metrics | None = None
        self.logged: dict[type[Event], Subscription] = {}
        self._subscribed: list[Subscription] = []
        # Instruments cannot be taken back, so those of a provider are used again.
        self._made: list[Metrics] = []

    def subscribe_possible(self) -> None:
        """Subscribe what has become possible since the last look."""
        options = self.options = self.options or from_environment()
        if self.audit is None:
            self.audit = is_asked_for("CATENA_AUDIT_LOG")
            if self.audit:
                _show_audit()
        self._look_at_loggers()
        if self.off or options.logs_only or options.detail == "off":
            return
        tracers = _find_provider("trace", options.tracer_provider) if self.spans is None else None
        meters = _find_provider("metrics", options.meter_provider) if self.metrics is None else None
        if tracers is not None:
            from catena.telemetry.spans import Spans  # noqa: PLC0415 - with the SDK

            self.spans = Spans(tracers, options, _read_version())
        if meters is not None:
            self.metrics = self._metrics_for(meters)
        if tracers is not None or meters is not None:
            self._subscribe_signals()

    def cancel_all(self) -> None:
        """Cancel every subscription."""
        for one in (*self._subscribed, *self.logged.values()):
            one.cancel()
        self._subscribed.clear()
        self.logged.clear()
        if self.metrics is not None:
            self.metrics.active = False
        self.spans = self.metrics = self.options = None

    def log_fact(self, event: Event) -> None:
        """Log a fact; a contention is recorded in all signals, each pointing at the others."""
        context: Any = None
        if isinstance(event, events.ContentionRefused):
            if self.spans is not None:
                context = attempt("traces", self.spans.record_contention, event)
            if self.metrics is not None:
                attempt("metrics", self.metrics.count_contention, event, context)
        self._log(BY_EVENT[type(event)].logs[-1], event, context=context)

    def begin(self, operation: Operation) -> None:
        """Log the begin of an operation that has two records, as an observer."""
        first, *others = BY_EVENT[type(operation)].logs
        if others:
            self._log(first, operation)

    def end(self, operation: Operation, error: BaseException | None, at: int) -> None:
        """Log the end of an operation, as an observer."""
        self._log(BY_EVENT[type(operation)].logs[-1], operation, error)

    def _log(
        self, log: Log, event: Event, error: BaseException | None = None, context: Any = None
    ) -> None:
        if self._would_write(log, log.choose_level(event)):
            from catena.telemetry.logs import record_event  # noqa: PLC0415 - imports OpenTelemetry

            options = self.options or from_environment()
            attempt("logs", record_event, log, event, error, context, options)

    def list_logs(self) -> list[Log]:
        """Return the log records that are listened for."""
        return [log for event in self.logged for log in BY_EVENT[event].logs]

    def is_recorded(self, log: Log) -> bool:
        """Say whether telemetry is to write a log record, and somebody handles it."""
        logger = logging.getLogger(log.logger)
        if self.options is not None and self.options.detail == "off":
            return False
        # Whoever turns all loggers on has not asked for a record of each mount.
        asked = log.logger != AUDIT or self.audit or logger.level != logging.NOTSET
        return bool(asked) and logger.isEnabledFor(log.highest) and _is_handled(logger)

    def _would_write(self, log: Log, level: int) -> bool:
        """Say whether a log record of that level would be written, by telemetry or anyway."""
        if not logging.getLogger(log.logger).isEnabledFor(level):
            return False
        return (log.always and level >= WARNING) or self.is_recorded(log)

    def _subscribe_signals(self) -> None:
        """Subscribe spans and metrics."""
        for one in self._subscribed:
            one.cancel()
        from catena.telemetry.observers import subscribe_observers  # noqa: PLC0415 - with the SDK

        self._subscribed = list(subscribe_observers(self.spans, self.metrics))
        self._look_at_loggers()

    def _metrics_for(self, provider: Any) -> Metrics:
        from catena.telemetry.metrics import Metrics  # noqa: PLC0415 - with the SDK

        known = next((one for one in self._made if one.provider is provider), None)
        if known is None:
            known = Metrics(provider, _read_version())
            self._made.append(known)
        known.active = True
        return known

    def _look_at_loggers(self) -> None:
        """Listen for the sake of logs where a logger is enabled, and nowhere else."""
        for name in _SILENCED:
            logger = logging.getLogger(name)
            if _SILENT not in logger.handlers:
                # Without any configuration a warning of a library is not for standard error.
                logger.addHandler(_SILENT)
        for row in CATALOG:
            listening = self.logged.get(row.event)
            wanted = self._is_wanted(row)
            if wanted and listening is None:
                if issubclass(row.event, Operation):
                    self.logged[row.event] = observe(self, row.event)
                else:
                    self.logged[row.event] = subscribe(self.log_fact, row.event)
            elif listening is not None and not wanted:
                self.logged.pop(row.event).cancel()

    def _is_wanted(self, row: Row) -> bool:
        if row.event is events.ContentionRefused and (self.spans or self.metrics):
            return True
        return any(self._would_write(log, log.highest) for log in row.logs)


_switch = _Switch()


def _find_provider(signal: Literal["trace", "metrics"], given: object) -> Any:
    """Return the provider that was given, or the global one when somebody configured it.

    The API's own stand in until then, and live in its own modules.
    """
    if given is not None:
        return given
    api: Any = sys.modules.get(f"opentelemetry.{signal}")
    if api is None and _PROVIDERS[signal] in os.environ:
        # The API itself loads what the variable names.
        api = importlib.import_module(f"opentelemetry.{signal}")
    if api is None:
        return None
    found = api.get_tracer_provider() if signal == "trace" else api.get_meter_provider()
    return None if type(found).__module__.startswith(_NO_OPINION) else found


def _show_audit() -> None:
    """Turn the audit log on; where nobody handles its records, they go to standard error."""
    logger = logging.getLogger(AUDIT)
    logger.setLevel(logging.DEBUG)
    if not _is_handled(logger):
        from catena.telemetry.logging import json_handler  # noqa: PLC0415 - when it is asked for

        logger.addHandler(json_handler())


def _is_handled(logger: logging.Logger | None) -> bool:
    """Say whether somebody handles the records of a logger."""
    while logger is not None:
        if any(one is not _SILENT for one in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def _read_version() -> str:
    from importlib import metadata  # noqa: PLC0415 - OpenTelemetry has loaded it

    try:
        return metadata.version("catena-dispatch")
    except metadata.PackageNotFoundError:
        return ""
