"""Laws of capture and mount: whatever is set and reset, the other end sees what a dict would hold.

Random programs run on a stack of Contexts: the caller, the worker that it calls, the worker that
this one calls, forks of either. Beside each Context stands a plain dict. A call copies the caller's
dict; an answer copies back what is not forward-only; a fork keeps its own.
"""

from __future__ import annotations

import contextvars
import copy
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings, strategies as st

import catena
from catena.context.current import current
from catena.context.fork import fork_here
from catena.context.manifest import ChainManifest
from catena.context.mount import Prepared, adopt, capture, mount, prepared
from catena.dispatch.values import WIRE
from catena.wire.codec import decode_manifest, encode_manifest
from tests.support import variable

UNSET = "<unset>"

# Few values, so that they meet; half of them are equal for Python though they are not the same.
FIXED = st.sampled_from([0, 0.0, -0.0, False, (0,), (0.0,), (-0.0,), (False,), "a", (0, ("a",))])
MUTABLE = st.sampled_from([[], ["a"], {"a": 0}, ([], "a")])
VALUES = st.one_of(FIXED, FIXED, MUTABLE)
# The first is what a failing program shrinks to where a step does not matter.
STEPS = ["look", "set", "set", "set", "reset", "change", "call", "call", "answer", "answer", "fork"]
PROGRAMS = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 2), VALUES), min_size=30, max_size=30
)


@dataclass(eq=False)
class Scope:
    """One Context, the dict that says what it should hold, and the tokens that it minted.

    ``parked`` is a worker that has answered and can be driven again, as a stream is.
    """

    context: contextvars.Context
    model: dict[int, Any]
    fork: bool = False
    tokens: list[tuple[catena.Token[Any], int, Any]] = field(default_factory=list)
    parked: Scope | None = None


def mutate(value: Any) -> None:
    """Change a value in place, inside of a tuple too; leave alone what cannot change."""
    match value:
        case list():
            value.append("more")
        case dict():
            value["more"] = len(value)
        case tuple() if value:
            mutate(value[0])
        case _:
            pass


class Chains:
    """A stack of Contexts, and the steps of a program; a step that cannot be taken is left out."""

    def __init__(self) -> None:
        self.variables = [
            variable("law", propagate=policy) for policy in ("both", "both", "forward")
        ]
        self.both = (0, 1)
        # The caller, who is unarmed, and a worker process that has prepared nothing yet.
        self.scopes = [Scope(contextvars.Context(), {})]
        self.base = contextvars.Context()
        self.known: dict[bytes, Prepared] = {}

    @property
    def top(self) -> Scope:
        """Whoever runs: the callers below it wait."""
        return self.scopes[-1]

    def set(self, which: int, value: Any) -> None:
        """Set a variable."""
        top = self.top
        token = top.context.run(self.variables[which].set, copy.deepcopy(value))
        top.tokens.append((token, which, top.model.get(which, UNSET)))
        top.model[which] = copy.deepcopy(value)

    def reset(self, number: int) -> None:
        """Use one of the tokens that were minted in this Context, in any order."""
        top = self.top
        if not top.tokens:
            return
        token, which, old = top.tokens.pop(number % len(top.tokens))
        top.context.run(self.variables[which].reset, token)
        if old is UNSET:
            top.model.pop(which, None)
        else:
            top.model[which] = old

    def change(self, which: int) -> None:
        """Change a value in place."""
        mutate(self.top.context.run(self.variables[which].get, None))
        mutate(self.top.model.get(which))

    def look(self) -> None:
        """Capture in both directions, which changes nothing."""
        for to_worker in (True, False):
            first = self.top.context.run(capture, WIRE, to_worker=to_worker)
            assert self.top.context.run(capture, WIRE, to_worker=to_worker) == first

    def call(self, *, again: bool) -> None:
        """Call a worker: the one that answered last, when it is wanted again, or a fresh one."""
        if len(self.scopes) > 3:
            return
        caller = self.top
        manifest = self.sent(to_worker=True)
        if again and caller.parked is not None:
            worker, caller.parked = caller.parked, None
            if manifest is not None:
                worker.context.run(mount, manifest, WIRE, to_worker=True)
        else:
            worker = Scope(self.entered(manifest), {})
        worker.model = copy_each(caller.model)
        self.scopes.append(worker)

    def answer(self) -> None:
        """Go back to the caller, who takes over all but the forward-only; from a fork, nothing."""
        if len(self.scopes) == 1:
            return
        manifest = None if self.top.fork else self.sent(to_worker=False)
        left = self.scopes.pop()
        if left.fork:
            return
        caller = self.top
        if manifest is not None:
            caller.context.run(mount, manifest, WIRE, to_worker=False)
        own = {which: value for which, value in caller.model.items() if which not in self.both}
        news = {which: value for which, value in left.model.items() if which in self.both}
        caller.model = own | copy_each(news)
        caller.parked = left

    def fork(self) -> None:
        """Go on in a created task: the same objects, on a chain of its own."""
        if len(self.scopes) > 3:
            return
        parent = self.top
        context = parent.context.copy()
        chain = context.get(current)
        if chain is not None:
            context.run(fork_here, chain)
        self.scopes.append(Scope(context, dict(parent.model), fork=True))

    def step(self, kind: str, which: int, value: Any) -> None:
        """Take one step of a program."""
        match kind:
            case "set":
                self.set(which, value)
            case "reset":
                self.reset(which)
            case "change":
                self.change(which)
            case "look":
                self.look()
            case "call":
                self.call(again=which > 0)
            case "answer":
                self.answer()
            case _:
                self.fork()

    def holds(self) -> None:
        """Every Context holds what its dict says, to the type and the sign."""
        for scope in self.scopes:
            for which, var in enumerate(self.variables):
                seen = scope.context.run(var.get, UNSET)
                assert repr(seen) == repr(scope.model.get(which, UNSET))

    def sent(self, *, to_worker: bool) -> ChainManifest | None:
        """Return what the top captures, after a trip through bytes."""
        manifest = self.top.context.run(capture, WIRE, to_worker=to_worker)
        return None if manifest is None else decode_manifest(encode_manifest(manifest))

    def entered(self, manifest: ChainManifest | None) -> contextvars.Context:
        """Return a worker's Context for a first frame, prepared when its block was met before."""
        if manifest is None:
            return self.base.copy()
        known = self.known.get(manifest.entries)
        if known is not None:
            context = known.context.copy()
            context.run(adopt, manifest, known)
            return context
        context = self.base.copy()
        context.run(mount, manifest, WIRE, to_worker=True)
        state = context.run(prepared, self.base)
        if state is not None:
            self.known[manifest.entries] = state
        return context


def copy_each(model: dict[int, Any]) -> dict[int, Any]:
    """Return a copy whose values are each a copy, as if encoded one by one."""
    return {which: copy.deepcopy(value) for which, value in model.items()}


@settings(max_examples=300, deadline=None)
@given(PROGRAMS)
def test_a_chain_of_calls_goes_as_in_one_process(program: list[tuple[str, int, Any]]) -> None:
    """M3, C5, C13: sets, resets and changes in place cross as a plain dict would."""
    chains = Chains()

    for step in program:
        chains.step(*step)
        chains.holds()


NAMES = st.sampled_from([chr(ord("a") + n) for n in range(8)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_sets_leaves_no_trace(sets: list[tuple[str, Any]], random: Any) -> None:
    """M1: the same state captured makes the same bytes, in whatever order it came about."""
    final = dict(sets)
    variables = {name: variable(name) for name in final}
    shuffled = list(final.items())
    random.shuffle(shuffled)

    def state(order: list[tuple[str, Any]], to_worker: bool) -> bytes:
        for name, value in order:
            variables[name].set(copy.deepcopy(value))
        manifest = capture(WIRE, to_worker=to_worker)
        return b"" if manifest is None else manifest.entries

    for to_worker in (True, False):
        one = contextvars.Context().run(state, list(final.items()), to_worker)
        two = contextvars.Context().run(state, shuffled, to_worker)
        assert one == two


IDS = st.lists(st.binary(min_size=16, max_size=16), unique=True, max_size=5)


@given(
    IDS,
    IDS,
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=5),
    st.randoms(use_true_random=False),
)
def test_the_order_of_ledgers_and_carriers_leaves_no_trace(
    spent: list[bytes], live: list[bytes], carrier: dict[str, str], random: Any
) -> None:
    """M1: ids and maps are written sorted, and what is read is what was written."""

    def written() -> bytes:
        for ledger in (spent, live):
            random.shuffle(ledger)
        items = list(carrier.items())
        random.shuffle(items)
        manifest = ChainManifest(
            bytes(16), spent=tuple(spent), live=tuple(live), carrier=dict(items)
        )
        return encode_manifest(manifest)

    data = written()

    assert written() == data
    read = decode_manifest(data)
    assert (read.spent, read.live) == (tuple(sorted(spent)), tuple(sorted(live)))
    assert dict(read.carrier) == carrier
