"""A fleet of 0.1.0 is upgraded under load; the long plan is ``make long NAME=upgrades``."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.compat.upgrades import (
    CALLERS,
    WORKERS,
    UpgradeFailed,
    pairs_of,
    plan_steps,
    upgrade,
)
from tests.laws.law import reached

SEED, STEPS = 5, 5
"""The plan is the shortest in which each release calls each through each; see the test of that."""

MIXED = ("w0", "w1", "c0")
"""Who is of this source in a fleet in which faults are planted."""


@pytest.mark.timeout(180)
def test_calls_end_rightly_while_a_fleet_is_upgraded_and_rolled_back() -> None:
    """V1, V3, D7: each call ends rightly, or its worker was stopped; each runs once."""
    steps = plan_steps(SEED, STEPS)
    met = upgrade(steps)

    floors = {one: 10 if one.count("calls") == 1 else 1 for one in pairs_of(steps)}
    reached(met, {**floors, "calls": 300, "killed": 1, "rolled back": 1})


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("keep_all_capabilities", r"Task: \['Task.9'\]"),
        ("send_newer_fields", r"Task: \['Task.9'\]"),
        ("end_at_unknown_frames", "lost"),
    ],
)
def test_a_planted_fault_is_found(fault: str, words: str) -> None:
    """The check fails for a fault of each kind, in a fleet that is mixed from the start."""
    with pytest.raises(UpgradeFailed, match=words):
        upgrade([], fault=fault, new=MIXED)


def test_a_plan_follows_from_its_seed_and_meets_all() -> None:
    """The short plan has both versions in each place, a worker that is killed and a way back."""
    steps = plan_steps(SEED, STEPS)

    assert steps == plan_steps(SEED, STEPS) != plan_steps(SEED + 1, STEPS)
    assert len(pairs_of(steps)) == 2 * 2 + 2 * 2 * 2
    assert any(one.killed for one in steps)
    assert any(not one.is_new for one in steps)


def test_a_long_plan_upgrades_all_and_goes_on() -> None:
    """Each step replaces a process by one of the other version."""
    new: set[str] = set()
    sizes: Counter[int] = Counter()
    for step in plan_steps(1, 400):
        assert (step.who in new) is not step.is_new
        new.symmetric_difference_update({step.who})
        sizes[len(new)] += 1

    assert sizes[WORKERS + CALLERS] > 10
    assert pairs_of([]) == {"old calls old", "old calls old calls old"}
