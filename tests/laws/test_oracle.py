"""The differential oracle of tokens: one script, once with the stdlib, once through a pool.

With the stdlib a call is an awaited coroutine of this process, with Catena a routine on one of two
workers; everything that is noted must be equal (tests/laws/oracle_frame.py). Drawn are sets, resets
by the own and by another variable, values that hold tokens, looks at reprs and old values; calls up
to three deep, streams that are driven, sent to, thrown into and closed, from several tasks; forks
into a copy of the Context and back into a Context that was entered before; tokens that go along by
every carrier, and exceptions that pass through several calls; branches at the same time, and steps
that are taken in another Context from the same task, or in a task's before it begins.

Left out is what is not the same by design. Identity: what crosses is equal, not the same (C15, D5),
so tokens are known by slots. Values that are changed in place (C15) and forward-only variables
(C13) have laws of their own. Two live tasks in one Context are refused (C9), so each Context here
is one task's at a time; branches have tables of their own, for their order is nobody's. Steps of
one stream at the same time are refused by both (D2), which test_parity looks at. A stream is closed
before its maker ends: what collection does to one has no place in a script (D2).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import catena
from tests.laws import oracle_run
from tests.laws.law import Seen, law
from tests.laws.oracle_cargo import Note
from tests.laws.oracle_draws import SCRIPTS
from tests.laws.oracle_regressions import REGRESSIONS
from tests.laws.oracle_scripts import CARRIERS, OUTCOMES, Body, Call, Fork, Get, Reset, Set
from tests.laws.oracle_shrink import shrunk

__all__ = ["LONG_FLOORS"]

SECONDS = 20
"""How long a script may take."""

SHRINKING = 40
"""How long a smaller script is looked for that fails as well."""

LONG_FLOORS = {
    **dict.fromkeys(OUTCOMES, 300),
    **dict.fromkeys(CARRIERS, 100),
    **{f"hops {number}": 100 for number in range(4)},
    **{f"depth {number}": 100 for number in range(4)},
}
EXAMPLES = 150
FLOORS = {what: floor // 20 for what, floor in LONG_FLOORS.items()}


class Oracle:
    """Runs scripts on either side, in one loop and, from the first one on, one pool."""

    def __init__(self, *, shrink: bool) -> None:
        self.shrink = shrink
        self._runner = asyncio.Runner()
        self._pool: catena.WorkerPool | None = None
        self._differences: dict[str, str] = {}

    def theirs(self, script: Body) -> list[Note]:
        """Return what the stdlib comes to."""
        return self._runner.run(oracle_run.observed(oracle_run.STDLIB, script, SECONDS))

    def ours(self, script: Body) -> list[Note]:
        """Return what Catena comes to; an error is a note, too."""
        if self._pool is None:
            self._pool = catena.WorkerPool(spawn=2)
            self._runner.run(self._pool.__aenter__())
        try:
            return self._runner.run(oracle_run.observed(oracle_run.CATENA, script, SECONDS))
        except Exception as error:
            # Something may hang in there: the next script gets new workers.
            self._leave()
            return [("raised", f"{type(error).__name__}: {error}")]

    def differ(self, script: Body) -> bool:
        """Say whether the two sides come to different notes."""
        return self.ours(script) != self.theirs(script)

    def difference(self, script: Body) -> str:
        """Return where the notes differ first, and what to paste into the regressions.

        With ``shrink`` that is about a smaller script, looked for once.
        """
        key = repr(script)
        if key not in self._differences:
            if self.shrink:
                script = shrunk(script, self.differ, seconds=SHRINKING)
            self._differences[key] = _difference(script, self.theirs(script), self.ours(script))
        return self._differences[key]

    def close(self) -> None:
        """Leave the pool and close the loop."""
        try:
            self._leave()
        finally:
            self._runner.close()

    def _leave(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            self._runner.run(pool.__aexit__(None, None, None))


def _difference(script: Body, theirs: list[Note], ours: list[Note]) -> str:
    both = enumerate(zip(theirs, ours, strict=False))
    short = min(len(theirs), len(ours))
    place = next((number for number, (one, other) in both if one != other), short)
    return (
        f"note {place} of {len(theirs)} differs: with the stdlib {theirs[place : place + 1]}, with"
        f" Catena {ours[place : place + 1]}, after {theirs[max(0, place - 3) : place]};"
        f" the script:\n{script!r}"
    )


_open: list[Oracle] = []


@contextmanager
def oracle(shrink: bool) -> Iterator[Oracle]:
    """Keep one oracle open for all scripts of a run."""
    _open.append(one := contextvars.Context().run(partial(Oracle, shrink=shrink)))
    try:
        yield one
    finally:
        _open.pop()
        one.close()


def count(seen: Seen, notes: list[Note]) -> None:
    """Count what a script met."""
    for note in notes:
        match note:
            case ("reset", _, outcome, _, _, hops, depth, _):
                seen[outcome] += 1
                seen[f"hops {hops}"] += 1
                seen[f"depth {depth}"] += 1
            case ("arrived", carrier, _):
                seen[carrier] += 1
            case (what, *_):
                seen[f"note: {what}"] += 1
            case _:
                raise TypeError(f"no note: {note}")


@law(
    SCRIPTS,
    examples=EXAMPLES,
    floors=FLOORS,
    first=tuple((script,) for script in REGRESSIONS),
    around=oracle,
)
def test_a_script_comes_to_what_it_comes_to_in_the_stdlib(seen: Seen, script: Body) -> None:
    """T1-T9, C5, C9, D2, M8, M9: every observation through two workers equals the stdlib's."""
    its = _open[-1]
    theirs = its.theirs(script)
    count(seen, theirs)
    if its.ours(script) != theirs:
        raise AssertionError(its.difference(script))


def test_a_failing_script_is_shrunk() -> None:
    """What is reported is the smallest script that fails, as source to keep."""

    def fails(script: Body) -> bool:
        return "Reset(which=1" in repr(script)

    inner = Call((Set(0, [2], 3), Fork((Get(1), Reset(2, 1)), 0)), ((0, "argument"),), lets=True)
    script = (Set(1, 0, 2), inner, Fork((inner, Reset(1), Get(1))), Get(0))
    assert shrunk(script, fails, seconds=SECONDS) == (Reset(1),)
    assert shrunk(script, fails, seconds=0) == script
    assert eval(repr(script)) == script
