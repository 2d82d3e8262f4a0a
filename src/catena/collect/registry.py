"""Every series of every process that sends metrics; a process that is silent is dropped.

The rule: whatever arrives, the page for the scraper stays valid. Series and points that it cannot
show are dropped and counted by reason: ``catena_collect_dropped_total``.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from prometheus_client import exposition
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics_exposition

from catena.collect import otlp, series
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
_OWN_NAMES = re.compile("catena_collect_|target(_info)?$")
_SERIES: dict[str, type[Series]] = {
    "counter": series.Counter,
    "updown": Series,
    "gauge": Series,
    "histogram": series.Histogram,
    "exponential_histogram": series.ExponentialHistogram,
    "summary": series.Summary,
}

_OPENMETRICS: Any = openmetrics_exposition  # it has no types
_log = logging.getLogger("catena.collect")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one receiver.

    ``message_bytes`` limits one request, before and after decompression. ``series`` is how many
    series one process may have, ``instances`` how many processes are kept. A process that has sent
    no metrics for ``silence`` seconds is forgotten. Requests that are being served when the
    receiver stops get ``grace`` seconds. The body of a request may take ``read`` seconds to arrive.
    """

    message_bytes: int = 16 << 20
    series: int = 10_000
    instances: int = 1_000
    silence: float = 300.0
    grace: float = 5.0
    read: float = 30.0


@dataclass(eq=False, slots=True, weakref_slot=True)
class _Family:
    """What all series of one name share; it lives as long as one of them does."""

    name: str
    kind: str
    unit: str
    text: str


_Key = tuple[_Family, Labels]


@dataclass(slots=True)
class _Instance:
    """One process: its resource as labels, its series, when it last sent metrics."""

    info: Labels
    series: dict[_Key, Series] = field(default_factory=dict[_Key, Series])
    seen: float = 0


class Registry:
    """What a scraper is shown; not safe for use by several threads at once.

    ``clock`` gives seconds that only grow. ``received`` and ``refused`` are kept by whoever takes
    the requests, and stand on the page.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.received = dict.fromkeys(otlp.SIGNALS, 0)
        self.refused = {"malformed": 0, "oversized": 0, "unwritten": 0}
        self.dropped = dict.fromkeys(REASONS, 0)
        self._limits, self._clock = limits, clock
        self._instances: dict[Labels, _Instance] = {}
        # By the names of their samples; a family is gone with the last of its series.
        self._families = WeakValueDictionary[str, _Family]()

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
        return _OPENMETRICS.generate_latest(self, _OPENMETRICS.ALLOWUTF8)

    def collect(self) -> Iterator[Metric]:
        """Yield every family with its samples, as prometheus_client asks for them."""
        yield from self._describe_receiver()
        found: dict[_Family, Metric] = {}
        for instance in self._instances.values():
            for (family, labels), held in instance.series.items():
                if family not in found:
                    found[family] = Metric(family.name, family.text, family.kind, family.unit)
                found[family].samples.extend(held.samples(family.name, labels))
        yield from found.values()

    def _describe_receiver(self) -> Iterator[Metric]:
        """Yield what the receiver counts, and what processes say of themselves."""
        instances = self._instances.values()
        number = sum(len(one.series) for one in instances)
        for name, label, text, values in (
            ("received", "signal", "Spans, metric points and log records.", self.received),
            ("refused", "reason", "Requests that were not taken.", self.refused),
            ("dropped", "reason", "Metric points that are not shown here.", self.dropped),
            ("instances", "", "Processes that sent metrics lately.", {"": len(instances)}),
            ("series", "", "Series of these processes.", {"": number}),
        ):
            kind, suffix = ("counter", "_total") if label else ("gauge", "")
            metric = Metric(f"catena_collect_{name}", text, kind)
            for each, value in values.items():
                metric.add_sample(metric.name + suffix, {label: each} if label else {}, value)
            yield metric
        target = InfoMetricFamily("target", "What a process says of itself.")
        for instance in instances:
            target.add_metric([], dict(instance.info))
        yield target

    def _take_point(self, attributes: Any, scope: Any, metric: Any, point: Any) -> None:
        identity = _identify_process(attributes)
        instance = self._find_instance(identity, attributes)
        kind, delta = _read_kind(metric)
        family, make_series = self._find_family(metric, kind), _SERIES[kind]
        own = dict(identity) | _label_scope(scope)
        key = family, make_labels(point.attributes, own, make_series.label)
        held = instance.series.get(key)
        if point.flags & _NOT_RECORDED:
            instance.series.pop(key, None)
            return
        if held is None and len(instance.series) >= self._limits.series:
            raise Unusable("series")
        if held is None or type(held) is not make_series:
            # It is new, or a process that has come back sends another kind of histogram.
            held = make_series()
        # Exporters send again what they think was lost.
        if not 0 < point.time_unix_nano <= held.time:
            held.update(point, delta=delta)
            held.time = point.time_unix_nano
            instance.series[key] = held

    def _find_instance(self, identity: Labels, attributes: Any) -> _Instance:
        if identity not in self._instances:
            self._forget_silent()
            if len(self._instances) >= self._limits.instances:
                raise Unusable("instances")
            rest = [one for one in attributes if one.key not in _IDENTITY]
            self._instances[identity] = _Instance(make_labels(rest, dict(identity)))
        instance = self._instances[identity]
        instance.seen = self._clock()
        return instance

    def _forget_silent(self) -> None:
        oldest = self._clock() - self._limits.silence
        self._instances = {key: one for key, one in self._instances.items() if one.seen >= oldest}

    def _find_family(self, metric: Any, kind: str) -> _Family:
        """Return the family of a metric; Unusable when its name is another one's."""
        name, made = family_name(metric.name, metric.unit, kind), _SERIES[kind]
        family = self._families.get(name)
        if family is None or family.name != name:
            words = reversed(unit_words(metric.unit))
            unit = next((one for one in words if name.endswith(f"_{one}")), "")
            family = _Family(name, made.kind, unit, metric.description)
            names = [name, *(name + suffix for suffix in made.suffixes.split())]
            if not name or any(one in self._families or _OWN_NAMES.match(one) for one in names):
                raise Unusable("name")
            self._families.update(dict.fromkeys(names, family))
        if family.kind != made.kind:
            raise Unusable("type")
        return family

    def _count_dropped(self, reason: str) -> None:
        if not self.dropped[reason]:
            _log.warning("metrics are left out of /metrics, counted as %r", reason)
        self.dropped[reason] += 1


def _read_kind(metric: Any) -> tuple[str, bool]:
    """Return what a metric is, and whether its points are deltas."""
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    if kind == "sum":
        kind = "counter" if data.is_monotonic else "updown"
    temporality = getattr(data, "aggregation_temporality", _CUMULATIVE)
    if temporality not in (_DELTA, _CUMULATIVE):
        raise Unusable("temporality")
    return kind, temporality == _DELTA


def _identify_process(attributes: Any) -> Labels:
    """Return a resource's job and instance; a process without an id goes by host and pid."""
    known = {one.key: to_text(one.value) for one in attributes}
    space, name, instance = (known.get(key, "") for key in _IDENTITY)
    if not instance and "process.pid" in known:
        instance = f"{known.get('host.name', '')}:{known['process.pid']}"
    return ("job", "/".join(filter(None, (space, name)))), ("instance", instance)


def _label_scope(scope: Any) -> dict[str, str]:
    own = {"otel_scope_name": scope.name, "otel_scope_version": scope.version}
    more = make_labels(scope.attributes, {})
    return own | {f"otel_scope_{name}": value for name, value in more}
