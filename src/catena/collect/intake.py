"""What a request goes through, whichever way it came: a line, then the metrics, then the counts.

The rule: a line that could not be written was not received. The sender hears so and sends again,
so nothing of such a request is counted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from catena.collect.otlp import Malformed, Signal, line
from catena.collect.registry import Registry

__all__ = ["Counts", "Intake", "NotWritten"]

_log = logging.getLogger("catena.collect")


class NotWritten(Exception):
    """The sink did not take a line; its error is the cause."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What arrived so far, and what was refused."""

    spans: int = 0
    points: int = 0
    records: int = 0
    malformed: int = 0
    oversized: int = 0
    unwritten: int = 0


class Intake:
    """Takes requests from any thread; ``sink`` gets each as a line, one at a time."""

    def __init__(self, sink: Callable[[str], object] | None, registry: Registry) -> None:
        self._sink = sink
        self._registry = registry
        self._lock = threading.Lock()
        self._received = {"traces": 0, "metrics": 0, "logs": 0}
        self._refused = {"malformed": 0, "oversized": 0, "unwritten": 0}
        self._writes = True

    @property
    def counts(self) -> Counts:
        """What arrived until this moment."""
        with self._lock:
            return Counts(*self._received.values(), *self._refused.values())

    def take(self, signal: Signal, read: Callable[[], Any]) -> None:
        """Take the request that ``read`` returns; Malformed or NotWritten when it is refused."""
        try:
            request = read()
            text = line(request)
            count = signal.count(request)
        except Malformed:
            self.refused("malformed")
            raise
        with self._lock:
            if text:
                self._write(text)
            if signal.name == "metrics":
                self._registry.take(request)
            self._received[signal.name] += count

    def refused(self, reason: str) -> None:
        """Count a request that was refused before it could be read."""
        with self._lock:
            self._refused[reason] += 1

    def exposition(self, *, openmetrics: bool) -> str:
        """Everything known as text for a scraper."""
        with self._lock:
            return self._registry.text(
                received=self._received, refused=self._refused, openmetrics=openmetrics
            )

    def _write(self, text: str) -> None:
        if self._sink is None:
            return
        try:
            self._sink(text)
        except Exception as error:
            self._refused["unwritten"] += 1
            if self._writes:
                _log.warning("nothing can be written: %s; senders are told to try again", error)
            self._writes = False
            raise NotWritten(str(error)) from error
        if not self._writes:
            _log.warning("writing works again")
        self._writes = True
