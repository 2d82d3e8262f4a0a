"""PromQL over the catalog: names as Prometheus has them, and one question for each kind of metric.

The rule: every query adds series up, so what a scope or a version adds to them as labels is gone.
"""

from __future__ import annotations

from catena.collect.translate import family_name, label_name
from catena.telemetry.catalog import metrics_of
from catena.telemetry.rows import Metric

__all__ = ["METRICS", "error_ratio", "legend", "level", "quantile", "rate", "series", "within"]

METRICS: dict[str, Metric] = {one.name: one for one in metrics_of()}

_CHOSEN = '{job=~"$job",instance=~"$instance"}'
_INTERVAL = "[$__rate_interval]"


def series(metric: str, part: str = "") -> str:
    """Return the name of a metric's series; ``part`` is ``bucket``, ``count`` or ``sum``.

    Raises KeyError for a metric that the catalog lacks, ValueError for a part that it has not.
    """
    found = METRICS[metric]
    if (found.kind == "histogram") != (part in ("bucket", "count", "sum")):
        raise ValueError(f"a {found.kind} has no part {part!r}")
    kind = found.kind if found.kind in ("counter", "histogram") else "gauge"
    suffix = "total" if kind == "counter" else part
    name = family_name(found.name, found.unit, kind)
    return f"{name}_{suffix}" if suffix else name


def rate(metric: str, *by: str) -> str:
    """Ask how often something happens, in a second; of a histogram, how many values come.

    A counter whose series are not there from the start is zero until then, and has no labels.
    """
    found = METRICS[metric]
    name = series(metric, "count" if found.kind == "histogram" else "")
    asked = f"{_summed(metric, *by)}(rate({name}{_CHOSEN}{_INTERVAL}))"
    if found.zero or found.kind == "histogram":
        return asked
    if by:
        raise ValueError(f"{metric} is not zero from the start: a label would hide that")
    return f"{asked} or vector(0)"


def level(metric: str, *by: str) -> str:
    """Ask how much there is of something."""
    return f"{_summed(metric, *by)}({series(metric)}{_CHOSEN})"


def within(metric: str, *by: str) -> str:
    """Ask how often something happened in the time that the board shows.

    An increase leaves out what a series began with; of one that began in that time it is added.
    """
    counted = f"{series(metric)}{_CHOSEN}"
    began = f"max_over_time({counted}[$__range]) unless {counted} offset $__range"
    return f"{_summed(metric, *by)}(({began}) or increase({counted}[$__range]))"


def quantile(metric: str, part: float, *by: str) -> str:
    """Ask below which value a part of the values lies."""
    buckets = f"rate({series(metric, 'bucket')}{_CHOSEN}{_INTERVAL})"
    return f"histogram_quantile({part:g}, {_summed(metric, 'le', *by)}({buckets}))"


def error_ratio(metric: str) -> str:
    """Ask which part of the calls failed; 0 where none did."""
    name = series(metric, "count")
    failed = _CHOSEN.replace("}", ',error_type!=""}')
    every = f"sum(rate({name}{_CHOSEN}{_INTERVAL}))"
    return f"(sum(rate({name}{failed}{_INTERVAL})) or vector(0)) / {every}"


def legend(label: str) -> str:
    """Return what Grafana replaces by the value of a label."""
    return f"{{{{{label_name(label)}}}}}"


def _summed(metric: str, *by: str) -> str:
    known = {*METRICS[metric].labels, "le", "job", "instance"}
    if not known.issuperset(by):
        raise ValueError(f"{metric} has no label {', '.join(sorted(set(by) - known))}")
    names = ", ".join(label_name(one) for one in by)
    return f"sum by ({names}) " if names else "sum"
