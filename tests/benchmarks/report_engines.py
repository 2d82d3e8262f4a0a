"""The page's part about other engines, each at its best use. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .markdown import number, table, times
from .plan import ENGINES, MEGABYTE, MIXED, P50, RATE_100, Facts, Sample, Variant
from .ratios import ratio, spread

HEADINGS: Final = {
    P50: "p50 µs, one call in flight",
    RATE_100: "calls/s, 100 in flight",
    MEGABYTE: "1 MB there and back, µs",
    MIXED: "8 mixed jobs, µs",
}
NAMES: Final = {
    "executor": "ProcessPoolExecutor",
    "ray": "Ray",
    "dask": "Dask",
    "xoscar": "xoscar",
}

METHOD: Final = (
    "- Other engines: two worker processes each, started, awaited and warm before anything is",
    "  measured, on the loop that the engine has by default; the same plain functions run in",
    "  all of them, and no context variable is set. Catena would carry one, the others would",
    "  not. The mixed jobs are eight at once, of 100 ms and of 5 ms of a busy processor in",
    "  turns; two workers that share them well need 210 ms.",
    "- The executor's processes are spawned. Ray runs asynchronous actors for the calls and",
    "  tasks for the jobs. Dask has a scheduler process between client and workers. xoscar has",
    "  one actor in each process.",
)


def section(samples: Sequence[Sample], facts: Mapping[Variant, Facts]) -> list[str]:
    """Ratios and figures; a sentence when nothing of it was measured."""
    rows = [row for row in facts if row.section == ENGINES]
    if not rows:
        return ["Not measured in this run."]
    ours = next(row for row in rows if row.system == "catena")
    compared = [row for row in rows if row != ours]
    return [
        "Catena relative to each engine (times inverted, so that more is better):",
        "",
        *table(
            ["engine", *HEADINGS.values()],
            [
                [NAMES[row.system], *(times(ratio(samples, ours, row, one)) for one in HEADINGS)]
                for row in compared
            ],
        ),
        "",
        *table(
            ["system", "workers", *HEADINGS.values(), "remarks"],
            [
                [
                    NAMES.get(row.system, row.system),
                    str(row.workers),
                    *(number(spread(samples, row, one)) for one in HEADINGS),
                    facts[row].limits,
                ]
                for row in rows
            ],
        ),
    ]
