"""The listeners of what each call brings: one for spans and metrics together.

A call pays for every listener that hears of it, so what both signals want to know of calls and
mounts is told them by one; each of the two may be absent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from opentelemetry.context import get_current
from opentelemetry.trace import Span

from catena import events
from catena.observe import Event, Outcome
from catena.telemetry.carrier import SENT
from catena.telemetry.counted import Dispatches, Executions, Mounts, is_told
from catena.telemetry.metrics import Metrics
from catena.telemetry.spans import Spans, sampled
from catena.telemetry.underway import underway

__all__ = ["Calls"]

Closer = Callable[[Outcome], None]
_Call = events.Dispatch | events.Execution


class Calls:
    """Listens to calls, mounts and resets for ``spans`` and ``metrics``."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._spans = spans
        self._metrics = metrics
        # What happens within a call is a span of its own only there.
        self._leaves = spans if spans is not None and spans.full else None

    def counters(self) -> dict[type[Event], Any]:
        """Return what stands for the listeners of what is only counted."""
        spans, metrics = self._spans, self._metrics
        mounts = Mounts(metrics, leaves=self._leaves is not None)
        return {
            events.Dispatch: Dispatches(spans, metrics),
            events.Execution: Executions(spans, metrics),
            events.Mount: mounts.counts,
            events.Unmounted: mounts.counts_out,
        }

    def listeners(self) -> dict[type[Event], Callable[[Any], object]]:
        """Return what is to be subscribed."""
        told: dict[type[Event], Callable[[Any], object]] = {
            events.Dispatch: self.dispatch,
            events.Execution: self.execution,
        }
        if self._leaves is not None or self._metrics is not None:
            told[events.Mount] = self.mount
            told[events.Unmounted] = self.unmounted
            told[events.TokenReset] = self.reset
        return told

    def dispatch(self, event: events.Dispatch) -> Closer | None:
        """Begin to tell of a call on its caller."""
        span = None if self._spans is None else self._spans.dispatch(event)
        metrics = self._metrics
        if metrics is None:
            return None if span is None else partial(self._dispatched, event, span)
        if event.measured is None:
            event.measured = metrics.measured()
        if event.measured:
            metrics.sending(event)
        return partial(self._dispatched, event, span)

    def _dispatched(self, event: events.Dispatch, span: Span | None, end: Outcome) -> None:
        if span is not None:
            self._end(event, span, end)
        metrics = self._metrics
        if metrics is not None:
            self._note(metrics.client, event, end)
            if event.measured:
                metrics.sent(event)

    def execution(self, event: events.Execution) -> Closer:
        """Begin to tell of a call on its worker, and of the lease that serves it."""
        span = lease = None
        if self._spans is not None:
            span = self._spans.execution(event)
            if span is not None and self._leaves is not None and span.is_recording():
                lease = self._leaves.lease(event)
        metrics = self._metrics
        if metrics is not None:
            metrics.begun(event.leased or ())
            if SENT in event.told.carrier:
                metrics.waited(event)
        return partial(self._executed, event, span, lease)

    def _executed(
        self, event: events.Execution, span: Span | None, lease: Span | None, end: Outcome
    ) -> None:
        if lease is not None:
            lease.end()
        self._end(event, span, end)
        metrics = self._metrics
        if metrics is not None:
            metrics.over(event.leased or ())
            self._note(metrics.server, event, end)
            if event.leased is not None and metrics.held():
                metrics.released(event.leased, end.elapsed_ns)

    def _end(self, event: _Call, span: Span | None, end: Outcome) -> None:
        # The two refer to each other: whoever is done lets go, and the collector has no work.
        event.enter = None
        underway.calls.pop(id(event), None)
        if span is not None and self._spans is not None:
            self._spans.called(event, span, end)

    def _note(self, instrument: Any, event: _Call, end: Outcome) -> None:
        metrics = self._metrics
        if metrics is not None:
            elapsed, how, error = end
            labels = None if how == "done" else metrics.labels_of(event.routine, how, error)
            context = event.context or get_current()
            metrics.note((instrument, elapsed, event.routine, labels, context))

    def mount(self, event: events.Mount) -> Closer | None:
        """Begin to tell of a mount."""
        if self._metrics is not None:
            self._metrics.mounted(event.told, event.to_worker)
        leaves = self._leaves
        if leaves is None or not is_told():
            return None
        return partial(leaves.mounted, event, leaves.mount(event))

    def unmounted(self, event: events.Unmounted) -> None:
        """Tell that a chain was taken out."""
        if self._metrics is not None:
            self._metrics.unmounted(())
        if self._leaves is not None and is_told():
            self._leaves.fact(event)

    def reset(self, event: events.TokenReset) -> None:
        """Tell of a reset."""
        if self._metrics is not None:
            self._metrics.count("catena.token.resets", event.outcome)
        if self._leaves is not None and sampled():
            self._leaves.fact(event)
