"""What happens to a request of either protocol: it is written, shown, and counted.

The rule: a request that could not be written was not received. Its sender gets an error and sends
it again, so nothing of it is shown or counted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from catena.collect.otlp import Refused, count_items, to_line
from catena.collect.registry import Limits, Registry
from catena.grpc_loading import grpc

_log = logging.getLogger("catena.collect")


class _Unwritten(Refused):
    """The sink did not take a line; its error is the cause."""

    reason, code, status = "unwritten", grpc.StatusCode.UNAVAILABLE, 503


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
    """Takes requests from any thread.

    ``sink`` gets their lines, one at a time; what it raises means that a line is not written.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self.sink: Callable[[str], object] | None = None
        self._registry = Registry(limits, clock)
        self._lock = threading.Lock()
        self._writes = True

    @property
    def counts(self) -> Counts:
        """What arrived until this moment."""
        with self._lock:
            return Counts(*self._registry.received.values(), *self._registry.refused.values())

    def take_request(self, signal: str, parse: Callable[[str, bytes], Any], body: bytes) -> None:
        """Take the request that a body holds, or raise Refused."""
        request = parse(signal, body)
        line, count = to_line(request), count_items(request)
        with self._lock:
            if line and self.sink is not None:
                self._write(self.sink, line)
            if signal == "metrics":
                self._registry.take_request(request)
            self._registry.received[signal] += count

    def count_refusal(self, refused: Refused) -> None:
        """Count a request that was refused."""
        with self._lock:
            self._registry.refused[refused.reason] += 1

    def render_page(self, *, openmetrics: bool) -> bytes:
        """Return the page for a scraper."""
        with self._lock:
            return self._registry.render_page(openmetrics=openmetrics)

    def _write(self, sink: Callable[[str], object], line: str) -> None:
        try:
            sink(line)
        except Exception as error:
            if self._writes:
                _log.warning("nothing can be written: %s; senders are asked to try again", error)
            self._writes = False
            raise _Unwritten(f"could not be written: {error}") from error
        if not self._writes:
            _log.warning("writing works again")
        self._writes = True
