"""The page's part about the micro costs: a variable's operations. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .markdown import finding, number, table, times
from .plan import MICRO, MICRO_METRICS, OPERATIONS, OURS, THEIRS, Sample, Variant
from .ratios import Finding, Spread, derived, spread

# How many times the stdlib's time an operation may take.
AIMS: Final = {"get": 3.0, "set": 12.0, "set and reset": 12.0}

METHOD: Final = (
    "- Micro costs: in the main task of a running loop, in a context that has a chain,",
    "  without observers, without a pool. Each round runs every operation 200 times with",
    "  Catena's variable and 200 times with the stdlib's; which of the two comes first",
    "  alternates. A figure is the median of the rounds, and includes the small cost of the",
    '  loop around the operations. "Set" sets two values in turn and drops the token.',
)


def section(samples: Sequence[Sample]) -> list[str]:
    """Ratios, aims and figures; a sentence when nothing of it was measured."""
    samples = [sample for sample in samples if sample.variant.section == MICRO]
    rows = list(dict.fromkeys(sorted(sample.variant for sample in samples)))
    if not rows:
        return ["Not measured in this run."]
    return [
        "The time of an operation of a variable, relative to the stdlib's (less is better):",
        "",
        *table(
            ["loop", *OPERATIONS],
            [[row.loop, *(times(cost(samples, row, one)) for one in OPERATIONS)] for row in rows],
        ),
        "",
        *[finding(one) for row in rows for one in findings(samples, row)],
        "",
        *table(
            ["loop", *(f"{metric}, ns" for metric in MICRO_METRICS)],
            [
                [row.loop, *(number(spread(samples, row, metric)) for metric in MICRO_METRICS)]
                for row in rows
            ],
        ),
    ]


def findings(samples: Sequence[Sample], row: Variant) -> list[Finding]:
    """Every aim on a loop with what was reached."""
    return [
        Finding(f"{operation}, {row.loop}", aim, cost(samples, row, operation), "x")
        for operation, aim in AIMS.items()
    ]


def cost(samples: Sequence[Sample], row: Variant, operation: str) -> Spread:
    """How many times the stdlib's time Catena's operation takes, repeat by repeat."""
    cells = [(row, f"{operation}, {side}") for side in (OURS, THEIRS)]
    return derived(samples, cells, lambda ours, theirs: ours / theirs)
