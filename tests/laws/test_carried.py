"""Law of carried variables: a worker sees what a local call would, under any chain."""

from __future__ import annotations

import contextvars
from typing import Any

from hypothesis import strategies as st

import catena
from catena.dispatch.payloads import LENIENT
from catena.transfer.baseline import Baseline
from catena.transfer.capture import capture_answer, capture_drive
from catena.transfer.mount import mount
from catena.transfer.states.kept import KeptStates
from catena.transfer.states.plain import PLAIN
from catena.transfer.states.sent import SentStates
from tests.carrying import carrying_alone
from tests.laws.law import Seen, law
from tests.support import variable

VARIABLES = (0, 1, 2)
"""Two that come back, and one that does not."""

UNSET = "unset"
_variables: list[contextvars.ContextVar[Any]] = [
    contextvars.ContextVar(f"law{number}") for number in VARIABLES
]
VALUES = st.lists(st.integers(0, 3), max_size=2) | st.sampled_from(["a", 7, None, ("a", 1)])
CHANGES = st.tuples(
    st.sampled_from(["set", "set", "append", "unset"]), st.sampled_from(VARIABLES), VALUES
)
HERE = st.tuples(st.just("here"), CHANGES)
STEPS = st.one_of(
    HERE,
    HERE,
    st.tuples(st.just("arm"), st.integers(0, 2)),
    st.tuples(st.just("call"), st.lists(CHANGES, max_size=2)),
    st.tuples(st.just("drive"), st.lists(CHANGES, max_size=2)),
    st.tuples(st.just("drive"), st.just([])),
)

FLOORS = {
    "set": 400,
    "append": 15,
    "unset": 10,
    "a call": 200,
    "a call by name": 15,
    "an unarmed call": 60,
    "a drive": 60,
    "came back": 60,
    "went along": 30,
}


class End:
    """One Context, what it should hold, and how each variable that it has set may be unset."""

    def __init__(self, variables: list[contextvars.ContextVar[Any]], context: Any) -> None:
        self.context: contextvars.Context = context
        self.baseline: Baseline | None = None
        self._variables = variables
        self.set_here: set[int] = set()
        self._tokens: dict[int, contextvars.Token[Any]] = {}

    def held(self) -> list[str]:
        """What is bound there, as text."""
        return [repr(self.context.run(var.get, UNSET)) for var in self._variables]

    def objects(self) -> list[Any]:
        """What is bound there."""
        return [self.context.run(var.get, UNSET) for var in self._variables]

    def change(self, kind: str, which: int, value: Any, seen: Seen) -> None:
        """Set a variable, change its value in place, or unset it, where that is possible."""
        var = self._variables[which]
        now = self.context.run(var.get, UNSET)
        if kind == "append":
            if not isinstance(now, list):
                return
            now.append(9)  # pyright: ignore[reportUnknownMemberType]
        elif kind == "unset":
            token = self._tokens.pop(which, None)
            if token is None:
                return
            self.context.run(var.reset, token)
        else:
            # A new object, which nothing else holds.
            token = self.context.run(var.set, list(value) if isinstance(value, list) else value)  # pyright: ignore[reportUnknownArgumentType]
            self.set_here.add(which)
            if token.old_value is contextvars.Token.MISSING:
                self._tokens[which] = token
        seen[kind] += 1


class Playing:
    """A caller, a link, and the worker of the call that was made last."""

    def __init__(self, seen: Seen, *, named: bool) -> None:
        self.seen = seen
        self.variables = _variables
        for number, var in enumerate(_variables):
            catena.carry(var, at=f"law:v{number}", propagate="forward" if number == 2 else "both")
        self.own = variable("carried")
        self.caller = End(self.variables, contextvars.Context())
        self.worker: End | None = None
        self.sent = SentStates(short=0, states=3) if named else PLAIN
        self.kept = KeptStates(LENIENT)
        self.known: list[tuple[Any, str]] = []

    def call(self, changes: list[Any]) -> None:
        """Make a call, whose routine changes variables."""
        caller, context = self.caller, self.caller.context
        captured = context.run(capture_drive, LENIENT, None, self.sent)
        caller.baseline = captured and captured.baseline
        manifest = captured and captured.manifest
        base = self.kept.find_base(manifest)
        assert base is not None
        worker = self.worker = End(self.variables, base.context.copy())
        worker.baseline = worker.context.run(self.kept.enter, manifest, base)
        if manifest is not None:
            self.sent.confirm(manifest.name)
            self.seen["a call by name"] += manifest.base > 0
            self.seen["an unarmed call"] += not manifest.chain_id
        self.seen["a call"] += 1
        assert worker.held() == caller.held()
        self._answer(worker, changes)

    def drive(self, changes: list[Any]) -> None:
        """Drive the last call once more, as a stream is."""
        worker, caller = self.worker, self.caller
        if worker is None:
            return
        was, here, now = worker.held(), caller.objects(), caller.held()
        captured = caller.context.run(capture_drive, LENIENT, caller.baseline)
        caller.baseline = captured and captured.baseline
        if captured is not None:
            worker.baseline = worker.context.run(
                mount, captured.manifest, LENIENT, to_worker=True, baseline=worker.baseline
            )
        self.seen["a drive"] += 1
        for which, held in enumerate(worker.held()):
            is_new = here[which] is not self.known[which][0] or now[which] != self.known[which][1]
            # Where another chain drives than before, it says all that it has.
            is_new = is_new or (captured is not None and captured.manifest.whole)
            # What the worker has set itself it alone can unset.
            if is_new and now[which] == repr(UNSET) and which in worker.set_here:
                continue
            assert held == (now[which] if is_new else was[which])
            self.seen["went along"] += is_new
        self._answer(worker, changes)

    def _answer(self, worker: End, changes: list[Any]) -> None:
        mounted, here = worker.objects(), self.caller.held()
        for change in changes:
            worker.change(*change, self.seen)
        manifest, worker.baseline = worker.context.run(capture_answer, LENIENT, worker.baseline)
        if manifest is not None:
            self.caller.baseline = self.caller.context.run(
                mount, manifest, LENIENT, to_worker=False, baseline=self.caller.baseline
            )
        held, now = self.caller.held(), worker.objects()
        for which in VARIABLES:
            is_new = now[which] is not mounted[which]
            if which == 2 or not is_new:
                assert held[which] == here[which]
            elif now[which] != UNSET:
                assert held[which] == repr(now[which])
                self.seen["came back"] += 1
        self.known = [*zip(self.caller.objects(), held, strict=True)]


def play(seen: Seen, steps: list[Any], *, named: bool) -> None:
    """Play a program to its end."""
    playing = Playing(seen, named=named)
    for kind, what in steps:
        if kind == "here":
            playing.caller.change(*what, seen)
        elif kind == "arm":
            playing.caller.context.run(playing.own.set, what)
        elif kind == "call":
            playing.call(what)
        else:
            playing.drive(what)


@law(st.lists(STEPS, min_size=6, max_size=20), st.booleans(), examples=300, floors=FLOORS)
def test_a_worker_sees_what_a_local_call_would(seen: Seen, steps: list[Any], named: bool) -> None:
    """C17: at each first frame all of it; back comes what was bound anew, for ``both`` alone."""
    with carrying_alone():
        play(seen, steps, named=named)
