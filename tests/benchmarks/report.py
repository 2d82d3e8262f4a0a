"""Turns a finished run into the published page and into the raw samples. Pure functions."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

from . import report_engines, report_micro, report_telemetry, report_variables
from .markdown import number, table, times
from .plan import (
    ITEMS,
    METRICS,
    P50,
    PEERS,
    RATE_100,
    RATE_1000,
    BenchmarkError,
    Facts,
    Sample,
    Settings,
    Variant,
)
from .ratios import pairs, ratio, spread, verdicts

HEADINGS: Final = {
    P50: "p50 µs, one call in flight",
    RATE_100: "calls/s, 100 in flight",
    RATE_1000: "calls/s, 1000 in flight",
    ITEMS: "generator, items/s",
}
LOOP_WORDS: Final = {
    "uvloop": "uvloop on both sides",
    "asyncio": "asyncio on both sides",
    "default": "each system's default",
}


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run with all that is needed to judge it.

    `versions` are a line for each environment; `machine` names cores and platform, never a host;
    `raw` is the file with the raw samples, relative to the checkout.
    """

    settings: Settings
    date: str
    commit: str
    versions: dict[str, str]
    machine: str
    load: float
    facts: dict[Variant, Facts]
    samples: tuple[Sample, ...]
    raw: str

    @property
    def rows(self) -> list[Variant]:
        """The measured rows of the peers' section in the order of the table."""
        return [row for row in self.facts if row.section == PEERS]


def page(run: Run) -> str:
    """The whole page, as Markdown."""
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "Written by `make bench`; edits are lost. One run on one machine. The speed of such a",
            "machine varies by a factor of two between runs, so only the ratios are results: they",
            "are taken within each repeat, in which all systems take turns. The absolute numbers",
            "are there to check the ratios.",
            "",
            "## Ratios",
            "",
            *ratio_table(run, "wool", "Catena relative to wool"),
            "",
            *ratio_table(run, "echo", "Catena relative to the bare echo"),
            "",
            "## Targets",
            "",
            *target_lines(run),
            "",
            "## Figures",
            "",
            *figure_table(run),
            "",
            "## Other engines",
            "",
            *report_engines.section(run.samples, run.facts),
            "",
            "## Context variables",
            "",
            *report_variables.section(run.samples),
            "",
            "## Micro costs",
            "",
            *report_micro.section(run.samples),
            "",
            "## Telemetry",
            "",
            *report_telemetry.section(run.samples),
            "",
            "## Settings",
            "",
            *setting_lines(run),
            "",
            "## What is measured",
            "",
            *METHOD,
            *report_engines.METHOD,
            *report_variables.METHOD,
            *report_micro.METHOD,
            *report_telemetry.METHOD,
            "",
        ]
    )


METHOD: Final = (
    "- The routine returns its argument after it has checked, on the worker, a context",
    "  variable that the client has set. The client compares every answer with the argument",
    "  that it sent.",
    "- A block is one system in a client process of its own: the client starts its workers,",
    "  makes sure that each of them answers, warms up before each metric, and measures all",
    "  four metrics. Every repeat runs all blocks once, in a new random order.",
    "- With 100 and 1000 calls in flight, 100 and 1000 tasks each await one call after the",
    "  other. The generator is consumed item by item, 200 items each, one generator at a",
    "  time.",
    "- The bare echo is `grpc.aio` and nothing else: one bidirectional stream per server",
    "  process, fixed frames gathered per turn of the loop, no routine, no pickle, no",
    "  context. Its generator column is one echo per item, awaited before the next.",
    "- Cells are the median over the repeats, with the least and the greatest value in",
    "  parentheses.",
)


def ratio_table(run: Run, peer: str, title: str) -> list[str]:
    """Catena against one peer; above 1 Catena is better. Empty when the peer was not measured."""
    rows = [
        [LOOP_WORDS[ours.loop], str(ours.workers)]
        + [times(ratio(run.samples, ours, theirs, metric)) for metric in METRICS]
        for ours, theirs in pairs(run.rows, peer)
    ]
    if not rows:
        return [f"{title}: not measured in this run."]
    headings = ["loop", "workers", *HEADINGS.values()]
    return [f"{title} (latencies inverted, so that more is better):", "", *table(headings, rows)]


def figure_table(run: Run) -> list[str]:
    """The absolute figures with the loops that client and workers said they ran on."""
    rows = [
        [variant.system, facts.client_loop, facts.worker_loop, str(variant.workers)]
        + [number(spread(run.samples, variant, metric)) for metric in METRICS]
        + [facts.limits]
        for variant, facts in run.facts.items()
        if variant.section == PEERS
    ]
    if not rows:
        return ["Not measured in this run."]
    headings = ["system", "client loop", "worker loop", "workers", *HEADINGS.values(), "limits"]
    return table(headings, rows)


def target_lines(run: Run) -> list[str]:
    """Which targets are met, a line for each; a missed one is news, no failure."""
    lines = [
        f"- {HEADINGS[verdict.metric]}, {LOOP_WORDS[verdict.loop]}, workers: {verdict.workers}: "
        f"target {verdict.target:g}x, reached {times(verdict.ratio)}, "
        f"**{'met' if verdict.is_met else 'missed'}**"
        for verdict in verdicts(run.samples, run.rows)
    ]
    return lines or ["Catena and wool were not both measured in this run."]


def setting_lines(run: Run) -> list[str]:
    """What one must know to judge the figures, or to get them again."""
    settings = run.settings
    return [
        f"- Date: {run.date}; commit: {run.commit}",
        f"- Machine: {run.machine}; load average before the run: {run.load:.1f}",
        *(f"- Environment of {name}: {versions}" for name, versions in run.versions.items()),
        f"- Sections: {', '.join(settings.sections)}",
        f"- Repeats: {settings.repeats}, shuffled with seed {settings.seed}",
        f"- Time for each metric of a block: {settings.seconds:g} s",
        f"- Raw samples, on the machine of the run: `{run.raw}`",
    ]


def kept(text: str, raw: str) -> Run:
    """The run that `raw_samples` told; `raw` is its file. Raises BenchmarkError for other text."""
    try:
        told = json.loads(text)
        settings = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in told["settings"].items()
        }
        rows = [
            (
                Variant(row["loop"], row["workers"], row["system"], row["section"]),
                Facts(row["client_loop"], row["worker_loop"], row["limits"]),
            )
            for row in told["rows"]
        ]
        samples = tuple(Sample.from_json(sample) for sample in told["samples"])
        facts = [told[name] for name in ("date", "commit", "versions", "machine", "load")]
        return Run(Settings(**settings), *facts, dict(rows), samples, raw)
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{raw} holds no raw samples: {type(error).__name__}: {error}"
        raise BenchmarkError(reason) from None


def raw_samples(run: Run) -> str:
    """Everything as JSON: settings, versions, facts, and each sample with its latencies."""
    document = {
        "settings": asdict(run.settings),
        "date": run.date,
        "commit": run.commit,
        "versions": run.versions,
        "machine": run.machine,
        "load": run.load,
        "rows": [{**asdict(row), **asdict(facts)} for row, facts in run.facts.items()],
        "samples": [sample.as_json() for sample in run.samples],
    }
    return json.dumps(document, ensure_ascii=False) + "\n"
