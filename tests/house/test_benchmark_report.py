"""The pure part of the benchmark: medians, ratios inside a repeat, targets, order, the page."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain

import pytest

from tests.benchmarks import plan, ratios, report
from tests.benchmarks.plan import (
    ITEMS,
    METRICS,
    P50,
    RATE_100,
    RATE_1000,
    BenchmarkError,
    Facts,
    Sample,
    Settings,
    Variant,
)

CATENA = Variant("uvloop", 2, "catena")
WOOL = Variant("uvloop", 2, "wool")
ECHO = Variant("uvloop", 2, "echo")
SETTINGS = Settings(
    repeats=2, seconds=0.5, seed=7, loops=("uvloop",), workers=(2,), systems=("catena", "wool")
)

# By metric: the values of the first and of the second repeat.
OURS = {P50: (100.0, 200.0), RATE_100: (5e4, 2e4), RATE_1000: (9e4, 9e4), ITEMS: (3e3, 3e3)}
THEIRS = {P50: (500.0, 600.0), RATE_100: (1e3, 1e3), RATE_1000: (1e3, 5e2), ITEMS: (1e3, 1e3)}


def samples(variant: Variant, values: dict[str, tuple[float, ...]]) -> list[Sample]:
    """One sample per metric and repeat."""
    return [
        Sample(repeat, variant, metric, value, count=10, seconds=0.5)
        for metric, found in values.items()
        for repeat, value in enumerate(found, start=1)
    ]


SAMPLES = (*samples(CATENA, OURS), *samples(WOOL, THEIRS))


def a_run() -> report.Run:
    """Two repeats of Catena and wool."""
    facts = Facts("uvloop", "uvloop", "defaults")
    return report.Run(
        settings=SETTINGS,
        date="2025-01-02 03:04 UTC",
        commit="0123456789ab",
        versions={"wool": "CPython 3.11.7, wool 0.15.7"},
        machine="2 cores, Linux x86_64",
        load=0.25,
        facts={CATENA: facts, WOOL: facts},
        samples=SAMPLES,
        raw=".bench-results/sample.json",
    )


def test_a_latency_ratio_is_theirs_over_ours_within_each_repeat() -> None:
    """A smaller latency is better, and repeats are not mixed: 500/100 and 600/200."""
    assert ratios.ratio(SAMPLES, CATENA, WOOL, P50) == ratios.Spread(4.0, 3.0, 5.0)


def test_a_rate_ratio_is_ours_over_theirs_within_each_repeat() -> None:
    """A greater rate is better, and repeats are not mixed: 9e4/1e3 and 9e4/5e2."""
    assert ratios.ratio(SAMPLES, CATENA, WOOL, RATE_1000) == ratios.Spread(135.0, 90.0, 180.0)


def test_a_repeat_that_only_one_side_has_gives_no_ratio() -> None:
    """What was not measured together is not compared."""
    rest = [s for s in SAMPLES if not (s.variant == WOOL and s.repeat == 2)]

    assert ratios.ratio(rest, CATENA, WOOL, P50) == ratios.Spread(5.0, 5.0, 5.0)


def test_no_samples_are_an_error() -> None:
    """A cell without samples ends the report instead of showing nothing."""
    with pytest.raises(BenchmarkError, match="no samples"):
        ratios.spread(SAMPLES, ECHO, P50)


def test_a_target_is_met_by_the_median() -> None:
    """p50 reaches its 4 times exactly, throughput at 100 in flight misses its 40 times with 35."""
    found = {verdict.metric: verdict for verdict in ratios.verdicts(SAMPLES, [CATENA, WOOL])}

    assert found.keys() == {P50, RATE_100}
    assert found[P50].is_met
    assert found[RATE_100].ratio.median == 35.0
    assert not found[RATE_100].is_met


def test_rows_are_paired_on_the_same_loop_with_as_many_workers() -> None:
    """A row without its counterpart is compared with nothing else."""
    alone = Variant("default", 2, "catena")

    assert ratios.pairs([CATENA, WOOL, alone], "wool") == [(CATENA, WOOL)]


def test_each_repeat_runs_every_row_once_in_an_order_that_the_seed_decides() -> None:
    """The same seed gives the same orders, another seed gives others."""
    settings = replace(SETTINGS, repeats=7, loops=("uvloop", "default"), workers=(1, 2))
    settings = replace(settings, sections=(plan.PEERS, plan.VARIABLES, plan.MICRO))
    rows = plan.variants(settings)

    orders = plan.shuffled(rows, settings)

    assert len(orders) == 7
    assert all(sorted(chain.from_iterable(order)) == sorted(rows) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert orders == plan.shuffled(rows, settings)
    assert orders != plan.shuffled(rows, replace(settings, seed=8))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"repeats": 6}, False),
        ({"systems": ("catena", "wool")}, False),
        ({"loops": ("uvloop",)}, False),
        ({"workers": (2,)}, False),
        ({"sections": ("peers", "variables")}, False),
    ],
)
def test_only_a_full_run_is_publishable(change: dict[str, object], expected: bool) -> None:
    """The page shows at least seven repeats of every section, system, loop, number of workers."""
    full = Settings(repeats=7, seconds=0.5, seed=7)

    assert replace(full, **change).is_publishable is expected


def test_the_page_tells_ratios_targets_versions_loops_and_settings() -> None:
    """Whoever reads a ratio finds on the same page what it rests on."""
    page = report.page(a_run())

    assert "| uvloop on both sides | 2 | 4.00x (3.00-5.00) | 35.00x (20.00-50.00) |" in page
    assert "target 4x, reached 4.00x (3.00-5.00), **met**" in page
    assert "target 40x, reached 35.00x (20.00-50.00), **missed**" in page
    assert "| catena | uvloop | uvloop | 2 | 150 (100-200) | 35,000 (20,000-50,000) |" in page
    assert "commit: 0123456789ab" in page
    assert "CPython 3.11.7, wool 0.15.7" in page
    assert "shuffled with seed 7" in page
    assert "`.bench-results/sample.json`" in page
    assert "## Context variables\n\nNot measured in this run." in page
    assert "## Micro costs\n\nNot measured in this run." in page
    assert "Catena relative to the bare echo: not measured in this run." in page


def test_every_row_of_a_table_has_as_many_cells_as_its_heading() -> None:
    """A table that a Markdown reader would cut is not written."""
    lines = report.figure_table(a_run())

    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {10}


def test_the_raw_samples_hold_every_value_and_latency() -> None:
    """Every ratio on the page can be computed again from the file."""
    latencies = (90_000, 100_000, 110_000)
    one = Sample(1, CATENA, P50, 100.0, count=3, seconds=0.1, raw=latencies)

    document = json.loads(report.raw_samples(replace(a_run(), samples=(one,))))

    assert document["samples"] == [one.as_json()]
    assert document["samples"][0]["raw"] == list(latencies)
    assert document["settings"]["seed"] == 7
    assert [row["system"] for row in document["rows"]] == ["catena", "wool"]


def test_a_run_comes_back_from_its_raw_samples() -> None:
    """The page can be written anew, and says the same; another text is told from one."""
    run = replace(a_run(), samples=(replace(SAMPLES[0], raw=(1, 2), round=3), *SAMPLES[1:]))

    again = report.kept(report.raw_samples(run), run.raw)

    assert again == run
    assert report.page(again) == report.page(run)
    for text in ("", "[]", "{}", '{"settings": {"speed": 1}, "rows": [], "samples": []}'):
        with pytest.raises(BenchmarkError, match="holds no raw samples"):
            report.kept(text, run.raw)


def test_the_metrics_of_the_page_are_the_metrics_that_are_measured() -> None:
    """No metric is measured and left out, or shown and not measured."""
    assert tuple(report.HEADINGS) == METRICS
