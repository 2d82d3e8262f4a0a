"""Metrics: instruments as the catalog lists them, over the meter of one provider.

Hot paths count in plain numbers that observable instruments read; rare refusals tell their
counters directly, so that they carry exemplars. A call costs one record of its duration a side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from time import time_ns
from typing import Any

from opentelemetry.context import Context, get_current
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

from catena import events
from catena.observe import Event, Outcome
from catena.telemetry.carrier import SENT
from catena.telemetry.catalog import DROPPED, metrics_of
from catena.telemetry.facts import error_type, status_of
from catena.telemetry.names import OTHER, Names
from catena.telemetry.rows import Metric
from catena.telemetry.tally import Samples, Tally, dropped

__all__ = ["Metrics"]

Closer = Callable[[Outcome], None]

_METHODS, _ERRORS = 500, 100
_TOGETHER = 16


class Metrics:
    """The listeners that count. While it is not ``active`` its instruments have nothing to tell.

    Instruments cannot be taken back from a provider, so make one of these for each provider.
    """

    def __init__(self, provider: MeterProvider, version: str) -> None:
        self.provider = provider
        self.active = True
        self._methods = Names(_METHODS, "rpc.method")
        self._errors = Names(_ERRORS, "error.type")
        self._labels = {one.name: one.labels for one in metrics_of()}
        self._tallies: dict[str, Tally] = {}
        self._samples: dict[str, Samples] = {}
        self._sent = Samples()
        self._direct: dict[str, Any] = {}
        self._ok: dict[str, dict[str, str]] = {}
        self._ended: deque[tuple[Any, float, dict[str, str], Context]] = deque()
        meter = provider.get_meter("catena", version)
        for one in metrics_of():
            self._make(meter, one)
        for one in DROPPED.zero:
            dropped.add(one, 0)
        # What each call asks for.
        self._client = self._direct["rpc.client.call.duration"]
        self._server = self._direct["rpc.server.call.duration"]
        self._running = self._tallies["catena.worker.calls.active"]
        self._leases = self._tallies["catena.proxy.leases"]
        self._leased = self._tallies["catena.proxy.lease.active"]
        self._held = self._samples["catena.proxy.lease.duration"]
        self._sizes = self._samples["catena.frame.size"]

    def listeners(self) -> dict[type[Event], Callable[[Any], object]]:
        """Return what is to be subscribed; contentions are told by hand."""
        return {
            events.Dispatch: self.dispatch,
            events.Execution: self.execution,
            events.Mount: self.mount,
            events.Unmounted: self._counting("catena.chain.unmounts"),
            events.ChainForked: self._counting("catena.chain.forks"),
            events.FactoryDisplaced: self._counting("catena.task_factory.displacements"),
            events.TokenReset: lambda event: self.count("catena.token.resets", event.outcome),
            events.CallNacked: lambda event: self.count("catena.calls.nacked", event.code),
            events.FrameDropped: lambda event: self.count("catena.frames.dropped", event.kind),
            events.EntryLost: lambda event: self.count(
                "catena.entries.lost", "sent" if event.sending else "read"
            ),
            events.LinkOpened: lambda event: self.peer(event, 1),
            events.LinkClosed: lambda event: self.peer(event, -1),
            events.WorkerStarted: lambda _: self.count("catena.worker.count", "running"),
            events.WorkerExited: self.exited,
            events.VersionWasRefused: self.version_refused,
            events.SerializationFailed: self.serialization_failed,
            events.LoopTicked: lambda event: self._tell(
                "catena.worker.event_loop.lag", event.lag_ns / 1e9
            ),
        }

    def count(self, name: str, *labels: str, number: int = 1) -> None:
        """Add to a plain number."""
        self._tallies[name].add(labels, number)

    def dispatch(self, event: events.Dispatch) -> Closer:
        """Note when a call was sent, of one call of sixteen; its end is recorded."""
        if self._sent.wanted():
            event.carrier = {**(event.carrier or {}), SENT: str(time_ns())}
        return partial(self._dispatched, event)

    def _dispatched(self, event: events.Dispatch, end: Outcome) -> None:
        self._call(self._client, event, end)
        sizes = self._sizes
        if event.attempts and sizes.wanted():
            sizes.keep(("to_worker", "task"), event.sent_bytes)
            if event.frame[0]:
                kind = "exception" if "exception" in event.frame[0] else "result"
                sizes.keep(("to_caller", kind), event.received_bytes / event.frame[1])

    def execution(self, event: events.Execution) -> Closer:
        """Note how long a call has waited, and that it runs."""
        sent = event.carrier.get(SENT) if event.carrier else None
        if sent is not None and sent.isascii() and sent.isdigit():
            waited = max(time_ns() - int(sent[:20]), 0) / 1e9
            queue = self._samples["catena.dispatch.queue.duration"]
            queue.keep((self._methods(event.routine),), waited)
        self._running.add(("running",))
        if event.lease is not None:
            source = event.lease.source
            self._leases.add((source, "cached" if event.lease.cached else "built"))
            self._leased.add((source,))
        return partial(self._executed, event)

    def _executed(self, event: events.Execution, end: Outcome) -> None:
        self._running.add(("running",), -1)
        self._call(self._server, event, end)
        lease = event.lease
        if lease is not None:
            self._leased.add((lease.source,), -1)
            if self._held.wanted():
                labels = (lease.source, "cached" if lease.cached else "built")
                self._held.keep(labels, end.elapsed_ns / 1e9)

    def mount(self, event: events.Mount) -> Closer:
        """Count a mount, when it has ended."""
        return partial(self._mounted, event)

    def _mounted(self, event: events.Mount, end: Outcome) -> None:
        direction = "to_worker" if event.to_worker else "to_caller"
        failed = end.error if end.end == "failed" else None
        self.count("catena.chain.mounts", direction, self._errors(_named(failed)))
        sizes = self._samples["catena.manifest.size"]
        if sizes.wanted():
            sizes.keep((direction, "delta" if event.delta else "whole"), event.bytes)

    def contention(self, event: events.ContentionRefused, context: Context | None) -> None:
        """Count a contention, in the context of its span."""
        self._tell("catena.chain.contentions", 1, event.error.kind, context=context)

    def version_refused(self, event: events.VersionWasRefused) -> None:
        """Count a peer that was turned away."""
        self._tell("catena.version.refusals", 1, event.error.local, event.error.remote)

    def serialization_failed(self, event: events.SerializationFailed) -> None:
        """Count what could not be written or read."""
        kind = self._errors(error_type(event.error))
        self._tell("catena.serialization.failures", 1, event.error.doing, kind)

    def exited(self, _: events.WorkerExited) -> None:
        """Count a worker that has ended."""
        self.count("catena.worker.count", "running", number=-1)
        self.count("catena.worker.count", "exited")

    def _counting(self, name: str) -> Callable[[Event], None]:
        return lambda _: self.count(name)

    def peer(self, event: events.LinkOpened | events.LinkClosed, number: int) -> None:
        """Count a link that came or went."""
        self.count("catena.peer.count", event.local, event.protocol, number=number)

    def _call(
        self, instrument: Any, event: events.Dispatch | events.Execution, outcome: Outcome
    ) -> None:
        done = outcome.end == "done"
        labels = self._ok.get(event.routine) if done else None
        if labels is None:
            method = self._methods(event.routine)
            labels = {"rpc.method": method, "rpc.status_code": status_of(outcome)}
            if outcome.end == "failed":
                labels["error.type"] = self._errors(_named(outcome.error))
            if done and method != OTHER:
                self._ok[method] = labels
        context = event.context or get_current()
        self._ended.append((instrument, outcome.elapsed_ns / 1e9, labels, context))
        if len(self._ended) >= _TOGETHER:
            self._record()

    def _record(self) -> None:
        """Tell the histograms of the calls that have ended, one after the other.

        Done for each call alone it takes twice the time, and the time of the call.
        """
        ended = self._ended
        while ended:
            try:
                instrument, seconds, labels, context = ended.popleft()
            except IndexError:
                # Another thread was faster.
                return
            instrument.record(seconds, labels, context)

    def _tell(self, name: str, number: float, *values: str, context: Context | None = None) -> None:
        labels = dict(zip(self._labels[name], values, strict=True))
        instrument = self._direct[name]
        tell = getattr(instrument, "record", None) or instrument.add
        tell(number, labels, context)

    def _make(self, meter: Meter, metric: Metric) -> None:
        facts = (metric.name, metric.unit, metric.description)
        if metric.kind == "histogram":
            made = meter.create_histogram(
                *facts, explicit_bucket_boundaries_advisory=metric.boundaries
            )
            self._direct[metric.name] = made
            if metric.keeping == "sampled":
                self._samples[metric.name] = Samples()
        elif metric.keeping == "direct":
            counter = self._direct[metric.name] = meter.create_counter(*facts)
            for values in metric.zero:
                counter.add(0, dict(zip(metric.labels, values, strict=True)))
        else:
            self._make_plain(meter, metric)

    def _make_plain(self, meter: Meter, metric: Metric) -> None:
        read: Any = partial(self._read, metric)
        if metric is DROPPED:
            read = self._read_dropped
            tally = dropped
        else:
            tally = Tally(metric.zero)
        self._tallies[metric.name] = tally
        make = {
            "counter": meter.create_observable_counter,
            "updown": meter.create_observable_up_down_counter,
            "gauge": meter.create_observable_gauge,
        }[metric.kind]
        make(metric.name, [read], metric.unit, metric.description)

    def _read(self, metric: Metric, _: CallbackOptions) -> Iterable[Observation]:
        if not self.active:
            return []
        return [
            Observation(number, _labels(metric.labels, values))
            for values, number in self._tallies[metric.name].read()
        ]

    def _read_dropped(self, options: CallbackOptions) -> Iterable[Observation]:
        """Tell the histograms what was sampled: they cannot be observed themselves."""
        self._record()
        for name, samples in self._samples.items():
            histogram = self._direct[name]
            for values, value in samples.take():
                histogram.record(value, dict(zip(self._labels[name], values, strict=True)))
        return self._read(DROPPED, options)


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str]:
    """Return the labels that say something: an empty one is left out."""
    return {name: value for name, value in zip(names, values, strict=True) if value}


def _named(error: BaseException | None) -> str:
    return "" if error is None else error_type(error)
