"""The turns of client processes that live at the same time: at what, how long, in which order.

Pure, and known to both sides. A turn is a line on the client's stdin, its answer are the samples of
its metrics on stdout; whoever has no turn is idle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from . import plan
from .plan import BYTES_BACK, BYTES_OUT, P50, RATE_100, Settings, Variant

# How often, in a repeat, each client has a turn at each metric that is compared.
ROUNDS: Final = 6

ALONE: Final = "p50"
MANY: Final = "rate"
VALUES: Final = "values"
END: Final = "end"

# A turn's answer, by its word; with the last one the client has ended.
ANSWERS: Final = {
    ALONE: (P50,),
    MANY: (RATE_100,),
    VALUES: plan.VALUE_METRICS,
    END: (BYTES_OUT, BYTES_BACK),
}
# What is compared, with the length of a slice as a share of the time for each metric: 100 tasks
# need longer than one until they run as they do for good.
COMPARED: Final = {ALONE: 1 / 8, MANY: 1 / 4}

# Of a slice in which values are encoded and decoded.
VALUES_SECONDS: Final = 0.02
LONGEST: Final = 10.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One of the words of `ANSWERS`, and the time to measure; the end has none."""

    word: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.word} {self.seconds:g}" if self.seconds else self.word

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is told, in this order."""
        return ANSWERS[self.word]


@dataclass(frozen=True, slots=True)
class Slice:
    """Whose turn it is, in which round, from 1."""

    row: Variant
    turn: Turn
    round: int


def parse(line: str) -> Turn:
    """The turn of a line.

    Raises:
        ValueError: the line is none; its text says what was read.
    """
    word, *rest = line.split()[:3] or [""]
    if word == END and not rest:
        return Turn(END)
    if word in ANSWERS and word != END and len(rest) == 1:
        seconds = _seconds(rest[0])
        if 0 < seconds <= LONGEST:
            return Turn(word, seconds)
    raise ValueError(
        f"a turn is {ALONE}, {MANY} or {VALUES} with at most {LONGEST:g} seconds, or {END}, "
        f"not {line.strip()[:80]!r}"
    )


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def slices(rows: Sequence[Variant], settings: Settings, repeat: int) -> list[Slice]:
    """Every turn of one repeat but the end; the seed and the repeat decide the order.

    In each round all rows have their turn at one metric, then at the next, in orders of their own:
    what is divided by another lies as close to it as can be.
    """
    dice = plan.dice(settings, repeat)
    valued = [row for row in rows if set(plan.VALUE_METRICS) <= set(row.metrics)]
    turns = {Turn(word, settings.seconds * share): rows for word, share in COMPARED.items()}
    turns[Turn(VALUES, VALUES_SECONDS)] = valued
    return [
        Slice(row, turn, number)
        for number in range(1, ROUNDS + 1)
        for turn in dice.sample(tuple(turns), len(turns))
        for row in dice.sample(turns[turn], len(turns[turn]))
    ]
