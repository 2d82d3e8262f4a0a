"""Every series of every process that sends metrics, by family; who is silent is forgotten.

The rule: whatever arrives, the text for the scraper stays valid. What has no place in it is dropped
and counted by reason: ``catena_collect_dropped_total``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from catena.collect import exposition
from catena.collect.exponential import Exponential
from catena.collect.exposition import Family, Sample
from catena.collect.limits import Limits
from catena.collect.series import Histogram, Number, Series, Summary, Unusable
from catena.collect.translate import Labels, family_name, labels, text, unit_of

__all__ = ["REASONS", "Registry"]

REASONS: tuple[str, ...] = (
    "series",
    "instances",
    "name",
    "type",
    "point",
    "temporality",
)
"""Why a data point may be dropped.

Too many series of a process, too many processes; a name that cannot be kept or that another metric
has; a type that another process gives this name otherwise; a value that no series can have; no
temporality.
"""

_DELTA, _CUMULATIVE = 1, 2
_NOT_RECORDED = 1  # the flag that says that a series has ended
_IDENTITY = ("service.namespace", "service.name", "service.instance.id")
_SUFFIXES = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
    "summary": ("", "_count", "_sum", "_created"),
    "info": ("", "_info"),
}
_SERIES: dict[str, type[Series]] = {
    "NumberDataPoint": Number,
    "HistogramDataPoint": Histogram,
    "ExponentialHistogramDataPoint": Exponential,
    "SummaryDataPoint": Summary,
}
_log = logging.getLogger("catena.collect")


@dataclass(slots=True)
class _Instance:
    """One process: when it last spoke, what it says of itself, which series it has."""

    seen: float
    info: Labels
    series: set[tuple[str, Labels]] = field(default_factory=set[tuple[str, Labels]])


class Registry:
    """What a scraper is shown; not safe for use by several threads at once.

    ``clock`` gives seconds that only grow.
    """

    def __init__(
        self, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._instances: dict[tuple[str, str], _Instance] = {}
        self._families: dict[str, Family] = {}
        self._names: dict[str, str] = {}  # each name of a sample, and the family that has it
        self._dropped = dict.fromkeys(REASONS, 0)
        for one in exposition.own({}, {}, self._dropped, instances=0, series=0):
            self._claim(one.name, one.kind)
        self._claim("target", "info")

    @property
    def dropped(self) -> dict[str, int]:
        """How many data points were dropped, by reason."""
        return dict(self._dropped)

    def take(self, request: Any) -> None:
        """Take an ExportMetricsServiceRequest."""
        for each in request.resource_metrics:
            found = _identity(each.resource.attributes)
            metrics = [(of.scope, metric) for of in each.scope_metrics for metric in of.metrics]
            instance = self._instance(found, each.resource.attributes)
            if instance is None:
                self._drop("instances", sum(_size(metric) for _, metric in metrics))
                continue
            for scope, metric in metrics:
                self._metric(found, instance, scope, metric)

    def text(
        self, *, received: Mapping[str, int], refused: Mapping[str, int], openmetrics: bool
    ) -> str:
        """Return everything as a scraper reads it; with exemplars only in OpenMetrics."""
        self._forget_the_silent()
        own = exposition.own(
            received,
            refused,
            self._dropped,
            instances=len(self._instances),
            series=sum(len(one.series) for one in self._instances.values()),
        )
        whole = [*own, self._targets(), *(self._families[name] for name in sorted(self._families))]
        return exposition.render(whole, openmetrics=openmetrics)

    def _targets(self) -> Family:
        family = Family("target", "info", "", "What a process says of itself.")
        family.series = {one.info: Sample(1) for one in self._instances.values()}
        return family

    def _instance(self, found: tuple[str, str], resource: Any) -> _Instance | None:
        instance = self._instances.get(found)
        if instance is None:
            self._forget_the_silent()
            if len(self._instances) >= self._limits.instances:
                return None
            rest = [one for one in resource if one.key not in _IDENTITY]
            info = labels(rest, _named(found))
            instance = self._instances[found] = _Instance(self._clock(), info)
        instance.seen = self._clock()
        return instance

    def _forget_the_silent(self) -> None:
        oldest = self._clock() - self._limits.silence
        silent = [found for found, one in self._instances.items() if one.seen < oldest]
        for found in silent:
            for family, which in self._instances.pop(found).series:
                self._end(family, which)

    def _end(self, family: str, which: Labels) -> None:
        """Take a series away, and its family with the last one."""
        left = self._families[family].series
        left.pop(which, None)
        if not left:
            self._release(family)

    def _release(self, family: str) -> None:
        self._families.pop(family, None)
        self._names = {name: by for name, by in self._names.items() if by != family}

    def _metric(self, found: tuple[str, str], instance: _Instance, scope: Any, metric: Any) -> None:
        data, kind, temporality = _kind(metric)
        if data is None:
            return
        if temporality not in (_DELTA, _CUMULATIVE):
            self._drop("temporality", len(data.data_points))
            return
        family = self._family(metric, kind)
        if isinstance(family, str):
            self._drop(family, len(data.data_points))
            return
        own = _named(found) | _scope(scope)
        without = {"histogram": "le", "summary": "quantile"}.get(family.kind, "")
        for point in data.data_points:
            which = labels(point.attributes, own, without)
            self._point(instance, family, which, point, delta=temporality == _DELTA)
        if not family.series:
            self._release(family.name)

    def _family(self, metric: Any, kind: str) -> Family | str:
        """Return the family of a metric, or the reason why it can have none."""
        name = family_name(metric.name, metric.unit, kind)
        shown = {"updown": "gauge", "exponential": "histogram"}.get(kind, kind)
        family = self._families.get(name)
        if family is not None:
            return family if family.kind == shown else "type"
        if not name or not self._claim(name, shown):
            return "name"
        unit = next((one for one in reversed(unit_of(metric.unit)) if _ends(name, one)), "")
        family = self._families[name] = Family(name, shown, unit, metric.description)
        return family

    def _claim(self, name: str, kind: str) -> bool:
        """Keep the names of a family's samples for it, False when another family has one."""
        names = [f"{name}{suffix}" for suffix in _SUFFIXES[kind]]
        if any(one in self._names for one in names):
            return False
        self._names |= dict.fromkeys(names, name)
        return True

    def _point(
        self, instance: _Instance, family: Family, which: Labels, point: Any, *, delta: bool
    ) -> None:
        known = which in family.series
        if point.flags & _NOT_RECORDED:
            if known:
                del family.series[which]
                instance.series.discard((family.name, which))
            return
        if not known and len(instance.series) >= self._limits.series:
            self._drop("series", 1)
            return
        held, sort = family.series.get(which), _SERIES[point.DESCRIPTOR.name]
        # A process that has come back may tell another sort of histogram.
        series = held if held is not None and type(held) is sort else sort()
        if isinstance(series, Sample) or 0 < point.time_unix_nano <= series.time:
            return
        try:
            series.take(point, delta=delta, counter=family.kind == "counter")
        except Unusable:
            self._drop("point", 1)
            return
        series.time = point.time_unix_nano
        family.series[which] = series
        instance.series.add((family.name, which))

    def _drop(self, reason: str, count: int) -> None:
        if count and not self._dropped[reason]:
            _log.warning("metrics are left out of /metrics, counted as %r", reason)
        self._dropped[reason] += count


def _identity(resource: Any) -> tuple[str, str]:
    """Return job and instance of a resource; a process without an id goes by host and pid."""
    known = {one.key: text(one.value) for one in resource}
    space, name, instance = (known.get(key, "") for key in _IDENTITY)
    if not instance and (pid := known.get("process.pid")):
        instance = f"{known.get('host.name', '')}:{pid}"
    return (f"{space}/{name}" if space and name else name or space), instance


def _named(found: tuple[str, str]) -> dict[str, str]:
    return {"job": found[0], "instance": found[1]}


def _scope(scope: Any) -> dict[str, str]:
    own = {"otel_scope_name": scope.name, "otel_scope_version": scope.version}
    return own | {f"otel_scope_{name}": value for name, value in labels(scope.attributes, {})}


def _kind(metric: Any) -> tuple[Any, str, int]:
    """Return a metric's data, its kind in our words, and its temporality."""
    which = metric.WhichOneof("data")
    data = getattr(metric, which) if which else None
    match which:
        case "sum":
            kind = "counter" if metric.sum.is_monotonic else "updown"
            return data, kind, metric.sum.aggregation_temporality
        case "histogram":
            return data, "histogram", metric.histogram.aggregation_temporality
        case "exponential_histogram":
            return data, "exponential", metric.exponential_histogram.aggregation_temporality
        case None:
            return None, "", _CUMULATIVE
        case kind:
            return data, kind, _CUMULATIVE


def _size(metric: Any) -> int:
    data, _, _ = _kind(metric)
    return 0 if data is None else len(data.data_points)


def _ends(name: str, unit: str) -> bool:
    return name.endswith(f"_{unit}")
