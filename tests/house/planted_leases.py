"""The faults that the law of leases has to find: a release that is forgotten, a lease too many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from catena.dispatch.worker.sessions import Sessions
from catena.leases import Leases
from catena.transfer.states.kept import KeptStates
from tests.laws.fault import keep
from tests.laws.lease_calls import ENDINGS, KINDS, REFUSED, CountingLeases, Plan
from tests.laws.test_leases import test_every_call_takes_one_lease_and_releases_it as a_lease

__all__ = ["CHECKS"]

CHECKS = (a_lease,)

_take = CountingLeases.__setitem__


def _forgetting(when: Callable[[Plan], bool]) -> Any:
    """Have a release forgotten where it belongs to a certain call."""

    def pop(self: CountingLeases, holder: Any, *default: Any) -> Any:
        if self.plan is None or not when(self.plan):
            return Leases.pop(self, holder, *default)
        return None

    return patch.object(CountingLeases, "pop", pop, create=True)


for ending in ENDINGS:
    if ending not in REFUSED:
        keep(
            f"a call that ends as '{ending}' keeps its lease",
            _forgetting(lambda plan, ending=ending: plan.ending == ending),
            a_lease,
        )
for kind in KINDS:
    keep(
        f"a call of the kind '{kind}' keeps its lease where it is observed",
        _forgetting(lambda plan, kind=kind: plan.kind == kind and plan.observed),
        a_lease,
    )


def _take_twice(self: CountingLeases, holder: Any, lease: tuple[str, int]) -> None:
    _take(self, holder, lease)
    if self.plan is not None and self.plan.path == "both":
        self.taken["fields"] += 1


keep(
    "a proxy that goes both ways is leased twice",
    patch.object(CountingLeases, "__setitem__", _take_twice),
    a_lease,
)
keep(
    "the fields count although the chain has the proxy",
    patch.object(KeptStates, "find_bound", lambda *_: None),
    a_lease,
)
keep(
    "a call that is refused takes a lease",
    patch.object(
        Sessions,
        "_find_refusal",
        lambda self, session, _: self._states.roots and _leased(self, session),
    ),
    a_lease,
)


def _leased(sessions: Any, session: Any) -> None:
    for root in sessions._states.roots.values():
        root.bound.leases[session] = "chain", 0
