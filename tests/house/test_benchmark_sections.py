"""The benchmark of Catena with itself: rows, values, aims, pages."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import chain

import pytest

from tests.benchmarks import plan, ratios, report_micro, report_variables
from tests.benchmarks.clients import Block
from tests.benchmarks.markdown import finding
from tests.benchmarks.plan import (
    BYTES_BACK,
    BYTES_OUT,
    DECODE,
    ENCODE,
    KINDS,
    MICRO,
    MICRO_METRICS,
    NONE,
    P50,
    PEERS,
    RATE_100,
    VALUE_BYTES,
    VARIABLES,
    BenchmarkError,
    Kind,
    Sample,
    Settings,
    Variant,
)
from tests.benchmarks.ratios import Finding, Spread
from tests.benchmarks.systems import variable_routines as routines
from tests.benchmarks.systems.common import WrongContext
from tests.benchmarks.systems.variables_client import Wire, bind, caller
from tests.support import isolated, run

SETTINGS = Settings(repeats=2, seconds=0.5, seed=7)
KIND = {kind.name: kind for kind in KINDS}
MICRO_ROW = Variant("asyncio", 0, "micro", MICRO)

# By kind and metric: the values of the first and of the second repeat.
BARE = {P50: (100.0, 200.0), RATE_100: (1e4, 2e4), BYTES_OUT: (60, 60), BYTES_BACK: (30, 30)}
VALUES = {ENCODE: (2.0, 1.0), DECODE: (3.0, 4.0), VALUE_BYTES: (1000, 1000)}
BOUND = {P50: (200.0, 300.0), RATE_100: (5e3, 2e4), BYTES_OUT: (70, 70), BYTES_BACK: (40, 40)}


def of_kind(kind: Kind, values: dict[str, tuple[float, ...]]) -> list[Sample]:
    """One sample per metric and repeat."""
    return rows(report_variables.row(kind), values)


def rows(variant: Variant, values: dict[str, tuple[float, ...]]) -> list[Sample]:
    """One sample per metric and repeat of any row."""
    return [
        Sample(repeat, variant, metric, value, count=10, seconds=0.5)
        for metric, found in values.items()
        for repeat, value in enumerate(found, start=1)
    ]


SAMPLES = of_kind(NONE, BARE) + [
    sample for kind in KINDS[1:] for sample in of_kind(kind, BOUND | VALUES)
]
# Catena's operation takes 6 and 8 times as long as the stdlib's in the two repeats.
MICRO_SAMPLES = rows(
    MICRO_ROW,
    {name: (60.0, 160.0) if "catena" in name else (10.0, 20.0) for name in MICRO_METRICS},
)


def found(what: str) -> Finding:
    """The one aim whose text begins like that."""
    [one] = [one for one in report_variables.findings(SAMPLES) if one.what.startswith(what)]
    return one


def test_a_section_has_the_rows_that_its_question_needs() -> None:
    """Each kind of variables on one worker and uvloop; the micro costs on both loops."""
    chosen = replace(SETTINGS, sections=(MICRO, VARIABLES))

    found = plan.variants(chosen)

    assert [row for row in found if row.section == VARIABLES] == [
        Variant("uvloop", 1, kind.name, VARIABLES) for kind in KINDS
    ]
    assert [row.loop for row in found if row.section == MICRO] == ["uvloop", "asyncio"]
    assert not [row for row in found if row.section == PEERS]
    assert chosen.environments == ("catena",)


def test_all_sections_are_interleaved_in_each_repeat() -> None:
    """No section has a stretch of the run to itself, but the kinds are measured together."""
    rows = plan.variants(SETTINGS)
    kinds = tuple(row for row in rows if row.section == VARIABLES)

    orders = plan.shuffled(rows, SETTINGS)

    others = ("executor", "ray", "dask", "xoscar")
    assert SETTINGS.environments == ("catena", "wool", "echo", *others)
    assert all(sorted(chain.from_iterable(order)) == sorted(rows) for order in orders)
    assert all([one for one in order if len(one) > 1] == [kinds] for order in orders)
    assert all(order != plan.together(rows) for order in orders)


def test_a_client_program_stands_behind_every_row() -> None:
    """A row names a module that exists and metrics that its page shows."""
    for row in plan.variants(replace(SETTINGS, has_callgrind=True)):
        assert Block(1, row, 0.1, 10).program in {
            *("catena_client", "wool_client", "echo_client"),
            *("engines_client", "variables_client", "micro_client"),
            *("telemetry_client", "instructions_client"),
        }
    assert set(report_variables.WORDS) < set(report_variables.row(NONE).metrics)
    assert set(VALUES) < set(report_variables.row(KINDS[1]).metrics)


def test_a_derived_figure_is_computed_within_each_repeat() -> None:
    """Repeats are not mixed, and one that lacks a value counts for nothing."""
    bare, bound = (report_variables.row(kind) for kind in (NONE, KIND["str_10"]))
    cells = [(bound, P50), (bare, P50)]

    whole = ratios.derived(SAMPLES, cells, lambda one, other: one - 2 * other)
    rest = [s for s in SAMPLES if (s.variant, s.metric, s.repeat) != (bare, P50, 1)]

    assert whole == Spread(-50.0, -100.0, 0.0)
    assert ratios.derived(rest, cells, lambda one, other: one - other) == Spread(100, 100, 100)
    with pytest.raises(BenchmarkError, match="no samples"):
        ratios.derived([], cells, lambda one, other: one)


def test_unchanged_strings_are_held_to_their_share_of_none_bound() -> None:
    """Half and all of the rate is less than 0.8 at the least and 0.75 at the median."""
    one = found("10 str, calls/s")

    assert (one.aim, one.is_floor) == (0.8, True)
    assert one.reached == Spread(0.75, 0.5, 1.0)
    assert one.missed_by == pytest.approx(0.05)


def test_dict_bytes_are_held_to_16_a_variable_both_ways_together() -> None:
    """10 more bytes each way, of 160 and of 1,600."""
    for kind in ("10 dict", "100 dict"):
        one = found(f"{kind}, bytes")
        assert one.aim == 16 * int(kind.split()[0])
        assert one.reached == Spread(20, 20, 20)
        assert not one.missed_by


def test_dict_time_is_told_in_encodes_and_decodes_of_all_values() -> None:
    """100 µs more at (2+3) and (1+4) µs for each of 10 variables; at 100 in flight 100 and 0."""
    assert found("10 dict, time per call beside none bound, one call").reached == Spread(2, 2, 2)
    assert found("10 dict, time per call beside none bound, 100 in").reached == Spread(1, 0, 2)
    assert found("100 dict, time per call beside none bound, one call").missed_by == 0


def test_dict_time_is_told_beside_as_many_strings_too() -> None:
    """100 µs more than none bound, and none more than as many strings, which take as long here."""
    table = report_variables.encodings_table(SAMPLES)

    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert [row[:2] for row in cells] == [
        ["10 dict", "none bound"],
        ["10 dict", "10 str"],
        ["100 dict", "none bound"],
        ["100 dict", "100 str"],
    ]
    assert cells[0][2] == "2.00x (2.00-2.00)"
    assert cells[1][2] == "0.00x (0.00-0.00)"


def test_a_changed_variable_may_cost_its_own_value_and_little_beside() -> None:
    """The value's 1,000 bytes are taken off before anything is compared."""
    one = found("100 str, one of them changed")

    assert one.reached == Spread(-980, -980, -980)
    assert not one.missed_by


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (
            Finding("a", 0.8, Spread(0.5, 0.4, 0.6), "x", is_floor=True),
            "- a: at least 0.80x, reached 0.50x (0.40-0.60), **missed** by 0.30x",
        ),
        (
            Finding("b", 0.8, Spread(0.8, 0.4, 0.9), "x", is_floor=True),
            "- b: at least 0.80x, reached 0.80x (0.40-0.90), **met**",
        ),
        (
            Finding("c", 1600, Spread(1700, 99, 1701), " bytes"),
            "- c: at most 1,600 bytes, reached 1,700 (99-1,701) bytes, **missed** by 100 bytes",
        ),
        (
            Finding("d", 3, Spread(3.001, 3, 4), "x"),
            "- d: at most 3.00x, reached 3.00x (3.00-4.00), **missed** by 0.001x",
        ),
    ],
)
def test_a_missed_aim_says_by_how_much(one: Finding, line: str) -> None:
    """A floor is missed from below, a ceiling from above, and no miss is rounded away."""
    assert finding(one) == line


def test_micro_costs_are_ratios_to_the_stdlib_in_the_same_repeat() -> None:
    """60/10 and 160/20; 3 is missed, 12 is met."""
    get, set_, both = report_micro.findings(MICRO_SAMPLES, MICRO_ROW)

    assert get.reached == set_.reached == both.reached == Spread(7, 6, 8)
    assert (get.missed_by, set_.missed_by, both.missed_by) == (4, 0, 0)


def test_the_sections_tell_every_kind_and_every_operation() -> None:
    """Ratios, aims and figures; and a table has as many cells in each row as in its heading."""
    variables = report_variables.section(SAMPLES + MICRO_SAMPLES)
    micro = report_micro.section(SAMPLES + MICRO_SAMPLES)

    assert "| 10 dict | 0.75x (0.50-1.00) | 0.58x (0.50-0.67) |" in variables
    assert "| none bound | 150 (100-200) | 15,000 (10,000-20,000) | 60 (60-60) | 30 (30-30) |" in [
        line.removesuffix(" - | - |").strip() for line in variables
    ]
    assert "| asyncio | 7.00x (6.00-8.00) | 7.00x (6.00-8.00) | 7.00x (6.00-8.00) |" in micro
    assert sum(line.startswith("- ") for line in variables) == 12
    assert sum(line.startswith("- ") for line in micro) == 3
    for table in (report_variables.ratio_table(SAMPLES), report_variables.figure_table(SAMPLES)):
        assert len({line.count("|") for line in table}) == 1


def test_a_section_that_was_not_measured_says_so() -> None:
    """Samples of another section fill no table."""
    assert report_variables.section(MICRO_SAMPLES) == ["Not measured in this run."]
    assert report_micro.section(SAMPLES) == ["Not measured in this run."]


def test_the_values_weigh_what_the_page_says() -> None:
    """1 KiB of text; a pickled dict of 1 KiB, give or take a twentieth; no two alike."""
    texts, mappings = (routines.values(KIND[name]) for name in ("str_100", "dict_100"))

    assert {len(value) for value in texts} == {1024}
    assert all(abs(len(pickle.dumps(value, 5)) - 1024) < 52 for value in mappings)
    assert len(set(texts)) == len({str(value) for value in mappings}) == 100
    assert all(len(routines.values(kind)) == kind.count for kind in KINDS if kind.count)


def test_the_changed_variable_rotates_and_its_value_is_always_new() -> None:
    """A hundred tasks in lockstep change another one at each step, too."""
    one_task = [routines.changed_index(step) for step in range(100)]
    of_the_same_lane = [routines.changed_index(3 + 100 * step) for step in range(100)]
    values = [routines.changed_text(serial) for serial in range(300)]

    assert len(set(one_task)) == len(set(of_the_same_lane)) == 100
    assert len({*values, *routines.values(KIND["changed"])}) == 400


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@isolated
def test_the_routine_finds_what_the_client_has_set(kind: Kind) -> None:
    """What is bound, or set before the call, is what the number of the call says."""
    place = KINDS.index(kind)
    bind(kind)
    if kind.changing:
        index = routines.changed_index(4, kind.count)
        routines.variables[index].set(routines.changed_text(4))

    assert run(routines.echo.local(4, place)) == 4


@isolated
def test_the_routine_refuses_another_value() -> None:
    """A variable that is missing, stale or there without need is no fast call but an error."""
    cases = [("none", KIND["str_10"]), ("dict_10", KIND["str_10"]), ("str_100", KIND["changed"])]
    cases += [("str_10", NONE)]
    for bound, kind in cases:
        bind(KIND[bound])
        with pytest.raises(WrongContext):
            run(routines.echo.local(0, KINDS.index(kind)))


@isolated
def test_a_call_of_the_changing_kind_sets_before_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call finds its own new value, also when nobody gives it a number of its own."""
    monkeypatch.setattr(routines, "echo", routines.echo.local)
    bind(KIND["changed"])
    call = caller(KIND["changed"])

    async def thrice() -> list[int]:
        return [await call(0) for _ in range(3)]

    assert run(thrice()) == [0, 0, 0]


def test_the_wire_counts_both_ways_and_leaves_the_codec_as_it_was() -> None:
    """What the caller's process encodes and decodes is counted, and cleared after a warm-up."""
    from catena.wire import codec, frames

    before = codec.encode_message, codec.decode_message
    with Wire() as wire:
        data = codec.encode_message([frames.Cancel(7)])
        codec.decode_message(data)
        assert (wire.out, wire.back) == (len(data), len(data))
        wire.clear()
        assert (wire.out, wire.back) == (0, 0)

    assert (codec.encode_message, codec.decode_message) == before
