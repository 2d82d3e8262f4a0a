"""The law of endings: 300 calls here, the long count by ``make long NAME=endings``."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.laws import endings
from tests.laws.endings_hostile import EXCEPTION_HOOKS, RAISED, VALUE_HOOKS
from tests.laws.endings_run import BREAKS, HEAVY, PLACES, drawn
from tests.laws.law import Random, Seen, law

__all__ = ["LONG_FLOORS", "RARE_FLOORS"]

CALLS = 300
FEW = 2_000
"""After how many calls one has a gigabyte: never here, ten times in the long count."""

KINDS = {"value": VALUE_HOOKS, "exception": EXCEPTION_HOOKS, "group": VALUE_HOOKS}

OUTCOMES = ("a value", "its own class", "SerializationError", "TimeoutError")

LONG_FLOORS = {
    **{f"hook {hook}": 500 if hook in VALUE_HOOKS else 150 for hook in EXCEPTION_HOOKS},
    **{f"place {place}": 300 for place in PLACES},
    **{f"{raised} was raised": 600 for raised in RAISED},
    **{f"ending {ending}": 600 for ending in ("ended", *BREAKS)},
    **{f"depth {depth}": 3_000 for depth in range(3)},
    **{f"outcome: {what}": 200 for what in OUTCOMES},
}
RARE_FLOORS = {"a gigabyte": 10, "outcome: RemoteError": 10}
"""What only the long count is sure to meet."""

# Some hooks come up only once or twice in so few calls, so nothing can be asked of them here.
FLOORS = {what: floor // 200 for what, floor in LONG_FLOORS.items() if floor >= 300}


@law(st.randoms(use_true_random=True), examples=CALLS, floors=FLOORS, around=endings.living)
def test_every_call_ends_and_leaves_nothing(seen: Seen, random: Random) -> None:
    """D5, D6: whatever resists, a call ends, both processes live, and nothing of it is left."""
    if seen["examples"] % FEW == 0:
        seen["a gigabyte"] += 1
        endings.alive().weigh(seen, HEAVY[seen["a gigabyte"] % len(HEAVY)])
        return
    plan = drawn(random, (KINDS, tuple(RAISED)))
    seen[f"hook {plan.spec.hook}"] += 1
    seen[f"place {plan.place}"] += 1
    seen[f"{plan.spec.raised} was raised"] += 1
    seen[f"ending {plan.ending}"] += 1
    seen[f"depth {plan.depth}"] += 1
    endings.alive().live(seen, plan)
