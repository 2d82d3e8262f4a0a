"""The board: six figures to look at first, then graphs of every metric of the catalog.

Titles and order are written here; names, units, labels and descriptions come from the catalog.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as looks, dashboard as parts

from dashboards.queries import (
    METRICS,
    error_ratio,
    legend,
    level,
    quantile,
    rate,
    series,
    within,
)

__all__ = ["BOARD", "board", "text"]

BOARD = Path(__file__).parent / "grafana" / "overview.json"

CALLS, WORK = "rpc.client.call.duration", "rpc.server.call.duration"
CONTENTIONS = "catena.chain.contentions"
ACTIVE, WORKERS = "catena.worker.calls.active", "catena.workers"

_SOURCE = parts.DataSourceRef(type_val="prometheus", uid="${source}")
_UNITS = {"s": "s", "By": "bytes"}


@dataclass(frozen=True, slots=True)
class Query:
    """One line of a panel, or one for each value of its labels."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph of one metric."""

    title: str
    metric: str
    queries: tuple[Query, ...]
    unit: str
    about: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, and the value from which it is red; it never is where ``warn`` is None."""

    title: str
    metric: str
    expression: str
    unit: str = "short"
    warn: float | None = None


FIGURES = (
    Figure("Calls", CALLS, rate(CALLS), "reqps"),
    Figure("Calls that failed", CALLS, error_ratio(CALLS), "percentunit", 0.01),
    Figure("Call duration, 99th percentile", CALLS, quantile(CALLS, 0.99), "s"),
    Figure("Calls running", ACTIVE, level(ACTIVE)),
    Figure("Workers by state", WORKERS, level(WORKERS, "catena.state")),
    Figure("Contentions", CONTENTIONS, within(CONTENTIONS), warn=0.5),
)


def panel_of(title: str, metric: str, *by: str) -> Panel:
    """Return the graph of a metric: a counter's rate, a level, or two quantiles."""
    found = METRICS[metric]
    name = " ".join(legend(one) for one in by) or title.lower()
    match found.kind:
        case "histogram":
            queries = tuple(
                Query(quantile(metric, part, *by), f"{part:.0%} {name if by else ''}".strip())
                for part in (0.5, 0.99)
            )
            unit = _UNITS[found.unit]
        case "counter":
            queries = (Query(rate(metric, *by), name),)
            unit = f"suffix: {found.unit.strip('{}')}s/s"
        case _:
            queries = (Query(level(metric, *by), name),)
            unit = "short"
    return Panel(title, metric, queries, unit, found.description)


def calls_panel(title: str, metric: str, *by: str) -> Panel:
    """Return the graph of how many values a histogram of calls counts."""
    names = " ".join(legend(one) for one in by)
    return Panel(
        title,
        metric,
        (Query(rate(metric, *by), names),),
        "reqps",
        "How many calls ended per second.",
    )


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Calls",
        (
            calls_panel("Calls by routine", CALLS, "rpc.method"),
            calls_panel("Calls by status and error", CALLS, "rpc.status_code", "error.type"),
            panel_of("How long the caller waited", CALLS),
            panel_of("How long the routine took on its worker", WORK),
            panel_of("Time from sending to start", "catena.dispatch.queue.duration"),
            panel_of("Calls running, by process", ACTIVE, "instance"),
            panel_of("Calls refused by workers", "catena.calls.nacked", "catena.nack.code"),
            panel_of(
                "Calls refused, counted there", "catena.worker.calls.refused", "catena.nack.code"
            ),
            panel_of("Calls made again after a worker was lost", "catena.calls.retried"),
            panel_of("Minutes in which calls waited for a minute or longer", "catena.calls.waited"),
            panel_of("Workers found or launched", "catena.members", "catena.member.source"),
            panel_of("Records that name another worker", "catena.records.refused"),
            panel_of("Workers that did not answer", "catena.workers.suspected"),
            panel_of("Workers killed for not answering", "catena.workers.given_up"),
            panel_of("Routines that went on after their time", "catena.routines.overran"),
            panel_of("Log records of workers dropped", "catena.log.dropped"),
            panel_of("Payload size of frames", "catena.frame.size", "catena.direction"),
        ),
    ),
    (
        "Context",
        (
            panel_of("Contentions", CONTENTIONS, "catena.kind"),
            panel_of("Mounts", "catena.chain.mounts", "catena.direction"),
            panel_of("Unmounts", "catena.chain.unmounts"),
            panel_of("Forks", "catena.chain.forks"),
            panel_of("Token resets", "catena.token.resets", "catena.outcome"),
            panel_of("Size of manifests", "catena.manifest.size", "catena.direction"),
            panel_of(
                "Serialization failures",
                "catena.serialization.failures",
                "catena.direction",
                "error.type",
            ),
            panel_of("Variables left out", "catena.entries.lost", "catena.direction"),
            panel_of("Task factories displaced", "catena.task_factory.displacements"),
        ),
    ),
    (
        "Proxies",
        (
            panel_of("Leases", "catena.proxy.leases", "catena.source", "catena.outcome"),
            panel_of("Leases by state", "catena.proxy.lease.active", "catena.state"),
            panel_of("Duration of leases", "catena.proxy.lease.duration", "catena.outcome"),
        ),
    ),
    (
        "Background tasks",
        (
            panel_of("Tasks submitted", "catena.background.submitted", "catena.outcome"),
            panel_of("Runs of tasks", "catena.background.runs", "catena.outcome"),
            panel_of(
                "Runs by the release that submitted them",
                "catena.background.runs",
                "catena.producer.release",
            ),
            panel_of("Age of snapshots", "catena.background.snapshot.age"),
            panel_of("Snapshots nearly lost", "catena.background.snapshots.nearly_lost"),
            panel_of(
                "Snapshots that could not be used",
                "catena.background.snapshots.refused",
                "catena.snapshot.fault",
            ),
            panel_of("Queues that did not answer", "catena.background.queue.failures"),
            panel_of("Values that had expired", "catena.background.values.expired"),
            panel_of("Workers seen without context", "catena.background.workers.lacking"),
        ),
    ),
    (
        "Processes",
        (
            panel_of("Workers", WORKERS, "catena.state"),
            panel_of("How late the event loop's timer fired", "catena.worker.event_loop.lag"),
            panel_of(
                "Links by version", "catena.links", "catena.version.local", "catena.version.remote"
            ),
            panel_of("Protocol versions refused", "catena.version.refusals"),
            panel_of("Peers refused", "catena.peer.refusals"),
            panel_of("Breaches of the protocol", "catena.protocol.breaches", "catena.kind"),
            panel_of("TLS connections without a call", "catena.handshakes.failed"),
            panel_of("Credentials that could not be used", "catena.credentials.failures"),
            panel_of("Frames dropped", "catena.frames.dropped", "catena.kind"),
            panel_of(
                "Telemetry lost, by reason",
                "catena.telemetry.dropped",
                "catena.signal",
                "catena.reason",
            ),
        ),
    ),
)


def board() -> Any:
    """Return the board."""
    made = (
        dashboard.Dashboard("Catena: overview")
        .uid("catena-overview")
        .description("Calls, context, proxies and processes: every metric of Catena's catalog.")
        .tags(["catena"])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(parts.DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    made.with_variable(dashboard.DatasourceVariable("source").label("Source").type("prometheus"))
    made.with_variable(_choice("job", "Service", ""))
    made.with_variable(_choice("instance", "Process", 'job=~"$job"'))
    ids = count(1)
    for figure in FIGURES:
        made.with_panel(_figure(figure).id(next(ids)))
    for title, panels in ROWS:
        made.with_row(dashboard.Row(title).id(next(ids)))
        for panel in panels:
            made.with_panel(_graph(panel).id(next(ids)))
    return made.build()


def text() -> str:
    """Return the board as JSON, as it is kept."""
    return json.dumps(board(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _choice(label: str, title: str, among: str) -> Any:
    """Return a variable whose values are those of a label, all of them unless some are chosen."""
    # Every process counts its unmounts from zero on.
    every = series("catena.chain.unmounts")
    chosen = f"{every}{{{among}}}" if among else every
    return (
        dashboard.QueryVariable(label)
        .label(title)
        .datasource(_SOURCE)
        .query(f"label_values({chosen}, {label})")
        .refresh(parts.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(parts.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(parts.VariableOption(selected=True, text="All", value="$__all"))
    )


def _figure(figure: Figure) -> Any:
    steps = [parts.Threshold(value=None, color="green")]
    if figure.warn is not None:
        steps.append(parts.Threshold(value=figure.warn, color="red"))
    name = "{{catena_state}}" if "by (catena_state)" in figure.expression else ""
    return (
        stat.Panel()
        .title(figure.title)
        .description(METRICS[figure.metric].description)
        .datasource(_SOURCE)
        .with_target(_query(Query(figure.expression, name), "A"))
        .unit(figure.unit)
        .color_scheme(dashboard.FieldColor().mode(parts.FieldColorModeId.THRESHOLDS))
        .thresholds(dashboard.ThresholdsConfig().mode(parts.ThresholdsMode.ABSOLUTE).steps(steps))
        .graph_mode(looks.BigValueGraphMode.NONE)
        .height(4)
        .span(4)
    )


def _graph(panel: Panel) -> Any:
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(f"{panel.about} (`{panel.metric}`)")
        .datasource(_SOURCE)
        .unit(panel.unit)
        .min(0)
        .fill_opacity(8)
        .show_points(looks.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(looks.LegendDisplayMode.LIST)
            .placement(looks.LegendPlacement.BOTTOM)
        )
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI))
        .height(7)
        .span(6)
    )
    for query, name in zip(panel.queries, "ABCD", strict=False):
        made.with_target(_query(query, name))
    return made


def _query(query: Query, name: str) -> Any:
    return (
        prometheus.Dataquery()
        .datasource(_SOURCE)
        .expr(query.expression)
        .legend_format(query.legend or "__auto")
        .exemplar(True)
        .range()
        .ref_id(name)
    )
