"""The benchmark's section of telemetry: pairs, quartiles, aims, page, and what is made by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from unittest.mock import Mock, patch

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, get_current_span, set_span_in_context, use_span

from tests.benchmarks import measure, plan, report_telemetry
from tests.benchmarks.plan import (
    AT_DISPATCH,
    AT_FULL,
    CPU_1,
    GUARD,
    GUARDS,
    HAND_DISPATCH,
    HAND_FULL,
    HAND_ROOT,
    LOADS,
    MODES,
    P50,
    PER_CALL,
    PER_GUARD,
    ROOT,
    SILENT,
    SPANS_DISPATCH,
    SPANS_FULL,
    TELEMETRY,
    WITHIN,
    BenchmarkError,
    Sample,
    Settings,
    Variant,
)
from tests.benchmarks.ratios import Finding, Spread
from tests.benchmarks.report_telemetry import COUNTED, ROW
from tests.benchmarks.systems.catena_routines import mark
from tests.benchmarks.systems.common import MARK
from tests.benchmarks.systems.telemetry_client import complete
from tests.benchmarks.systems.telemetry_routines import echo
from tests.benchmarks.systems.telemetry_sdk import Sdk, Shape, outer
from tests.dispatch.ends import connected
from tests.support import isolated, run

SETTINGS = Settings(repeats=7, seconds=0.5, seed=7, sections=(TELEMETRY,))

# µs of a call by mode, in four repeats; the second machine is twice as slow.
CALLS = {
    SILENT: (100.0, 200.0, 100.0, 100.0),
    HAND_ROOT: (102.0, 204.0, 102.0, 102.0),
    ROOT: (104.0, 208.0, 104.0, 112.0),
    WITHIN: (103.0, 206.0, 103.0, 103.0),
    HAND_DISPATCH: (140.0, 280.0, 140.0, 140.0),
    AT_DISPATCH: (150.0, 300.0, 150.0, 150.0),
    HAND_FULL: (200.0, 400.0, 200.0, 200.0),
    AT_FULL: (220.0, 440.0, 220.0, 260.0),
}


def told(variant: Variant, metric: str, values: tuple[float, ...]) -> list[Sample]:
    """One sample per repeat."""
    return [
        Sample(repeat, variant, metric, value, count=10, seconds=0.5)
        for repeat, value in enumerate(values, start=1)
    ]


SAMPLES = [
    sample
    for mode, values in CALLS.items()
    for load in LOADS
    for sample in told(ROW, f"{mode}, {load}", values)
]
for name, value in ((GUARDS, 10.0), (GUARD, 20.0), (SPANS_DISPATCH, 2.0), (SPANS_FULL, 5.0)):
    SAMPLES += told(ROW, name, (value,) * 4)
WITH_COUNT = SAMPLES + told(COUNTED, PER_CALL, (1e6,)) + told(COUNTED, PER_GUARD, (200.0,))


def found(what: str) -> Finding:
    """The one aim of that text."""
    [one] = [one for one in report_telemetry.findings(SAMPLES) if one.what == what]
    return one


def test_a_full_run_has_all_pairs_and_one_count() -> None:
    """Budget: at least nine interleaved pairs; a smoke run has as many as it says."""
    rows = plan.variants(replace(SETTINGS, has_callgrind=True))

    orders = plan.shuffled(rows, replace(SETTINGS, has_callgrind=True))
    quick = plan.shuffled(rows, replace(SETTINGS, repeats=2))

    assert rows == [ROW, COUNTED]
    assert plan.PAIRS >= 9
    assert [(ROW,) in order for order in orders] == [True] * plan.PAIRS
    assert [(COUNTED,) in order for order in orders] == [True] + [False] * (plan.PAIRS - 1)
    assert len(quick) == 2
    assert plan.variants(SETTINGS) == [ROW]


def test_other_sections_keep_their_repeats() -> None:
    """The pairs of one section make no other longer, and each of its repeats is interleaved."""
    settings = replace(SETTINGS, sections=plan.SECTIONS)
    orders = plan.shuffled(plan.variants(settings), settings)

    places = [list(chain.from_iterable(order)) for order in orders]
    assert [len([row for row in order if row.section != TELEMETRY]) for order in places] == (
        [len(plan.variants(settings)) - 1] * 7 + [0] * (plan.PAIRS - 7)
    )


def test_every_mode_is_told_at_every_load() -> None:
    """The rows' metrics are what the page is made of."""
    assert set(ROW.metrics) == {sample.metric for sample in SAMPLES}
    assert set(COUNTED.metrics) == {PER_CALL, PER_GUARD}


def test_quartiles_are_told_and_not_extremes() -> None:
    """Budget: median and quartiles; too few values have extremes only."""
    assert Spread.quartiles([1, 2, 3, 4, 100]) == Spread(3, 2, 4)
    assert Spread.quartiles([1, 3]) == Spread(2, 1, 3)
    with pytest.raises(BenchmarkError):
        Spread.quartiles([])


def test_what_is_added_is_taken_within_each_repeat() -> None:
    """4, 4, 4 and 12 per cent over no SDK; guards are 10 x 20 ns of 100 µs."""
    reached = found(f"{ROOT}, {report_telemetry.WORDS[P50]}").reached
    assert (reached.median, reached.least, reached.greatest) == pytest.approx((4, 4, 6))
    guards = found(f"no SDK, guard tests, {report_telemetry.WORDS[CPU_1]}")
    assert guards.reached.median == pytest.approx(0.2)
    assert not guards.missed_by


def test_what_we_add_is_told_in_what_the_bare_sdk_takes() -> None:
    """10 µs over 40 by hand at dispatch; 20, 40, 20 and 60 over 100, 200, 100 and 100 at full."""
    at = report_telemetry.WORDS[CPU_1]
    few, many = (found(f"{mode}, {at}, over the bare SDK") for mode in (AT_DISPATCH, AT_FULL))

    assert few.reached == Spread(25, 25, 25)
    assert not few.missed_by
    assert many.reached == Spread(20, 20, 30)
    worse = replace(many, reached=Spread(30.5, 1, 2))
    assert report_telemetry.line(worse).endswith(
        "at most 25%, reached 30.50% (1.00 to 2.00), **missed** by 5.50%"
    )


def test_the_section_tells_every_aim_and_every_mode() -> None:
    """Tables of as many cells as their headings have, aims, instructions, spans."""
    whole = report_telemetry.section(WITH_COUNT)

    assert len({line.count("|") for line in whole if line.startswith("|")}) == 1
    assert sum(line.startswith("| ") for line in whole) == 2 * 2 + 2 * len(MODES) - 1
    assert sum("at most" in line for line in whole) == len(report_telemetry.findings(SAMPLES)) == 14
    assert "- Instructions: 200 for one of 10.0 guard tests, 1,000,000 for a call: 0.20%" in whole
    assert "- Spans of a call, both sides: 2 at `dispatch`, 5 at `full`" in whole
    assert any("not counted" in line for line in report_telemetry.section(SAMPLES))
    assert report_telemetry.section([]) == ["Not measured in this run."]


@isolated
def test_by_hand_the_same_spans_are_made() -> None:
    """Budget: the bare SDK makes the spans that Catena has made, with their attributes."""
    sdk = Sdk()
    mark.set(MARK)

    async def work() -> None:
        async with connected():
            await measure.one_by_one(echo, measure.Budget(3, 5.0))

    try:
        sdk.switch(AT_FULL)
        run(work())
        sdk.learn("echo")
        ours = list(sdk.exporter.kept)[-len(sdk.shapes) :]
        sdk.switch(HAND_FULL)
        assert sdk.hand is not None
        sdk.hand()
        sdk.flush()
        by_hand = list(sdk.exporter.kept)[-len(sdk.shapes) :]
    finally:
        sdk.switch(SILENT)
        for provider in (sdk.on, sdk.off, sdk.meters):
            provider.shutdown()

    assert len(ours) >= 5
    assert sorted(one.name for one in by_hand) == sorted(one.name for one in ours)
    assert {one.kind for one in by_hand} == {SpanKind.CLIENT, SpanKind.SERVER, SpanKind.INTERNAL}
    assert len({one.context.trace_id for one in by_hand}) == 1
    names = {(one.name, one.kind): sorted(one.attributes) for one in ours}
    assert {(one.name, one.kind): sorted(one.attributes) for one in by_hand} == names


@isolated
def test_by_hand_a_root_is_dropped_and_a_duration_recorded() -> None:
    """Budget: one decision where the trace begins, none where the parent has decided."""
    sdk = Sdk()
    sdk.shapes = [Shape(sdk.dropping, "echo", SpanKind.CLIENT, {}, (), "")]
    decided = Mock(wraps=sdk.dropping.start_span)
    recorded = Mock(wraps=sdk.duration.record)
    try:
        sdk.switch(HAND_ROOT)
        assert sdk.hand is not None
        with patch.object(sdk.dropping, "start_span", decided):
            sdk.duration = Mock(record=recorded)
            sdk.hand()
            sdk.parent = set_span_in_context(outer(), Context())
            sdk.hand()
    finally:
        for provider in (sdk.on, sdk.off, sdk.meters):
            provider.shutdown()

    assert (decided.call_count, recorded.call_count, sdk.exporter.count) == (1, 2, 0)


def test_within_a_trace_is_within_one_that_is_not_sampled() -> None:
    """Budget: the client's own span, as long as the pass takes."""
    with use_span(outer()):
        found = get_current_span().get_span_context()
    assert found.is_valid
    assert not found.trace_flags.sampled
    assert not get_current_span().get_span_context().is_valid


def test_a_span_that_was_dropped_ends_the_run() -> None:
    """What the SDK did not export is no cheap span."""
    with pytest.raises(RuntimeError, match="5 spans were made, 4"):
        complete(4, 5)
