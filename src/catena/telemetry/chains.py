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
from catena.telemetry.metrics import Metrics
from catena.telemetry.spans import Spans, sampled
from catena.telemetry.underway import underway

__all__ = ["Chains"]


class Chains:
    """Tells of mounts, unmounts and resets; ``leaves`` makes their spans, None where none are."""

    def __init__(self, leaves: Spans | None, metrics: Metrics | None) -> None:
        self._leaves = leaves
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

    def mount(self, event: events.Mount) -> Callable[[Outcome], None] | None:
        """Begin to tell of a mount."""
        if self._metrics is not None:
            self._metrics.mounted(event.told, event.to_worker)
        leaves = self._leaves
        if leaves is None or not _is_told():
            return None
        return partial(leaves.mounted, event, leaves.mount(event))

    def unmounted(self, event: events.Unmounted) -> None:
        """Tell that a chain was taken out."""
        if self._metrics is not None:
            self._metrics.unmounted(())
        if self._leaves is not None and _is_told():
            self._leaves.fact(event)

    def reset(self, event: events.TokenReset) -> None:
        """Tell of a reset."""
        if self._metrics is not None:
            self._metrics.count("catena.token.resets", event.outcome)
        if self._leaves is not None and sampled():
            self._leaves.fact(event)


def _is_told() -> bool:
    """Say whether a chain that comes or goes is told of: where the call that moves it is."""
    call = underway.here()
    return sampled() if call is None else call.sampled
