"""The page's part about context variables: what it costs that they are bound. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .markdown import finding, number, table, times
from .plan import (
    BYTES_BACK,
    BYTES_OUT,
    DECODE,
    ENCODE,
    KINDS,
    NONE,
    P50,
    RATE_100,
    VALUE_BYTES,
    VARIABLES,
    Kind,
    Sample,
    Variant,
)
from .ratios import Finding, Spread, derived, ratio, spread

WORDS: Final = {RATE_100: "calls/s, 100 in flight", P50: "p50, one call in flight"}

# Of none bound: the least speed with `str`, the most bytes beside it, the most time in encodings.
STR_SHARE: Final = 0.8
BYTES_PER_VARIABLE: Final = 16
ENCODINGS: Final = 1.5
# Beside the value that changed: its key, and the ids of chains, both ways.
BYTES_BESIDE_CHANGE: Final = 128

METHOD: Final = (
    "- Context variables: Catena alone, one worker, uvloop, a client process for each kind",
    "  (each row of the table). A `str` has 1 KiB, a `dict` about as much when it is pickled;",
    "  all of them are set, none is a default. The routine reads one variable, another one in",
    '  each call, and compares it with the expected value; in the row "all of them read" it',
    "  compares all. A worker decodes the values that a call reads, and encodes them once",
    "  more for the answer, because they may have been changed in place.",
    "- Within a repeat the clients of all kinds live at the same time, each with its own",
    "  worker. They are started anew for the repeat, and all but the one whose turn it is are",
    "  idle. A repeat has six rounds. In a round each client has three turns: one with one",
    "  call in flight, one with 100, and one that encodes and decodes. All clients have the",
    "  first of these turns, then all have the second, then all have the third, in a random",
    "  order that is new for each round. A turn with calls is a short warm-up and then a",
    "  slice of the time for each metric: an eighth of it with one call in flight, a quarter",
    "  of it with 100 (and then at least two calls of each task).",
    "- A ratio, or the time beside none bound, is computed between two slices of the same",
    "  round. The value of a repeat is the median over its rounds; that of a figure is the",
    "  median of its slices. Cells are the median of these values over the repeats, with the",
    "  least and the greatest.",
    "- The values are set once in a repeat, by the task that makes the calls one by one. The",
    "  same task then creates the 100 tasks for all of their turns; each of these makes one",
    '  call after the other on its own fork of the chain. In the row "one of them changed", a',
    "  task sets one of the hundred variables before each call, another one each time, to a",
    "  value that it never had before; the time of the call includes the set. In the row",
    '  "none bound" the process has never set a variable.',
    "- Each of the 100 tasks has made calls before the clock starts, so the figures do not",
    "  include the extra cost of the first call on a new chain.",
    "- Bytes are those of the messages that the caller encodes and decodes. They are counted",
    "  once in a repeat, after the rounds, with separate workers and 100 calls in flight,",
    "  after a warm-up of the tasks.",
    "- Encode and decode are one pickling and one unpickling of the same values, in the",
    "  process of the client, repeated for a fiftieth of a second in each round, when",
    "  everything else is idle. The time per call with 100 in flight is a second divided by",
    "  calls/s.",
)


def row(kind: Kind) -> Variant:
    """The row of a kind."""
    return Variant("uvloop", 1, kind.name, VARIABLES)


def section(samples: Sequence[Sample]) -> list[str]:
    """Ratios, targets and figures; a sentence when nothing of it was measured."""
    samples = [sample for sample in samples if sample.variant.section == VARIABLES]
    if not samples:
        return ["Not measured in this run."]
    return [
        "Figures with variables bound, relative to those with none bound (latencies inverted, so",
        "that more is better):",
        "",
        *ratio_table(samples),
        "",
        *[finding(one) for one in findings(samples)],
        "",
        "The extra time of a call with values that can be changed in place, as a multiple of the",
        "time to encode and decode all of them: compared with none bound, and with as many `str`,",
        "which shows what it costs that they can change:",
        "",
        *encodings_table(samples),
        "",
        *figure_table(samples),
    ]


def ratio_table(samples: Sequence[Sample]) -> list[str]:
    """Each kind against none bound; above 1 it is better."""
    rows = [
        [kind.words, *(times(ratio(samples, row(kind), row(NONE), metric)) for metric in WORDS)]
        for kind in KINDS
        if kind is not NONE
    ]
    return table(["variables", *WORDS.values()], rows)


def figure_table(samples: Sequence[Sample]) -> list[str]:
    """The absolute figures; what is encoded and decoded is told per variable."""
    plain = (P50, RATE_100, BYTES_OUT, BYTES_BACK)
    fine = (ENCODE, DECODE)
    rows = [
        [kind.words]
        + [number(spread(samples, row(kind), metric)) for metric in plain]
        + [number(spread(samples, row(kind), metric), 2) if kind.count else "-" for metric in fine]
        for kind in KINDS
    ]
    headings = ["variables", "p50 µs, one call in flight", "calls/s, 100 in flight"]
    headings += ["bytes/call to the worker", "bytes/call back"]
    headings += ["encode, µs/variable", "decode, µs/variable"]
    return table(headings, rows)


def encodings_table(samples: Sequence[Sample]) -> list[str]:
    """Dicts beside none bound, and beside as many strings."""
    rows: list[list[str]] = []
    for kind in KINDS:
        if kind.type != "dict" or kind.reading:
            continue
        alike = [one for one in KINDS if one.type == "str" and one.count == kind.count]
        for beside in (NONE, *(one for one in alike if not one.changing)):
            cells = [time_in_encodings(samples, kind, metric, beside) for metric in (P50, RATE_100)]
            rows.append([kind.words, beside.words, *map(times, cells)])
    return table(["variables", "beside", WORDS[P50], WORDS[RATE_100]], rows)


def findings(samples: Sequence[Sample]) -> list[Finding]:
    """Every aim with what was reached, in the order of the kinds."""
    found: list[Finding] = []
    for kind in KINDS:
        if kind.changing:
            found.append(_change(samples, kind))
        elif kind.type == "str":
            found += [_share(samples, kind, metric) for metric in WORDS]
        elif kind.type == "dict" and not kind.reading:
            found.append(_bytes(samples, kind))
            found += [_time(samples, kind, metric) for metric in WORDS]
    return found


def _share(samples: Sequence[Sample], kind: Kind, metric: str) -> Finding:
    reached = ratio(samples, row(kind), row(NONE), metric)
    what = f"{kind.words}, {WORDS[metric]}, of none bound"
    return Finding(what, STR_SHARE, reached, "x", is_floor=True)


def _bytes(samples: Sequence[Sample], kind: Kind) -> Finding:
    what = f"{kind.words}, bytes/call both ways, beside none bound"
    reached = extra_bytes(samples, kind)
    return Finding(what, BYTES_PER_VARIABLE * kind.count, reached, " bytes")


def _change(samples: Sequence[Sample], kind: Kind) -> Finding:
    what = f"{kind.words}, bytes/call both ways, beside none bound and the one value"
    reached = extra_bytes(samples, kind, values=1)
    return Finding(what, BYTES_BESIDE_CHANGE, reached, " bytes")


def _time(samples: Sequence[Sample], kind: Kind, metric: str) -> Finding:
    what = (
        f"{kind.words}, time per call beside none bound, {WORDS[metric].rpartition(', ')[2]}, "
        "in encodes and decodes of all values"
    )
    return Finding(what, ENCODINGS, time_in_encodings(samples, kind, metric), "x")


def extra_bytes(samples: Sequence[Sample], kind: Kind, *, values: int = 0) -> Spread:
    """Bytes per call, both ways together, less those of none bound and of so many values."""
    cells = [(row(kind), BYTES_OUT), (row(kind), BYTES_BACK), (row(kind), VALUE_BYTES)]
    cells += [(row(NONE), BYTES_OUT), (row(NONE), BYTES_BACK)]

    def compute(out: float, back: float, value: float, bare_out: float, bare_back: float) -> float:
        return out + back - bare_out - bare_back - values * value

    return derived(samples, cells, compute)


def time_in_encodings(
    samples: Sequence[Sample], kind: Kind, metric: str, beside: Kind = NONE
) -> Spread:
    """(Time per call - that of another kind) / (one encode and one decode of each variable)."""
    cells = [(row(kind), metric), (row(beside), metric), (row(kind), ENCODE), (row(kind), DECODE)]

    def compute(bound: float, bare: float, encode: float, decode: float) -> float:
        if metric == RATE_100:
            bound, bare = 1e6 / bound, 1e6 / bare
        return (bound - bare) / (kind.count * (encode + decode))

    return derived(samples, cells, compute)
