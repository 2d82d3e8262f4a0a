"""What is measured, in which order, and how much of it: values; nothing here waits or prints."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

SYSTEMS: Final = ("catena", "wool", "echo")
LOOPS: Final = ("uvloop", "default", "asyncio")

P50: Final = "p50"
RATE_100: Final = "rate_100"
RATE_1000: Final = "rate_1000"
ITEMS: Final = "items"
METRICS: Final = (P50, RATE_100, RATE_1000, ITEMS)

# What a client program tells its runner starts with this; other output is nobody's business.
PREFIX: Final = "@benchmark "

# From the second repeat on a median says something; from the seventh on a range does.
REPEATS_TO_PUBLISH: Final = 7


class BenchmarkError(Exception):
    """The benchmark cannot give a result: a missing peer, a wrong answer, no samples, no time."""


@dataclass(frozen=True, slots=True, order=True)
class Variant:
    """One row of the table: a system, on an event loop, with a number of worker processes."""

    loop: str
    workers: int
    system: str

    def __str__(self) -> str:
        plural = "" if self.workers == 1 else "s"
        return f"{self.system}, {self.workers} worker{plural}, {self.loop} loop"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run was asked for; written into the raw samples and beside the table.

    `seconds` is the time given to each metric of a block; `block_timeout` and `run_timeout` are
    deadlines, in seconds, for one client process and for all of them.
    """

    repeats: int
    seconds: float
    seed: int
    systems: tuple[str, ...] = SYSTEMS
    loops: tuple[str, ...] = ("uvloop", "default")
    workers: tuple[int, ...] = (1, 2)
    block_timeout: float = 60.0
    run_timeout: float = 720.0

    @property
    def is_publishable(self) -> bool:
        """Whether the result may replace the published table."""
        return (
            self.repeats >= REPEATS_TO_PUBLISH
            and set(self.systems) == set(SYSTEMS)
            and {"uvloop", "default"} <= set(self.loops)
            and {1, 2} <= set(self.workers)
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One metric of one block.

    `value` is in µs for `p50`, in calls or items per second otherwise. `raw` holds each latency
    in ns for `p50`, and is empty otherwise: a rate is `count` and `seconds`.
    """

    repeat: int
    variant: Variant
    metric: str
    value: float
    count: int
    seconds: float
    raw: tuple[int, ...] = field(default=(), repr=False)

    def as_json(self) -> dict[str, Any]:
        """The sample as it is kept with the raw samples."""
        return {
            "repeat": self.repeat,
            "system": self.variant.system,
            "loop": self.variant.loop,
            "workers": self.variant.workers,
            "metric": self.metric,
            "value": self.value,
            "count": self.count,
            "seconds": self.seconds,
            "raw": list(self.raw),
        }


@dataclass(frozen=True, slots=True)
class Facts:
    """What a client process said of itself: measured where it can be, not assumed."""

    client_loop: str
    worker_loop: str
    limits: str


def variants(settings: Settings) -> list[Variant]:
    """Every row that the settings ask for, in the order of the table."""
    return [
        Variant(loop, workers, system)
        for loop in settings.loops
        for workers in settings.workers
        for system in settings.systems
    ]


def shuffled(rows: Sequence[Variant], settings: Settings) -> list[list[Variant]]:
    """One order of all rows per repeat; the same seed gives the same orders."""
    dice = random.Random(settings.seed)
    return [dice.sample(list(rows), len(rows)) for _ in range(settings.repeats)]
