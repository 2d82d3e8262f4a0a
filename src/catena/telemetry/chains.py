"""The observer of chains: what is mounted, taken out and reset, for spans and metrics together.

Where the call is not sampled, or there are no spans of what happens within calls, it only counts.
"""

from __future__ import annotations

from catena import events
from catena.telemetry.attempts import attempt
from catena.telemetry.metrics import Metrics
from catena.telemetry.spans import Spans, is_sampled_here, shows_refusals
from catena.telemetry.underway import underway


class Chains:
    """Records mounts, unmounts and resets; below ``full`` only refused resets have spans."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._spans = spans
        self._leaves = spans if spans is not None and spans.full else None
        self._metrics = metrics

    def begin(self, event: events.Mount) -> None:
        """Count a mount, and begin its span."""
        if self._metrics is not None:
            self._metrics.count_mount(event)
        if self._leaves is not None and _is_call_sampled():
            event.span = attempt("traces", self._leaves.begin_mount, event)

    def end(self, event: events.Mount, error: BaseException | None, at: int) -> None:
        """End the span of a mount."""
        if event.span is not None and self._leaves is not None:
            attempt("traces", self._leaves.end_mount, event)

    def record_unmounted(self, event: events.Unmounted) -> None:
        """Record that a chain was taken out."""
        if self._metrics is not None:
            self._metrics.unmounted(())
        if self._leaves is not None and _is_call_sampled():
            attempt("traces", self._leaves.record_unmounted, event)

    def record_reset(self, event: events.TokenReset) -> None:
        """Record a reset; one that is refused also where there is no trace, as a contention."""
        if self._metrics is not None:
            self._metrics.count_event("catena.token.resets", event.outcome)
        if event.outcome == "ok":
            spans, shows = self._leaves, is_sampled_here
        else:
            spans, shows = self._spans, shows_refusals
        if spans is not None and shows():
            attempt("traces", spans.record_reset, event)


def _is_call_sampled() -> bool:
    """Say whether the call is sampled that moves a chain here, or else the current trace."""
    call = underway.here()
    return is_sampled_here() if call is None else call.sampled
