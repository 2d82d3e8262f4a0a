"""Metrics: instruments as the catalog lists them, over the meter of one provider.

Hot paths count in plain numbers that observable instruments read; rare refusals count in their
counters directly, so that they carry exemplars. A call costs one record of its duration a side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from time import time_ns
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

from catena import events
from catena.events.bus import Event, end_of, run_observing
from catena.standing import Standing, count_now
from catena.telemetry.attempts import attempt, count_loss
from catena.telemetry.carrier import SENT
from catena.telemetry.catalog import DROPPED, metrics_of
from catena.telemetry.facts import error_type, status_of
from catena.telemetry.rows import BOUNDARIES, Metric
from catena.telemetry.tally import OTHER, Labels, Names, Samples, Tally, losses

Ended = tuple[Any, int, str, dict[str, str] | None, Context]
"""Instrument, nanoseconds, routine, labels where it was not well done, and the call's context."""

_METHODS, _ERRORS = 500, 100
_TOGETHER = 16
_TO_WORKER, _TO_CALLER = ("to_worker",), ("to_caller",)


class Metrics:
    """The listeners that count. While it is not ``active`` its instruments have nothing to report.

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
        self._done: dict[str, dict[str, str]] = {}
        self._ended: deque[Ended] = deque()
        self._note = self._ended.append
        meter = provider.get_meter("catena", version)
        for one in metrics_of():
            self._make_instrument(meter, one)
        for one in DROPPED.zero:
            losses.add(one, 0)
        # What each call asks for, with nothing in between.
        mounts, unmounts = (self._tallies[f"catena.chain.{one}"] for one in ("mounts", "unmounts"))
        leases = self._tallies["catena.proxy.leases"]
        self._quick = leases, mounts, unmounts
        self.leased = leases.append
        self.client = self._direct["rpc.client.call.duration"]
        self.server = self._direct["rpc.server.call.duration"]
        self.measured = self._samples["catena.frame.size"].next_is_kept
        self.held = self._samples["catena.proxy.lease.duration"].next_is_kept
        self._mounts, self.unmounted = mounts.append, unmounts.append
        self._manifests = self._samples["catena.manifest.size"]
        self._standing: dict[str, Standing] = {
            "catena.worker.calls.active": "calls",
            "catena.proxy.lease.active": "leases",
            "catena.workers": "workers",
            "catena.members": "members",
            "catena.links": "links",
        }

    def make_listeners(self) -> dict[type[Event], Callable[[Any], object]]:
        """Return what is to be subscribed beside calls; contentions are recorded by hand."""
        count, record = self.count_event, self._record_now
        listeners: dict[type[Event], Callable[[Any], object]] = {
            events.ChainForked: lambda _: count("catena.chain.forks"),
            events.FactoryDisplaced: lambda _: count("catena.task_factory.displacements"),
            events.CallNacked: lambda event: count("catena.calls.nacked", event.code),
            events.CallRefused: lambda event: count("catena.worker.calls.refused", event.code),
            events.CallRetried: lambda _: count("catena.calls.retried"),
            events.CallWaited: lambda _: count("catena.calls.waited"),
            events.WorkerSuspected: lambda _: count("catena.workers.suspected"),
            events.RecordRefused: lambda _: count("catena.records.refused"),
            events.WorkerGivenUp: lambda _: count("catena.workers.given_up"),
            events.RoutineOverran: lambda _: count("catena.routines.overran"),
            events.LogRecordsDropped: lambda event: record("catena.log.dropped", event.count),
            events.FrameDropped: lambda event: count("catena.frames.dropped", event.kind),
            events.EntryLost: lambda event: count("catena.entries.lost", event.direction),
            events.PeerVersionRefused: lambda event: record(
                "catena.version.refusals", 1, event.error.local, event.error.remote
            ),
            events.PeerAccessRefused: lambda _: record("catena.peer.refusals", 1),
            events.ProtocolBroken: lambda event: record("catena.protocol.breaches", 1, event.ended),
            events.CredentialsFailed: lambda _: record("catena.credentials.failures", 1),
            events.HandshakeFailed: lambda _: count("catena.handshakes.failed"),
            events.SerializationFailed: self._count_serialization_failure,
            events.SnapshotRefused: lambda event: count(
                "catena.background.snapshots.refused", event.fault
            ),
            events.QueueFailed: lambda _: record("catena.background.queue.failures", 1),
            events.ValueExpired: lambda _: count("catena.background.values.expired"),
            events.WorkerWithoutContext: lambda _: count("catena.background.workers.lacking"),
            events.LoopTicked: lambda event: record(
                "catena.worker.event_loop.lag", event.lag_ns / 1e9
            ),
        }
        return {event: partial(attempt, "metrics", one) for event, one in listeners.items()}

    def count_event(self, name: str, *labels: str) -> None:
        """Add one to a plain number."""
        self._tallies[name].add(labels)

    def prepare_sending(self, event: events.Dispatch) -> None:
        """Note when a call is sent, and have its payloads measured."""
        event.measured = True
        event.carrier = {**(event.carrier or {}), SENT: str(time_ns())}

    def keep_frame_sizes(self, event: events.Dispatch) -> None:
        """Keep the sizes of a call's payloads."""
        sizes = self._samples["catena.frame.size"]
        if event.attempts:
            sizes.keep_value(("to_worker", "task"), event.sent_bytes)
        kind, answers = event.frame
        if answers:
            kind = "exception" if "exception" in kind else "result"
            sizes.keep_value(("to_caller", kind), event.received_bytes / answers)

    def keep_queue_time(self, event: events.Execution) -> None:
        """Keep how long a call has waited that says when it was sent."""
        sent = event.served.carrier[SENT]
        if sent.isascii() and sent.isdigit():
            waited = max(time_ns() - int(sent[:20]), 0) / 1e9
            queue = self._samples["catena.dispatch.queue.duration"]
            queue.keep_value((self._methods(event.routine),), waited)

    def keep_lease_time(self, leased: Labels, elapsed_ns: int) -> None:
        """Keep how long a lease lasted."""
        self._samples["catena.proxy.lease.duration"].keep_value(leased, elapsed_ns / 1e9)

    def record_snapshot(self, event: events.TaskRun) -> None:
        """Record how old the snapshot of a run is, and whether it was nearly lost."""
        self._record_now("catena.background.snapshot.age", event.age or 0.0)
        if event.nearly_lost:
            self.count_event("catena.background.snapshots.nearly_lost")

    def count_mount(self, event: events.Mount) -> None:
        """Count a mount, and keep some of the sizes."""
        direction = _TO_WORKER if event.to_worker else _TO_CALLER
        self._mounts(direction)
        if self._manifests.next_is_kept():
            kind = "whole" if event.whole else "delta"
            self._manifests.keep_value((*direction, kind), event.size)

    def count_contention(self, event: events.ContentionRefused, context: Context | None) -> None:
        """Count a contention, in the context of its span."""
        self._record_now("catena.chain.contentions", 1, event.error.kind, context=context)

    def _count_serialization_failure(self, event: events.SerializationFailed) -> None:
        kind = self._errors(error_type(event.error))
        self._record_now("catena.serialization.failures", 1, event.error.doing, kind)

    def note_end(
        self,
        instrument: Any,
        event: events.Dispatch | events.Execution,
        elapsed: int,
        error: BaseException | None,
        context: Context,
    ) -> None:
        """Note how a call ended at one side; the histograms record it when there are more of them.

        An error is not kept: its traceback holds what the routine held.
        """
        try:
            labels = None if error is None else self._labels_of(event.routine, error)
            self._note((instrument, elapsed, event.routine, labels, context))
            if len(self._ended) >= _TOGETHER:
                run_observing(self._record_ended)
        except BaseException:
            count_loss("metrics")

    def _labels_of(self, routine: str, error: BaseException | None = None) -> dict[str, str]:
        method = self._methods(routine)
        labels = {
            "rpc.system.name": "catena",
            "rpc.method": method,
            "rpc.status_code": status_of(error),
        }
        if error is not None and end_of(error) == "failed":
            labels["error.type"] = self._errors(error_type(error))
        elif error is None and method != OTHER:
            self._done[method] = labels
        return labels

    def _record_ended(self) -> None:
        """Record the calls that have ended in the histograms, one after the other.

        Done for each call alone it takes twice the time, and the time of the call.
        """
        ended = self._ended
        while ended:
            try:
                instrument, elapsed, routine, labels, context = ended.popleft()
            except IndexError:
                # Another thread was faster.
                return
            if labels is None:
                labels = self._done.get(routine) or self._labels_of(routine)
            try:
                instrument.record(elapsed / 1e9, labels, context)
            except BaseException:
                count_loss("metrics")
        for tally in self._quick:
            tally.add_up()

    def _record_now(
        self, name: str, number: float, *values: str, context: Context | None = None
    ) -> None:
        labels = dict(zip(self._labels[name], values, strict=True))
        instrument = self._direct[name]
        record = getattr(instrument, "record", None) or instrument.add
        record(number, labels, context)

    def _make_instrument(self, meter: Meter, metric: Metric) -> None:
        facts = (metric.name, metric.unit, metric.description)
        if metric.kind == "histogram":
            made = meter.create_histogram(
                *facts, explicit_bucket_boundaries_advisory=BOUNDARIES[metric.unit]
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
            tally = losses
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
        standing, tally = self._standing.get(metric.name), self._tallies[metric.name]
        if standing is None:
            read = tally.read()
        else:
            # Labels that existed once and no longer do are reported as 0.
            there = count_now(standing)
            for labels in there:
                tally.add(labels, 0)
            read = [(labels, there[labels]) for labels, _ in tally.read()]
        return [Observation(number, _name_labels(metric.labels, values)) for values, number in read]

    def _read_dropped(self, options: CallbackOptions) -> Iterable[Observation]:
        """Record in the histograms what was sampled: they cannot be observed themselves."""
        self._record_ended()
        for name, samples in self._samples.items():
            histogram = self._direct[name]
            for values, value in samples.take_all():
                histogram.record(value, dict(zip(self._labels[name], values, strict=True)))
        return self._read(DROPPED, options)


def _name_labels(names: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str]:
    """Return the labels that say something: an empty one is left out."""
    return {name: value for name, value in zip(names, values, strict=True) if value}
