"""PromQL over the catalog: names as Prometheus has them, and one question for each kind of metric.

The rule: every query adds series up, so what a scope or a version adds to them as labels is gone.
"""

from __future__ import annotations

from catena.collect.translate import family_name, label_name
from catena.telemetry.catalog import metrics_of
from catena.telemetry.rows import Metric

__all__ = [
    "METRICS",
    "error_ratio",
    "legend",
    "level",
    "quantile",
    "rate",
    "rise",
    "series",
    "within",
]

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
    """Ask how often something happens, in a second; of a histogram, how many values come."""
    name = series(metric, "count" if METRICS[metric].kind == "histogram" else "")
    return f"{_summed(metric, *by)}(rate({name}{_CHOSEN}{_INTERVAL}))"


def level(metric: str, *by: str) -> str:
    """Ask how much there is of something."""
    return f"{_summed(metric, *by)}({series(metric)}{_CHOSEN})"


def within(metric: str, *by: str) -> str:
    """Ask how often something happened in the time that the board shows."""
    every = ("job", "instance", *METRICS[metric].labels)
    return f"{_summed(metric, *by)}({rise(metric, *every, time='$__range', chosen=_CHOSEN)})"


def rise(metric: str, *by: str, time: str, chosen: str = "") -> str:
    """Ask by how much a counter rose within a time, in each of the groups that ``by`` makes.

    An increase leaves out what a series was born with, and what came while nobody scraped it. So
    the last value from before that time, at most a day old, counts as well: zero where there was
    none, because then the group is new. The larger of the two is the answer.
    """
    one = f"{series(metric)}{chosen}"
    group, each = _summed(metric, *by), _grouped("max", metric, *by)
    most = f"{each}(max_over_time({one}[{time}]))"
    before = f"({each}(last_over_time({one}[1d] offset {time})) or 0 * {most})"
    since = f'label_replace({most} - {before} > 0, "since", "before", "", "")'
    return f"{each}({group}(increase({one}[{time}])) or {since})"


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
    return _grouped("sum", metric, *by)


def _grouped(how: str, metric: str, *by: str) -> str:
    known = {*METRICS[metric].labels, "le", "job", "instance"}
    if not known.issuperset(by):
        raise ValueError(f"{metric} has no label {', '.join(sorted(set(by) - known))}")
    names = ", ".join(label_name(one) for one in by)
    return f"{how} by ({names}) " if names else how
