"""The page's part about telemetry: what being watched costs a call. Pure functions.

Figures are medians between quartiles: a per cent is less than what a single repeat is off by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from .markdown import table
from .plan import (
    AT_DISPATCH,
    AT_FULL,
    CPU_1,
    CPU_100,
    GUARD,
    GUARDS,
    HAND_DISPATCH,
    HAND_FULL,
    INSTRUCTIONS,
    LOADS,
    MODES,
    P50,
    PAIRS,
    PER_CALL,
    PER_GUARD,
    ROOT,
    SILENT,
    SPANS_DISPATCH,
    SPANS_FULL,
    TELEMETRY,
    WALL_100,
    WITHIN,
    Sample,
    Variant,
)
from .ratios import Finding, Spread, derived

WORDS: Final = {
    P50: "p50, one call in flight",
    CPU_1: "CPU, one call in flight",
    WALL_100: "time per call, 100 in flight",
    CPU_100: "CPU, 100 in flight",
}

# Per cent of a call without an SDK; of what the bare SDK takes for the same.
NO_SDK: Final = 1.0
NOT_SAMPLED: Final = 10.0
OVER_BARE: Final = 25.0

ROW: Final = Variant("uvloop", 1, "telemetry", TELEMETRY)
COUNTED: Final = Variant("asyncio", 0, INSTRUCTIONS, TELEMETRY)

METHOD: Final = (
    "- Telemetry: Catena alone, one worker, uvloop, a routine that only checks one variable.",
    "  A block is one client process with its worker that goes through all modes, forth and",
    f"  back: twice with one call in flight, then once with 100. There are at least {PAIRS}",
    "  repeats; a cell is the median, with the quartiles. CPU time is that of both processes,",
    "  and includes the export of every span that the calls have made.",
    "- The SDK has a batch processor with its defaults, except for a queue in which nothing",
    "  is dropped, and an exporter that serialises spans as OTLP in the process and drops the",
    "  bytes; metrics are collected and serialised once a second. No logger is on.",
    '- In the mode "bare SDK" the spans of a call are made by hand, on the side on which',
    "  Catena would make them, with the names, attributes and links that Catena's spans had",
    "  in the same processes, and one duration is recorded on each side; nobody listens to",
    "  Catena then. The share that Catena adds is (sampled - bare) / (bare - no SDK).",
    '- In the modes "not sampled" a sampler drops each trace that begins. "Within a trace"',
    "  means that the client has attached an unsampled span once; by hand, a root span is",
    "  begun at the caller for each call.",
    "- To count guard tests, objects that count take the place of the subscribers on both",
    "  sides; the time of one test is measured in a loop, less the time of the empty loop.",
    "  Callgrind counts the instructions of calls over a link inside one process, where a",
    "  call takes fewer of them than a real one.",
)


def section(samples: Sequence[Sample]) -> list[str]:
    """Aims and figures; a sentence when nothing of it was measured."""
    samples = [sample for sample in samples if sample.variant.section == TELEMETRY]
    if not any(sample.variant == ROW for sample in samples):
        return ["Not measured in this run."]
    return [
        "What telemetry adds to a call, in per cent of the call without an SDK:",
        "",
        *table(
            ["recorded", *(WORDS[load] for load in LOADS)],
            [
                [mode, *(percent(added(samples, mode, load)) for load in LOADS)]
                for mode in MODES[1:]
            ],
        ),
        "",
        *[line(one) for one in findings(samples)],
        *instruction_lines(samples),
        span_line(samples),
        "",
        *table(
            ["recorded", *(f"{WORDS[load]}, µs" for load in LOADS)],
            [
                [mode, *(amount(figure(samples, f"{mode}, {load}")) for load in LOADS)]
                for mode in MODES
            ],
        ),
    ]


def findings(samples: Sequence[Sample]) -> list[Finding]:
    """Every aim with what was reached, in per cent."""
    found = [
        Finding(f"no SDK, guard tests, {WORDS[load]}", NO_SDK, guard_share(samples, load), "%")
        for load in (CPU_1, CPU_100)
    ]
    found += [
        Finding(f"{mode}, {WORDS[load]}", NOT_SAMPLED, added(samples, mode, load), "%")
        for mode in (WITHIN, ROOT)
        for load in (P50, WALL_100)
    ]
    found += [
        Finding(
            f"{ours}, {WORDS[load]}, over the bare SDK",
            OVER_BARE,
            over_bare(samples, (ours, bare), load),
            "%",
        )
        for ours, bare in ((AT_DISPATCH, HAND_DISPATCH), (AT_FULL, HAND_FULL))
        for load in LOADS
    ]
    return found


def instruction_lines(samples: Sequence[Sample]) -> list[str]:
    """What callgrind counted, if it did."""
    if not any(sample.variant == COUNTED for sample in samples):
        return ["- Instructions: not counted, valgrind is not installed"]
    call, guard = (
        derived(samples, [(COUNTED, metric)], lambda value: value).median
        for metric in (PER_CALL, PER_GUARD)
    )
    tests = figure(samples, GUARDS).median
    share = 100 * tests * guard / call
    text = f"{guard:,.0f} for one of {tests:.1f} guard tests, {call:,.0f} for a call: {share:.2f}%"
    return [f"- Instructions: {text}"]


def span_line(samples: Sequence[Sample]) -> str:
    """How many spans a call has."""
    few, many = (figure(samples, metric).median for metric in (SPANS_DISPATCH, SPANS_FULL))
    return f"- Spans of a call, both sides: {few:.0f} at `dispatch`, {many:.0f} at `full`"


def figure(samples: Sequence[Sample], metric: str) -> Spread:
    """One cell."""
    return _derived(samples, [metric], lambda value: value)


def added(samples: Sequence[Sample], mode: str, load: str) -> Spread:
    """How many per cent of the call without an SDK a mode adds."""
    cells = [f"{mode}, {load}", f"{SILENT}, {load}"]
    return _derived(samples, cells, lambda told, silent: 100 * (told / silent - 1))


def guard_share(samples: Sequence[Sample], load: str) -> Spread:
    """How many per cent of the CPU time of a call all of its guard tests take."""
    cells = [GUARDS, GUARD, f"{SILENT}, {load}"]
    return _derived(samples, cells, lambda tests, one, cpu: 100 * tests * one / 1000 / cpu)


def over_bare(samples: Sequence[Sample], modes: tuple[str, str], load: str) -> Spread:
    """How many per cent more a mode adds to a call than the bare SDK does by hand."""
    ours, bare = modes
    cells = [f"{ours}, {load}", f"{bare}, {load}", f"{SILENT}, {load}"]

    def compute(told: float, by_hand: float, silent: float) -> float:
        return 100 * (told - by_hand) / (by_hand - silent)

    return _derived(samples, cells, compute)


def line(one: Finding) -> str:
    """A line of a list: the aim, what was reached, and by how much it was missed."""
    verdict = f"**missed** by {one.missed_by:.2f}%" if one.missed_by else "**met**"
    return f"- {one.what}: at most {one.aim:g}%, reached {percent(one.reached, 2)}, {verdict}"


def percent(cell: Spread, digits: int = 1) -> str:
    """A cell in per cent, with its quartiles."""
    least, greatest = f"{cell.least:.{digits}f}", f"{cell.greatest:.{digits}f}"
    return f"{cell.median:.{digits}f}% ({least} to {greatest})"


def amount(cell: Spread) -> str:
    """A cell with its quartiles."""
    return f"{cell.median:.1f} ({cell.least:.1f}-{cell.greatest:.1f})"


def _derived(
    samples: Sequence[Sample], metrics: Sequence[str], compute: Callable[..., float]
) -> Spread:
    cells = [(ROW, metric) for metric in metrics]
    return derived(samples, cells, compute, Spread.quartiles)
