"""A law: a check over many random examples, which proves that it looked.

Its body counts what it meets in the Counter that it is given first; when all examples are through,
what it met is held against stated floors. The seed is an argument and otherwise the same in every
run: what one run finds, every run finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from random import Random
from typing import Any
from unittest.mock import patch

import hypothesis
from hypothesis import HealthCheck, Phase, strategies as st
from hypothesis.internal.conjecture import providers

__all__ = ["Law", "Random", "Seen", "law", "reached"]

Seen = Counter[str]

_QUICK = (Phase.explicit, Phase.generate)
_THOROUGH = (*_QUICK, Phase.shrink)


class Law:
    """One law: its body, what is drawn for it, how often, and what it has to meet.

    ``first`` are examples that come before all random ones; ``around`` makes what is open while the
    examples of one run go through. It is given whether to shrink, which is then left to the body.
    """

    def __init__(
        self,
        body: Callable[..., None],
        draws: tuple[st.SearchStrategy[Any], ...],
        *,
        examples: int,
        floors: Mapping[str, int],
        first: tuple[tuple[Any, ...], ...] = (),
        around: Callable[[bool], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.name = body.__name__
        self.examples = examples
        self.floors = floors
        self._body = body
        self._drawn = st.tuples(*draws)
        self._first = first
        self._around = around

    def check(
        self,
        *,
        seed: int = 0,
        examples: int | None = None,
        shrink: bool = True,
        progress: Callable[[int], None] | None = None,
    ) -> Seen:
        """Run the body on so many examples and return what it met.

        Raises what the body raises, for the smallest example that Hypothesis finds; without
        ``shrink``, for the first one. ``progress`` is called before each with how many have begun.
        """
        seen: Seen = Counter()

        def case(drawn: tuple[Any, ...]) -> None:
            seen["examples"] += 1
            if progress is not None:
                progress(seen["examples"])
            self._body(seen, *drawn)

        test = hypothesis.given(self._drawn)(case)
        # Hypothesis begins with the one that was added last.
        for one in reversed(self._first):
            test = hypothesis.example(one)(test)
        hypothesis.settings(
            max_examples=examples or self.examples,
            phases=_THOROUGH if shrink and self._around is nullcontext else _QUICK,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            # How fast this machine is proves nothing.
            suppress_health_check=[HealthCheck.too_slow],
        )(test)
        # Hypothesis also draws constants of the modules that happen to be imported: with them,
        # what a law meets would depend on which tests ran before.
        drawn_alone = patch.object(providers, "_get_local_constants", providers.Constants)
        with drawn_alone, self._around(shrink):
            hypothesis.seed(seed)(test)()
        return seen

    def holds(self) -> None:
        """Run the whole law. Raises what its body raises, and AssertionError below a floor."""
        reached(self.check(), self.floors)


def law(
    *draws: st.SearchStrategy[Any],
    floors: Mapping[str, int],
    examples: int = 100,
    first: tuple[tuple[Any, ...], ...] = (),
    around: Callable[[bool], AbstractContextManager[Any]] = nullcontext,
) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Make a test of a law's body ``(seen, *drawn)``; the test's attribute ``law`` is the Law."""

    def decorate(body: Callable[..., None]) -> Callable[[], None]:
        its = Law(body, draws, examples=examples, floors=floors, first=first, around=around)

        def test() -> None:
            its.holds()

        # Not functools.wraps: pytest would take the body's parameters for fixtures.
        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(test, name, getattr(body, name))
        test.law = its  # type: ignore[attr-defined]
        return test

    return decorate


def reached(seen: Mapping[str, int], floors: Mapping[str, int]) -> None:
    """Raise AssertionError that names everything that was met less often than its floor says."""
    short = [
        f"{what}: {seen.get(what, 0)} of {floor}"
        for what, floor in floors.items()
        if seen.get(what, 0) < floor
    ]
    if short:
        raise AssertionError(f"met too seldom: {', '.join(short)}")
