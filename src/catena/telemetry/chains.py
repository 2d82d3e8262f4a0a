"""Chains as they are told: what is mounted, taken out and reset, for spans and metrics together.

Each has its counter to the seam: where the call is not sampled, or there are no spans of what
happens within calls, a number is added to, and no event is made.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from catena import events
from catena.observe import Outcome
from catena.operations import Told
from catena.telemetry.attempts import attempt
from catena.telemetry.metrics import Metrics
from catena.telemetry.spans import Spans, refusals_show, sampled
from catena.telemetry.underway import underway

__all__ = ["Chains"]


class Chains:
    """Tells of mounts, unmounts and resets; below ``full`` none but refused resets have spans."""

    def __init__(self, spans: Spans | None, metrics: Metrics | None) -> None:
        self._spans = spans
        self._leaves = spans if spans is not None and spans.full else None
        self._metrics = metrics

    def counts_mount(self, told: Told, to_worker: bool) -> bool:  # noqa: FBT001 - of each call
        """Say whether a mount is only counted, and count it."""
        if self._leaves is not None and _is_told():
            return False
        if self._metrics is not None:
            self._metrics.mounted(told, to_worker)
        return True

    def counts_unmount(self) -> bool:
        """Say whether a chain that is taken out is only counted, and count it."""
        if self._leaves is not None and _is_told():
            return False
        if self._metrics is not None:
            self._metrics.unmounted(())
        return True

    def mount(self, event: events.Mount) -> Callable[[Outcome], object] | None:
        """Begin to tell of a mount."""
        if self._metrics is not None:
            self._metrics.mounted(event.told, event.to_worker)
        leaves = self._leaves
        if leaves is None or not _is_told():
            return None
        span = attempt("traces", leaves.mount, event)
        return None if span is None else partial(attempt, "traces", leaves.mounted, event, span)

    def unmounted(self, event: events.Unmounted) -> None:
        """Tell that a chain was taken out."""
        if self._metrics is not None:
            self._metrics.unmounted(())
        if self._leaves is not None and _is_told():
            attempt("traces", self._leaves.unmounted, event)

    def reset(self, event: events.TokenReset) -> None:
        """Tell of a reset; of one that is refused also where there is no trace, as a contention."""
        if self._metrics is not None:
            self._metrics.count("catena.token.resets", event.outcome)
        spans = self._leaves if event.outcome == "ok" else self._spans
        if spans is not None and (sampled() if event.outcome == "ok" else refusals_show()):
            attempt("traces", spans.reset, event)


def _is_told() -> bool:
    """Say whether a chain that comes or goes is told of: where the call that moves it is."""
    call = underway.here()
    return sampled() if call is None else call.sampled
