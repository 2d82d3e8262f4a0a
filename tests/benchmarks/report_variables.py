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
    "- Context variables: Catena alone, one worker, uvloop, a client process for each kind. A",
    "  `str` has 1 KiB, a `dict` about as much when it is pickled; none of them is a default. The",
    "  routine reads one variable, another one each call, and compares it with what must be there;",
    "  where all of them are read, all are compared. A worker decodes what a call reads, and",
    "  encodes it once more for the answer, because it may have been changed in place.",
    "- Within a repeat the clients of all kinds live at the same time, each with its own worker,",
    "  started anew for the repeat and idle but for the one whose turn it is. A round gives each",
    "  of them a turn with one call in flight, one with 100, and one that encodes and decodes:",
    "  first all kinds at one of them, then all at the next, in orders drawn for the round. A",
    "  repeat has six rounds. A turn with calls is a short warm-up and a slice of the time for",
    "  each metric: an eighth of it with one call in flight, a quarter with 100, and there at",
    "  least two calls of each task.",
    "- A ratio, or the time beside none bound, is computed between two slices of the same round;",
    "  the value of a repeat is the median over its rounds, and that of a figure the median of its",
    "  slices. Cells are the median of these values over the repeats, with least and greatest.",
    "- The values are set once a repeat, in the task that then makes the calls one by one, and",
    "  from which the 100 tasks are created after that, for all of their turns; each of these",
    "  makes one call after the other on its own fork of the chain. When one is changed, the task",
    "  that makes a call sets one variable before it, of a hundred another one each call, to a",
    "  value that was never there before; the set is in the time of the call. With none bound the",
    "  process has never set a variable.",
    "- Each of the 100 tasks has made calls before the clock starts: what the first call on a new",
    "  chain costs is not in these figures.",
    "- Bytes are those of the messages that the caller encodes and decodes, counted once a repeat",
    "  after the rounds, with workers of their own, 100 calls in flight, after a warm-up of the",
    "  tasks.",
    "- Encode and decode are one pickling and one unpickling of these very values, in the process",
    "  of the client, over and over for a fiftieth of a second in each round, when all else is",
    "  idle; the time per call with 100 in flight is a second divided by calls/s.",
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
        "How many times the figure with none bound is reached (latencies inverted, so that more is",
        "better):",
        "",
        *ratio_table(samples),
        "",
        *[finding(one) for one in findings(samples)],
        "",
        "What values that can change take, in encodes and decodes of all values: beside none",
        "bound, and beside as many `str`, which is what it costs that they can change:",
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
