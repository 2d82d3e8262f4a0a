"""Every series of every process that sends metrics; a process that is silent is dropped.

The rule: whatever arrives, the page for the scraper stays valid. What has no place on it is dropped
and counted by reason: ``catena_collect_dropped_total``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from prometheus_client import exposition
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics_exposition

from catena.collect import otlp, series
from catena.collect.exponential import ExponentialHistogram
from catena.collect.limits import Limits
from catena.collect.series import Series, Unusable
from catena.collect.translate import Labels, family_name, make_labels, to_text, unit_words

REASONS: tuple[str, ...] = ("series", "instances", "name", "type", "point", "temporality")
"""Why a data point may be dropped.

Too many series of a process, too many processes; a name that cannot be kept or that another metric
has; a type that another process gives this name otherwise; a value that no series can have; no
temporality.
"""

_DELTA, _CUMULATIVE = 1, 2
_NOT_RECORDED = 1  # the flag that says that a series has ended
_IDENTITY = ("service.namespace", "service.name", "service.instance.id")
_KINDS: dict[str, tuple[str, type[Series]]] = {
    "counter": ("counter", series.Counter),
    "updown": ("gauge", series.Gauge),
    "gauge": ("gauge", series.Gauge),
    "histogram": ("histogram", series.Histogram),
    "exponential_histogram": ("histogram", ExponentialHistogram),
    "summary": ("summary", series.Summary),
}
"""What a metric of OTLP is to Prometheus, and what its series are here."""
_SUFFIXES = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
    "summary": ("", "_count", "_sum", "_created"),
    "info": ("", "_info"),
}
"""What the names of samples add to that of their family."""
_OWN_LABELS = {"histogram": "le", "summary": "quantile"}

_log = logging.getLogger("catena.collect")


@dataclass(eq=False, slots=True, weakref_slot=True)
class _Family:
    """What all series of one name share; it lives as long as a series does."""

    name: str
    kind: str
    unit: str = ""
    text: str = ""


@dataclass(slots=True)
class _Instance:
    """One process: its labels in every series, its resource as labels, its series."""

    own: dict[str, str]
    info: Labels
    seen: float = 0
    series: dict[tuple[_Family, Labels], Series] = field(default_factory=dict)


class Registry:
    """What a scraper is shown; not safe for use by several threads at once.

    ``clock`` gives seconds that only grow. ``received`` and ``refused`` are kept by whoever takes
    the requests, and stand on the page.
    """

    def __init__(
        self, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.received = {"traces": 0, "metrics": 0, "logs": 0}
        self.refused = {"malformed": 0, "oversized": 0, "unwritten": 0}
        self.dropped = dict.fromkeys(REASONS, 0)
        self._limits = limits or Limits()
        self._clock = clock
        self._instances: dict[tuple[str, str], _Instance] = {}
        # By the name of every sample; nothing else keeps a family alive than its series.
        self._families = WeakValueDictionary[str, _Family]()
        self._own = [_Family(one.name, one.type) for one in self._describe_receiver()]
        for family in self._own:
            self._claim_names(family)

    def take_request(self, request: Any) -> None:
        """Take an ExportMetricsServiceRequest."""
        for resource, scope, metric in otlp.iterate_items(request):
            for point in otlp.read_points(metric):
                try:
                    self._take_point(resource.attributes, scope, metric, point)
                except Unusable as error:
                    self._count_dropped(error.reason)

    def render_page(self, *, openmetrics: bool) -> bytes:
        """Return everything as a scraper reads it; with exemplars only in OpenMetrics."""
        self._forget_silent()
        if not openmetrics:
            return exposition.generate_latest(self)
        # Names are valid already; any other escaping would replace the colons in them.
        escaping = openmetrics_exposition.ALLOWUTF8
        return openmetrics_exposition.generate_latest(self, escaping)

    def collect(self) -> Iterator[Metric]:
        """Yield every family with its samples, as prometheus_client asks for them."""
        yield from self._describe_receiver()
        found: dict[_Family, Metric] = {}
        for instance in self._instances.values():
            for (family, labels), held in instance.series.items():
                if family not in found:
                    found[family] = Metric(family.name, family.text, family.kind, family.unit)
                found[family].samples.extend(held.samples(family.name, dict(labels)))
        yield from found.values()

    def _describe_receiver(self) -> Iterator[Metric]:
        """Yield what the receiver counts, and what processes say of themselves."""
        instances = self._instances.values()
        for name, label, text, counts in (
            ("received", "signal", "Spans, metric points and log records.", self.received),
            ("refused", "reason", "Requests that were not taken.", self.refused),
            ("dropped", "reason", "Metric points that are not shown here.", self.dropped),
        ):
            counter = CounterMetricFamily(f"catena_collect_{name}", text, labels=[label])
            for each, count in counts.items():
                counter.add_metric([each], count)
            yield counter
        for name, text, value in (
            ("instances", "Processes that sent metrics lately.", len(instances)),
            ("series", "Series of these processes.", sum(len(one.series) for one in instances)),
        ):
            yield GaugeMetricFamily(f"catena_collect_{name}", text, value)
        target = InfoMetricFamily("target", "What a process says of itself.")
        for instance in instances:
            target.add_metric([], dict(instance.info))
        yield target

    def _take_point(self, attributes: Any, scope: Any, metric: Any, point: Any) -> None:
        instance = self._find_instance(attributes)
        kind, delta = _read_kind(metric)
        family = self._find_family(metric, kind)
        own = instance.own | _label_scope(scope)
        key = family, make_labels(point.attributes, own, _OWN_LABELS.get(family.kind, ""))
        if point.flags & _NOT_RECORDED:
            instance.series.pop(key, None)
            return
        held, make_series = instance.series.get(key), _KINDS[kind][1]
        if held is None and len(instance.series) >= self._limits.series:
            raise Unusable("series")
        if held is None or type(held) is not make_series:
            # A process that has come back may send another kind of histogram.
            held = make_series()
        # Exporters send again what they think was lost.
        if not 0 < point.time_unix_nano <= held.time:
            held.update(point, delta=delta)
            held.time = point.time_unix_nano
            instance.series[key] = held

    def _find_instance(self, attributes: Any) -> _Instance:
        identity = _identify_process(attributes)
        if identity not in self._instances:
            self._forget_silent()
            if len(self._instances) >= self._limits.instances:
                raise Unusable("instances")
            own = dict(zip(("job", "instance"), identity, strict=True))
            rest = [one for one in attributes if one.key not in _IDENTITY]
            self._instances[identity] = _Instance(own, make_labels(rest, own))
        instance = self._instances[identity]
        instance.seen = self._clock()
        return instance

    def _forget_silent(self) -> None:
        oldest = self._clock() - self._limits.silence
        for identity in [key for key, one in self._instances.items() if one.seen < oldest]:
            del self._instances[identity]

    def _find_family(self, metric: Any, kind: str) -> _Family:
        name, shown = family_name(metric.name, metric.unit, kind), _KINDS[kind][0]
        family = self._families.get(name)
        if family is None or family.name != name:
            words = reversed(unit_words(metric.unit))
            unit = next((one for one in words if name.endswith(f"_{one}")), "")
            family = _Family(name, shown, unit, metric.description)
            self._claim_names(family)
        if family.kind != shown:
            raise Unusable("type")
        return family

    def _claim_names(self, family: _Family) -> None:
        names = [family.name + suffix for suffix in _SUFFIXES[family.kind]]
        if not family.name or any(one in self._families for one in names):
            raise Unusable("name")
        self._families.update(dict.fromkeys(names, family))

    def _count_dropped(self, reason: str) -> None:
        if not self.dropped[reason]:
            _log.warning("metrics are left out of /metrics, counted as %r", reason)
        self.dropped[reason] += 1


def _read_kind(metric: Any) -> tuple[str, bool]:
    """Return what a metric is, and whether its points are deltas."""
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    temporality = getattr(data, "aggregation_temporality", _CUMULATIVE)
    if temporality not in (_DELTA, _CUMULATIVE):
        raise Unusable("temporality")
    if kind == "sum":
        kind = "counter" if data.is_monotonic else "updown"
    return kind, temporality == _DELTA


def _identify_process(attributes: Any) -> tuple[str, str]:
    """Return job and instance of a resource; a process without an id goes by host and pid."""
    known = {one.key: one.value for one in attributes}
    space, name, instance, host, pid = (
        to_text(known[key]) if key in known else ""
        for key in (*_IDENTITY, "host.name", "process.pid")
    )
    if not instance and pid:
        instance = f"{host}:{pid}"
    return (f"{space}/{name}" if space and name else name or space), instance


def _label_scope(scope: Any) -> dict[str, str]:
    own = {"otel_scope_name": scope.name, "otel_scope_version": scope.version}
    more = make_labels(scope.attributes, {})
    return own | {f"otel_scope_{name}": value for name, value in more}
