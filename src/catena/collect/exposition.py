"""The text that a scraper reads: OpenMetrics 1.0, or Prometheus' older format without exemplars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate

from catena.collect.series import Exemplar, Histogram, Number, Series, Summary
from catena.collect.translate import Labels

__all__ = ["CONTENT_TYPE", "PLAIN_TYPE", "Family", "Sample", "own", "render"]

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_GO_DIGITS = 1e6
"""From here on Go, whose spelling of bounds is the canonical one, writes an exponent."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of our own, with nothing to add up."""

    value: float


@dataclass(slots=True)
class Family:
    """Series of one name: kind as OpenMetrics has it, the unit that ends the name, the help."""

    name: str
    kind: str
    unit: str
    help: str
    series: dict[Labels, Series | Sample] = field(default_factory=dict[Labels, Series | Sample])


def own(
    received: Mapping[str, int],
    refused: Mapping[str, int],
    dropped: Mapping[str, int],
    *,
    instances: int,
    series: int,
) -> list[Family]:
    """Return what a receiver tells about itself."""
    counters = (
        ("received", "signal", "Spans, metric points and log records that arrived.", received),
        ("refused", "reason", "Requests that were not taken.", refused),
        ("dropped", "reason", "Metric points that are not shown here.", dropped),
    )
    found = [
        Family(
            f"catena_collect_{name}",
            "counter",
            "",
            about,
            {((label, each),): Sample(value) for each, value in values.items()},
        )
        for name, label, about, values in counters
    ]
    gauges = (
        ("instances", "Processes that sent metrics lately.", instances),
        ("series", "Series of these processes.", series),
    )
    return found + [
        Family(f"catena_collect_{name}", "gauge", "", about, {(): Sample(value)})
        for name, about, value in gauges
    ]


def render(families: Iterable[Family], *, openmetrics: bool) -> str:
    """Return the text of the families that have series."""
    lines: list[str] = []
    for family in families:
        if family.series:
            lines += _head(family, openmetrics=openmetrics)
            for labels, series in family.series.items():
                lines += _samples(family, labels, series, openmetrics=openmetrics)
    if openmetrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _head(family: Family, *, openmetrics: bool) -> Iterator[str]:
    name, kind = family.name, family.kind
    if not openmetrics:
        name += {"counter": "_total", "info": "_info"}.get(kind, "")
        kind = "gauge" if kind == "info" else kind
    yield f"# TYPE {name} {kind}"
    if family.unit and openmetrics:
        yield f"# UNIT {name} {family.unit}"
    if family.help:
        told = family.help.replace("\\", "\\\\").replace("\n", "\\n")
        yield f"# HELP {name} " + (told.replace('"', '\\"') if openmetrics else told)


def _samples(
    family: Family, labels: Labels, series: Series | Sample, *, openmetrics: bool
) -> Iterator[str]:
    name = family.name
    match series:
        case Number() | Sample():
            name += {"counter": "_total", "info": "_info"}.get(family.kind, "")
            exemplar = series.exemplar if isinstance(series, Number) and openmetrics else None
            yield _line(name, labels, series.value, exemplar)
        case Histogram():
            yield from _histogram(name, labels, series, openmetrics=openmetrics)
        case Summary():
            for quantile, value in series.quantiles:
                yield _line(name, (*labels, ("quantile", _canonical(quantile))), value)
            yield _line(f"{name}_count", labels, series.count)
            yield _line(f"{name}_sum", labels, series.sum)


def _histogram(name: str, labels: Labels, series: Histogram, *, openmetrics: bool) -> Iterator[str]:
    ends = [*series.bounds, math.inf]
    for place, count in enumerate(accumulate(series.counts)):
        exemplar = series.exemplars.get(place) if openmetrics else None
        which = (*labels, ("le", _canonical(ends[place])))
        yield _line(f"{name}_bucket", which, count, exemplar)
    # With a sum that can fall, OpenMetrics has neither sum nor count.
    if series.sum is not None and series.sum >= 0 and ends[0] >= 0:
        yield _line(f"{name}_count", labels, sum(series.counts))
        yield _line(f"{name}_sum", labels, series.sum)


def _line(name: str, labels: Labels, value: float, exemplar: Exemplar | None = None) -> str:
    whole = f"{name}{_braced(labels) if labels else ''} {_number(value)}"
    if exemplar is None:
        return whole
    seen = f" # {_braced(exemplar.labels)} {_number(exemplar.value)}"
    return whole + seen + (f" {exemplar.time:.3f}" if exemplar.time else "")


def _braced(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def _canonical(value: float) -> str:
    """Return a bound as OpenMetrics spells it: ``0.005``, ``1.0``, ``1e+06``."""
    if not math.isfinite(value) or abs(value) < _GO_DIGITS:
        return _number(float(value))
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    first, *rest = (str(digit) for digit in digits)
    power = len(digits) - 1 + int(exponent)
    return f"{'-' * sign}{first}{'.' * bool(rest)}{''.join(rest)}e+{power:02d}"
