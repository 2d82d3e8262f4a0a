"""What is measured, in which order, and how much of it: values; nothing here waits or prints."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

PEERS: Final = "peers"
VARIABLES: Final = "variables"
MICRO: Final = "micro"
TELEMETRY: Final = "telemetry"
ENGINES: Final = "engines"
SECTIONS: Final = (PEERS, ENGINES, VARIABLES, MICRO, TELEMETRY)

SYSTEMS: Final = ("catena", "wool", "echo")
# Others that run functions in other processes; each is measured at its best use, on its own loop.
ENGINE_SYSTEMS: Final = ("catena", "executor", "ray", "dask", "xoscar")
ENGINE_WORKERS: Final = 2
LOOPS: Final = ("uvloop", "default", "asyncio")

P50: Final = "p50"
RATE_100: Final = "rate_100"
RATE_1000: Final = "rate_1000"
ITEMS: Final = "items"
METRICS: Final = (P50, RATE_100, RATE_1000, ITEMS)

# A megabyte there and back, and long and short jobs that are begun at the same time; both in µs.
MEGABYTE: Final = "megabyte"
MIXED: Final = "mixed jobs"
ENGINE_METRICS: Final = (P50, RATE_100, MEGABYTE, MIXED)

# Bytes per call as the caller encodes and decodes them; then µs and bytes per variable.
BYTES_OUT: Final = "bytes_out"
BYTES_BACK: Final = "bytes_back"
ENCODE: Final = "encode"
DECODE: Final = "decode"
VALUE_BYTES: Final = "value_bytes"
CALL_METRICS: Final = (P50, RATE_100, BYTES_OUT, BYTES_BACK)
VALUE_METRICS: Final = (ENCODE, DECODE, VALUE_BYTES)

# The operations of a variable, and whose variable it is; a metric is one of each.
OPERATIONS: Final = ("get", "set", "set and reset")
OURS: Final = "catena"
THEIRS: Final = "stdlib"
MICRO_METRICS: Final = tuple(
    f"{operation}, {side}" for operation in OPERATIONS for side in (OURS, THEIRS)
)

# Who tells what of a call; those by hand make the same spans and records with the bare SDK. What is
# not sampled either begins its trace, so that a sampler decides, or is part of one that is not.
SILENT: Final = "no SDK"
HAND_ROOT: Final = "bare SDK, not sampled, begins its trace"
ROOT: Final = "not sampled, begins its trace"
WITHIN: Final = "not sampled, within a trace"
HAND_DISPATCH: Final = "bare SDK, dispatch"
HAND_FULL: Final = "bare SDK, full"
AT_DISPATCH: Final = "sampled, dispatch"
AT_FULL: Final = "sampled, full"
NOT_SAMPLED: Final = (HAND_ROOT, ROOT, WITHIN)
MODES: Final = (SILENT, *NOT_SAMPLED, HAND_DISPATCH, AT_DISPATCH, HAND_FULL, AT_FULL)
# µs per call: the median, the CPU time of both processes, and with 100 in flight.
CPU_1: Final = "cpu_1"
WALL_100: Final = "wall_100"
CPU_100: Final = "cpu_100"
LOADS: Final = (P50, CPU_1, WALL_100, CPU_100)
# Guard tests of both sides per call, ns for one of them, spans per call.
GUARDS: Final = "guards"
GUARD: Final = "guard"
SPANS_DISPATCH: Final = "spans at dispatch"
SPANS_FULL: Final = "spans at full"
TELEMETRY_METRICS: Final = (
    *(f"{mode}, {load}" for mode in MODES for load in LOADS),
    *(GUARDS, GUARD, SPANS_DISPATCH, SPANS_FULL),
)
# Counted by callgrind, once.
INSTRUCTIONS: Final = "instructions"
PER_CALL: Final = "instructions per call"
PER_GUARD: Final = "instructions per guard"

# What a client program tells its runner starts with this; other output is nobody's business.
PREFIX: Final = "@benchmark "

# From the second repeat on a median says something; from the seventh on a range does.
REPEATS_TO_PUBLISH: Final = 7
# The number of the round of what is measured once a repeat, not round by round.
ONCE: Final = 0
# The budget of telemetry is a few per cent, so it takes more pairs; one instruction count will do.
PAIRS: Final = 11


class BenchmarkError(Exception):
    """The benchmark cannot give a result: a missing peer, a wrong answer, no samples, no time."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Which variables are bound: `count` of them, with values of `type`, `words` on the page.

    One that is `changing` has one variable set anew before each call, the others are left alone.
    The routine reads one variable; of one that is `reading`, all of them.
    """

    name: str
    words: str
    count: int = 0
    type: str = ""
    changing: bool = False
    reading: bool = False


NONE: Final = Kind("none", "none bound")
KINDS: Final = (
    NONE,
    Kind("str_10", "10 str", 10, "str"),
    Kind("str_100", "100 str", 100, "str"),
    Kind("dict_10", "10 dict", 10, "dict"),
    Kind("dict_100", "100 dict", 100, "dict"),
    Kind("dict_read", "100 dict, all of them read", 100, "dict", reading=True),
    Kind("changed", "100 str, one of them changed", 100, "str", changing=True),
    Kind("set", "1 str, set before each call", 1, "str", changing=True),
)


@dataclass(frozen=True, slots=True, order=True)
class Variant:
    """One row of a table: a system, on an event loop, with a number of worker processes.

    Outside of the sections of peers and engines the system is always Catena, and `system` says
    what of it is measured: the name of a kind of variables, `micro`, `telemetry` or `instructions`.
    """

    loop: str
    workers: int
    system: str
    section: str = PEERS

    @property
    def environment(self) -> str:
        """The system whose environment the row runs in."""
        return self.system if self.section in (PEERS, ENGINES) else "catena"

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is measured of the row, in the order in which its client tells it."""
        if self.section == PEERS:
            return METRICS
        if self.section == ENGINES:
            return ENGINE_METRICS
        if self.section == MICRO:
            return MICRO_METRICS
        if self.section == TELEMETRY:
            counted = self.system == INSTRUCTIONS
            return (PER_CALL, PER_GUARD) if counted else TELEMETRY_METRICS
        return CALL_METRICS if self.system == NONE.name else CALL_METRICS + VALUE_METRICS

    def __str__(self) -> str:
        plural = "" if self.workers == 1 else "s"
        name = f"variables: {self.system}" if self.section == VARIABLES else self.system
        return f"{name}, {self.workers} worker{plural}, {self.loop} loop"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run was asked for; written into the raw samples and beside the table.

    `seconds` is the time given to each metric of a block; `block_timeout` and `run_timeout` are
    deadlines, in seconds, for one client process and for all of them. Systems, loops and workers
    are those of the peers' section. `has_callgrind` is whether instructions can be counted.
    """

    repeats: int
    seconds: float
    seed: int
    systems: tuple[str, ...] = SYSTEMS
    loops: tuple[str, ...] = ("uvloop", "default")
    workers: tuple[int, ...] = (1, 2)
    block_timeout: float = 60.0
    run_timeout: float = 2400.0
    sections: tuple[str, ...] = SECTIONS
    has_callgrind: bool = False

    def repeats_of(self, row: Variant) -> int:
        """How often a row is measured."""
        if row.system == INSTRUCTIONS:
            return 1
        whole = row.section == TELEMETRY and self.repeats >= REPEATS_TO_PUBLISH
        return max(self.repeats, PAIRS) if whole else self.repeats

    def timeout_of(self, row: Variant) -> float:
        """The deadline for one client process of a row, in seconds.

        Callgrind takes its time, and who takes turns waits for those of the others.
        """
        if row.section == VARIABLES:
            return self.block_timeout + 4 * len(KINDS) * self.seconds
        return 3 * self.block_timeout if row.system == INSTRUCTIONS else self.block_timeout

    @property
    def environments(self) -> tuple[str, ...]:
        """The systems whose environments are needed."""
        return tuple(dict.fromkeys(row.environment for row in variants(self)))

    @property
    def is_publishable(self) -> bool:
        """Whether the result may replace the published table."""
        return (
            self.repeats >= REPEATS_TO_PUBLISH
            and set(self.sections) == set(SECTIONS)
            and set(self.systems) == set(SYSTEMS)
            and {"uvloop", "default"} <= set(self.loops)
            and {1, 2} <= set(self.workers)
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One metric of one block, in one of its rounds where it has rounds.

    `value` is in µs for `p50`, `megabyte`, `mixed jobs`, `encode` and `decode`, in calls or items
    per second for a rate, in bytes for `bytes_out`, `bytes_back` and `value_bytes`, in ns for the
    micro costs and one guard, in µs per call for the loads of the telemetry section, else a number
    of things. `raw` holds each latency in ns where calls were made one by one, and each round in ns
    for `encode`, `decode` and the micro costs; it is empty otherwise: a rate is `count` and
    `seconds`.
    """

    repeat: int
    variant: Variant
    metric: str
    value: float
    count: int
    seconds: float
    raw: tuple[int, ...] = field(default=(), repr=False)
    round: int = ONCE

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """The sample that `as_json` told. Raises KeyError where something is missing."""
        row = Variant(kept["loop"], kept["workers"], kept["system"], kept["section"])
        facts = {name: kept[name] for name in ("repeat", "metric", "value", "count", "seconds")}
        return cls(variant=row, raw=tuple(kept["raw"]), round=kept["round"], **facts)

    def as_json(self) -> dict[str, Any]:
        """The sample as it is kept with the raw samples."""
        return {
            "repeat": self.repeat,
            "round": self.round,
            "section": self.variant.section,
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
    """Every row that the settings ask for, in the order of the page."""
    rows = {
        PEERS: [
            Variant(loop, workers, system)
            for loop in settings.loops
            for workers in settings.workers
            for system in settings.systems
        ],
        ENGINES: [Variant("default", ENGINE_WORKERS, name, ENGINES) for name in ENGINE_SYSTEMS],
        VARIABLES: [Variant("uvloop", 1, kind.name, VARIABLES) for kind in KINDS],
        MICRO: [Variant(loop, 0, "micro", MICRO) for loop in ("uvloop", "asyncio")],
        TELEMETRY: [
            Variant("uvloop", 1, "telemetry", TELEMETRY),
            *[Variant("asyncio", 0, INSTRUCTIONS, TELEMETRY)] * settings.has_callgrind,
        ],
    }
    return [row for section in SECTIONS if section in settings.sections for row in rows[section]]


def shuffled(rows: Sequence[Variant], settings: Settings) -> list[list[tuple[Variant, ...]]]:
    """One order per repeat of all that is measured; the same seed gives the same orders.

    Each place of an order has the rows that are measured at the same time.
    """
    chance = dice(settings)
    orders: list[list[tuple[Variant, ...]]] = []
    for repeat in range(max(map(settings.repeats_of, rows), default=0)):
        due = together([row for row in rows if repeat < settings.repeats_of(row)])
        orders.append(chance.sample(due, len(due)))
    return orders


def together(rows: Sequence[Variant]) -> list[tuple[Variant, ...]]:
    """The kinds of variables, which take turns, in one place; every other row has its own."""
    kinds = tuple(row for row in rows if row.section == VARIABLES)
    return [(row,) for row in rows if row.section != VARIABLES] + [kinds] * bool(kinds)


def dice(settings: Settings, *place: int) -> random.Random:
    """Chance that is the same for the same seed and the same place in the run."""
    return random.Random(" ".join(map(str, (settings.seed, *place))))
