"""The differential oracle of tokens: one script, once with the stdlib, once through a pool.

With the stdlib a call is an awaited coroutine of this process, with Catena a routine on one of two
workers; everything that is noted must be equal (tests/laws/oracle_frame.py). Drawn are sets, resets
by the own and by another variable, values that hold tokens, looks at reprs and old values; calls up
to three deep, streams that are driven, sent to, thrown into and closed, from several tasks; forks
into a copy of the Context and back into a Context that was entered before; tokens that go along by
every carrier, and exceptions that pass through several calls.

Left out is what is not the same by design. Identity: what crosses is equal, not the same (C15, D5),
so tokens are known by slots. Values that are changed in place (C15) and forward-only variables
(C13) have laws of their own. Two tasks in one Context at the same time are refused (C9); steps of
one stream at the same time are refused by both (D2), which test_parity looks at. A stream is closed
before its maker ends: what collection does to one has no place in a script (D2).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import catena
from tests.laws import oracle_run
from tests.laws.law import Seen, law
from tests.laws.oracle_draws import SCRIPTS
from tests.laws.oracle_frame import Note
from tests.laws.oracle_regressions import REGRESSIONS
from tests.laws.oracle_scripts import CARRIERS, OUTCOMES, Body

__all__ = ["LONG_FLOORS"]

SECONDS = 20
"""How long a script may take."""

LONG_FLOORS = {
    **dict.fromkeys(OUTCOMES, 300),
    **dict.fromkeys(CARRIERS, 100),
    **{f"hops {number}": 100 for number in range(4)},
    **{f"depth {number}": 100 for number in range(4)},
}
EXAMPLES = 200
FLOORS = {what: floor // 20 for what, floor in LONG_FLOORS.items()}


class Oracle:
    """Runs scripts on either side, in one loop and, from the first one on, one pool."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._pool: catena.WorkerPool | None = None

    def theirs(self, script: Body) -> list[Note]:
        """Return what the stdlib comes to."""
        return self._runner.run(oracle_run.observed(oracle_run.STDLIB, script, SECONDS))

    def ours(self, script: Body) -> list[Note]:
        """Return what Catena comes to; a pool in which a script hung is not used again."""
        if self._pool is None:
            self._pool = catena.WorkerPool(spawn=2)
            self._runner.run(self._pool.__aenter__())
        try:
            return self._runner.run(oracle_run.observed(oracle_run.CATENA, script, SECONDS))
        except TimeoutError:
            self._leave()
            raise

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


_open: list[Oracle] = []


@contextmanager
def oracle() -> Iterator[None]:
    """Keep one oracle open for all scripts of a run."""
    _open.append(one := contextvars.Context().run(Oracle))
    try:
        yield
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
                seen[f"notes: {what}"] += 1


def differ(script: Body, theirs: list[Note], ours: Any) -> str:
    """Return what to paste into the regressions, and where the first difference is."""
    place = next(
        (
            number
            for number, both in enumerate(zip(theirs, ours, strict=False))
            if both[0] != both[1]
        ),
        min(len(theirs), len(ours)),
    )
    return (
        f"note {place} of {len(theirs)} differs: with the stdlib {theirs[place : place + 1]},"
        f" with Catena {ours[place : place + 1]}, after {theirs[max(0, place - 3) : place]};"
        f" the script:\n{script!r}"
    )


@law(
    SCRIPTS,
    examples=EXAMPLES,
    floors=FLOORS,
    first=tuple((script,) for script in REGRESSIONS),
    around=oracle,
)
def test_a_script_comes_to_what_it_comes_to_in_the_stdlib(seen: Seen, script: Body) -> None:
    """T1-T9, C5, C9, D2, M8, M9: every observation through two workers equals the stdlib's."""
    theirs = _open[-1].theirs(script)
    count(seen, theirs)
    try:
        ours = _open[-1].ours(script)
    except Exception as error:
        raise AssertionError(f"{error!r} in the script:\n{script!r}") from error
    assert ours == theirs, differ(script, theirs, ours)
