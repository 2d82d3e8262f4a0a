"""The long counts by name: what each looks at, how often, from which seed, what it must meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.background.counting import count_tasks
from tests.compat import upgrades
from tests.hostile.attack import attack
from tests.integration import token_counts
from tests.integration.accumulating import accumulate
from tests.integration.kills import kill
from tests.integration.lost_workers import lose_workers
from tests.joining.joins import join_and_leave
from tests.joining.plan import LIES
from tests.laws.law import Law
from tests.laws.test_endings import (
    LONG_FLOORS as LONG_ENDINGS,
    RARE_FLOORS,
    test_every_call_ends_and_leaves_nothing as ending,
)
from tests.laws.test_fuzz import test_whatever_arrives_has_an_outcome_of_a_type as fuzzing
from tests.laws.test_leases import (
    LONG_FLOORS as LONG_LEASES,
    test_every_call_takes_one_lease_and_releases_it as leasing,
)
from tests.laws.test_oracle import (
    LONG_FLOORS,
    test_a_script_comes_to_what_it_comes_to_in_the_stdlib as comparing,
)

__all__ = ["CHECKS", "Check", "Progress"]

Progress = Callable[[int], None]
"""Is told now and then how many are done."""


@dataclass(frozen=True)
class Check:
    """One long count.

    ``run`` takes the count, the seed and whom to tell of its progress; it returns what it met and
    raises what its short test raises. ``floors`` are how often a full run must meet each thing.
    """

    name: str
    clauses: str
    what: str
    count: int
    run: Callable[[int, int, Progress], Counter[str]]
    seed: int = 1
    floors: Mapping[str, int] = field(default_factory=dict)


def _fuzz_manifests(count: int, seed: int, progress: Progress) -> Counter[str]:
    its: Law = getattr(fuzzing, "law")  # noqa: B009 - the decorator puts it there
    return its.check(seed=seed, examples=count, shrink=False, progress=progress)


def _endings(count: int, seed: int, progress: Progress) -> Counter[str]:
    its: Law = getattr(ending, "law")  # noqa: B009 - the decorator puts it there
    return its.check(seed=seed, examples=count, progress=progress)


def _leases(count: int, seed: int, progress: Progress) -> Counter[str]:
    its: Law = getattr(leasing, "law")  # noqa: B009 - the decorator puts it there
    of_lost = count // 10
    met = its.check(seed=seed, examples=count - of_lost, shrink=False, progress=progress)
    return met + lose_workers(of_lost, lambda done: progress(count - of_lost + done))


def _token_oracle(count: int, seed: int, progress: Progress) -> Counter[str]:
    its: Law = getattr(comparing, "law")  # noqa: B009 - the decorator puts it there
    return its.check(seed=seed, examples=count, progress=progress)


CHECKS: dict[str, Check] = {
    one.name: one
    for one in (
        Check(
            "accumulate-dispatches",
            "C5, M9, T8",
            "dispatches with set, reset and fork: live objects and memory stay as they were",
            100_000,
            accumulate,
            floors={"dispatches": 100_000, "sets": 40_000, "resets": 10_000, "forks": 20_000},
        ),
        Check(
            "background-tasks",
            "B1, B3, B4",
            "tasks through four slots, a hundred together: each finds its own secret, and no other",
            10_000,
            count_tasks,
            floors={
                "tasks": 10_000,
                "with a secret": 8_000,
                "without": 1_400,
                "together": 100,
                "sessions": 10_000,
            },
        ),
        Check(
            "endings",
            "D5, D6",
            "calls with objects that resist: each ends, both processes live, nothing is left",
            20_000,
            _endings,
            floors=LONG_ENDINGS | RARE_FLOORS,
        ),
        Check(
            "fuzz-manifests",
            "M2, M6, M7",
            "real frames made wrong: typed outcomes, and a call is served afterwards",
            100_000,
            _fuzz_manifests,
            floors={
                "parsed": 30_000,
                "mounted": 1_000,
                "compared": 30_000,
                "worker: mounted in part, with a warning": 1_000,
                "caller: mounted in part, with a warning": 500,
            },
        ),
        Check(
            "hostile-frames",
            "P5, V1",
            "hostile peers of two workers: each refused, announced, counted; calls are answered",
            200_000,
            attack,
            floors={
                "links of their own": 20_000,
                "links": 9_000,
                "good calls answered": 2_000,
                "a flood of links": 100,
                "a certificate that has expired": 1_000,
                "a certificate of another authority": 1_000,
                "a name that may not call": 1_000,
                "no certificate": 1_000,
                "no hello: another frame": 1_000,
                "no hello: nothing": 150,
                "another version": 1_000,
                "a flood of calls": 1_000,
                "a flood of routines": 1_000,
                "too many keys": 1_000,
                "too many bytes under way": 150,
                "a number that is in use": 1_000,
                "a number that was used": 150,
                "answers that nobody reads": 150,
                "unpickled for insiders": 100_000,
            },
        ),
        Check(
            "joins-and-leaves",
            "P8, P12, D7",
            "workers join, leave, die and lie: calls end once, members are those that are there",
            3_000,
            join_and_leave,
            floors={
                "joined": 300,
                "a name came back": 250,
                "stopped": 120,
                "killed": 120,
                "record removed": 120,
                "record put back": 80,
                "calls answered": 10_000,
                "calls lost": 200,
                "streams ended": 5_000,
                **dict.fromkeys(LIES, 30),
            },
        ),
        Check(
            "kills",
            "D7, P2, P12",
            "a worker dies or stops each second: each call ends, at most once; the pool heals",
            12_000,
            kill,
            floors={
                "calls answered": 8_000,
                "calls lost": 300,
                "kills that hit a call": 300,
                "killed by SIGKILL": 75,
                "killed by SIGSEGV": 75,
                "killed by SIGSTOP": 75,
                "killed by os._exit": 75,
                "replaced in two seconds": 300,
            },
        ),
        Check(
            "leases",
            "P3, P4",
            "calls that end in every way, by each path: each takes one lease and releases it;"
            " a tenth of them on workers that are killed and recycled",
            10_000,
            _leases,
            floors=LONG_LEASES,
        ),
        Check(
            "token-oracle",
            "T1-T9, C5, C9, D2, M8, M9",
            "random scripts come to the same with the stdlib and through two workers",
            2_000,
            _token_oracle,
            floors=LONG_FLOORS,
        ),
        Check(
            "token-dispatches",
            "T4, T8",
            "dispatches whose tokens cross: live objects and ledgers stay as they were",
            100_000,
            token_counts.dispatch,
            floors={
                "dispatches": 100_000,
                "reset here": 25_000,
                "reset there": 37_500,
                "never reset": 25_000,
            },
        ),
        Check(
            "token-stream",
            "M9, T8",
            "steps of one stream, each of which sets: frames keep their sizes, objects their count",
            100_000,
            token_counts.step,
            floors={
                "steps": 100_000,
                "frames sent": 100_000,
                "frames answered": 100_000,
                "reset here": 10_000,
                "reset there": 10_000,
                "never reset": 10_000,
            },
        ),
        Check(
            "upgrades",
            "V1, V3, D7",
            "a fleet of 0.1.0 is upgraded and rolled back under load: each call ends rightly, once",
            150,
            upgrades.take_long,
            floors=upgrades.LONG_FLOORS,
        ),
    )
}
