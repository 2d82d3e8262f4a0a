"""A law of leases: every call takes one, by one path, and releases it whatever its end."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.laws.law import Seen, law
from tests.laws.lease_calls import ENDINGS, KINDS, PATHS, REFUSED, Plan, check_call

__all__ = ["LONG_FLOORS", "test_every_call_takes_one_lease_and_releases_it"]

_OF_STREAMS = ("closed", "abandoned")

plans = st.builds(
    Plan,
    st.sampled_from(KINDS),
    st.sampled_from(ENDINGS),
    st.sampled_from(PATHS),
    st.booleans(),
    st.booleans(),
    st.integers(0, 200),
).map(lambda plan: plan._replace(kind="stream") if plan.ending in _OF_STREAMS else plan)


@law(
    plans,
    examples=300,
    floors={
        **dict.fromkeys(ENDINGS, 5),
        **dict.fromkeys(KINDS, 40),
        "by chain": 80,
        "by fields": 30,
        "both written": 30,
        "observed": 60,
    },
)
def test_every_call_takes_one_lease_and_releases_it(seen: Seen, plan: Plan) -> None:
    """P3, P4: after success, error, cancel, loss and refusal; both paths written are one lease."""
    taken = check_call(plan)
    seen[plan.ending] += 1
    seen[plan.kind] += 1
    seen["observed"] += plan.observed
    seen["both written"] += plan.path == "both"
    for source, number in taken.items():
        seen[f"by {source}"] += number
    if plan.ending not in REFUSED and taken:
        assert set(taken) == {"fields" if plan.path == "fields" else "chain"}


LONG_FLOORS = {
    **dict.fromkeys(ENDINGS, 300),
    **dict.fromkeys(KINDS, 2_000),
    "by chain": 4_000,
    "by fields": 2_000,
    "both written": 2_000,
    "observed": 3_000,
    "calls answered": 700,
    "worker killed": 9,
    "worker recycled": 9,
}
"""What 10,000 calls have to meet."""
