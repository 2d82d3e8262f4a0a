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

from hypothesis import strategies as st

import catena
from catena.context import mount as mounting
from catena.context.current import current
from catena.context.fork import fork_here
from catena.context.manifest import ChainManifest
from catena.dispatch.values import WIRE
from catena.wire import codec
from tests.laws.law import Seen, law
from tests.support import variable

UNSET = "<unset>"

# Few values, so that they meet; half of them are equal for Python though they are not the same.
FIXED = st.sampled_from([0, 0.0, -0.0, False, (0,), (0.0,), (-0.0,), (False,), "a", (0, ("a",))])
MUTABLE = st.sampled_from([[], ["a"], {"a": 0}, ([], "a")])
VALUES = st.one_of(FIXED, FIXED, MUTABLE)
# The first is what a failing program shrinks to where a step does not matter.
STEPS = ["look", "set", "set", "set", "reset", "change", "call", "call", "answer", "answer", "fork"]
WHICH = st.integers(0, 2)
ZEROS = st.sampled_from([0, 0.0, -0.0, False, (0.0,), (-0.0,)])


def _story(*steps: tuple[str, Any, Any]) -> st.SearchStrategy[list[tuple[str, int, Any]]]:
    """Return steps in this order, of which some parts are drawn."""
    return st.tuples(*(st.tuples(st.just(kind), which, value) for kind, which, value in steps)).map(
        list
    )


_FIRST, _AGAIN, _LAST, _NO = st.just(0), st.just(1), st.just(-1), st.none()
# What single steps come to too seldom: resets that are told, values that are only equal, changes
# in place that are told.
STORIES = (
    _story(
        ("call", _FIRST, _NO),
        ("set", WHICH, VALUES),
        ("answer", _FIRST, _NO),
        ("call", _AGAIN, _NO),
        ("reset", _LAST, _NO),
        ("answer", _FIRST, _NO),
    ),
    _story(("set", _FIRST, ZEROS), ("call", WHICH, _NO), ("set", _FIRST, ZEROS)),
    _story(
        ("set", _FIRST, ZEROS),
        ("call", _FIRST, _NO),
        ("answer", _FIRST, _NO),
        ("set", _FIRST, ZEROS),
        ("call", _AGAIN, _NO),
    ),
    _story(
        ("set", _FIRST, MUTABLE),
        ("call", _FIRST, _NO),
        ("change", _FIRST, _NO),
        ("answer", _FIRST, _NO),
        ("change", _FIRST, _NO),
        ("call", _AGAIN, _NO),
    ),
)
ONE = st.tuples(st.sampled_from(STEPS), WHICH, VALUES).map(lambda step: [step])
PROGRAMS = st.lists(
    st.sampled_from([ONE] * 16 + list(STORIES)).flatmap(lambda part: part), min_size=15, max_size=25
).map(lambda parts: [step for part in parts for step in part])


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

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.variables = [
            variable("law", propagate=policy) for policy in ("both", "both", "forward")
        ]
        self.both = (0, 1)
        # The caller, who is unarmed, and a worker process that has prepared nothing yet.
        self.scopes = [Scope(contextvars.Context(), {})]
        self.base = contextvars.Context()
        self.known: dict[bytes, mounting.Prepared] = {}

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
        self.seen["set"] += 1

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
        self.seen["reset to nothing" if old is UNSET else "reset to a value"] += 1

    def change(self, which: int) -> None:
        """Change a value in place."""
        mutate(self.top.context.run(self.variables[which].get, None))
        before = repr(self.top.model.get(which))
        mutate(self.top.model.get(which))
        self.seen["changed in place"] += repr(self.top.model.get(which)) != before

    def look(self) -> None:
        """Capture in both directions, which changes nothing."""
        for to_worker in (True, False):
            first = self.top.context.run(mounting.capture, WIRE, to_worker=to_worker)
            again = self.top.context.run(mounting.capture, WIRE, to_worker=to_worker)
            assert again == first
            self.seen["looked at a chain"] += first is not None

    def call(self, *, again: bool) -> None:
        """Call a worker: the one that answered last, when it is wanted again, or a fresh one."""
        if len(self.scopes) > 3:
            return
        caller = self.top
        manifest = self.sent(to_worker=True)
        if again and caller.parked is not None:
            worker, caller.parked = caller.parked, None
            if manifest is not None:
                worker.context.run(mounting.mount, manifest, WIRE, to_worker=True)
            self.seen["unbound on the worker"] += bool(worker.model.keys() - caller.model.keys())
            self.told("there", worker.model, caller.model)
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
            self.seen["fork left"] += 1
            return
        caller = self.top
        if manifest is not None:
            caller.context.run(mounting.mount, manifest, WIRE, to_worker=False)
        own = {which: value for which, value in caller.model.items() if which not in self.both}
        news = {which: value for which, value in left.model.items() if which in self.both}
        self.seen["reset told back"] += bool(caller.model.keys() - own.keys() - news.keys())
        self.seen["forward left behind"] += repr(left.model.get(2)) != repr(caller.model.get(2))
        self.told("back", caller.model, news)
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
            self.seen["forked"] += 1
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

    def told(self, where: str, before: dict[int, Any], after: dict[int, Any]) -> None:
        """Count what a frame for somebody who has a state already makes of that state."""
        for which in before.keys() & after.keys():
            old, new = before[which], after[which]
            if repr(old) == repr(new):
                self.seen[f"unchanged {where}"] += 1
            else:
                self.seen[f"equal but not the same {where}"] += old == new
                self.seen[f"a change in place {where}"] += "more" in repr(new)

    def sent(self, *, to_worker: bool) -> ChainManifest | None:
        """Return what the top captures, after a trip through bytes."""
        manifest = self.top.context.run(mounting.capture, WIRE, to_worker=to_worker)
        if manifest is None:
            self.seen["unarmed"] += 1
            return None
        forward = [one.key for one in codec.unpack(manifest.entries) if one.forward]
        assert to_worker or not forward
        self.seen["forward sent"] += bool(forward)
        return codec.decode_manifest(codec.encode_manifest(manifest))

    def entered(self, manifest: ChainManifest | None) -> contextvars.Context:
        """Return a worker's Context for a first frame, prepared when its block was met before."""
        if manifest is None:
            return self.base.copy()
        known = self.known.get(manifest.entries)
        if known is not None:
            context = known.context.copy()
            context.run(mounting.adopt, manifest, known)
            self.seen["entered prepared"] += 1
            return context
        context = self.base.copy()
        context.run(mounting.mount, manifest, WIRE, to_worker=True)
        state = context.run(mounting.prepared, self.base)
        self.seen["entered fresh"] += 1
        if state is not None:
            self.known[manifest.entries] = state
        return context


def copy_each(model: dict[int, Any]) -> dict[int, Any]:
    """Return a copy whose values are each a copy, as if encoded one by one."""
    return {which: copy.deepcopy(value) for which, value in model.items()}


@law(
    PROGRAMS,
    examples=300,
    floors={
        "set": 1000,
        "reset to a value": 100,
        "reset to nothing": 60,
        "reset told back": 15,
        "changed in place": 40,
        "a change in place there": 10,
        "a change in place back": 10,
        "equal but not the same there": 15,
        "equal but not the same back": 20,
        "unchanged there": 200,
        "unchanged back": 200,
        "unbound on the worker": 10,
        "forward sent": 100,
        "forward left behind": 40,
        "forked": 60,
        "fork left": 40,
        "entered fresh": 200,
        "entered prepared": 30,
        "unarmed": 40,
        "looked at a chain": 300,
    },
)
def test_a_chain_of_calls_goes_as_in_one_process(
    seen: Seen, program: list[tuple[str, int, Any]]
) -> None:
    """M3, C5, C13: sets, resets and changes in place cross as a plain dict would."""
    chains = Chains(seen)

    for step in program:
        chains.step(*step)
        chains.holds()


NAMES = st.sampled_from([chr(ord("a") + n) for n in range(8)])


@law(
    st.lists(st.tuples(NAMES, VALUES), max_size=12),
    st.randoms(use_true_random=False),
    examples=60,
    floors={"another order": 15, "several variables": 10},
)
def test_the_order_of_sets_leaves_no_trace(
    seen: Seen, sets: list[tuple[str, Any]], random: Any
) -> None:
    """M1: the same state captured makes the same bytes, keys sorted, however it came about."""
    final = dict(sets)
    variables = {name: variable(name) for name in final}
    shuffled = list(final.items())
    random.shuffle(shuffled)
    seen["another order"] += shuffled != list(final.items())
    seen["several variables"] += len(final) > 3

    def state(order: list[tuple[str, Any]], to_worker: bool) -> bytes:
        for name, value in order:
            variables[name].set(copy.deepcopy(value))
        manifest = mounting.capture(WIRE, to_worker=to_worker)
        return b"" if manifest is None else manifest.entries

    for to_worker in (True, False):
        one = contextvars.Context().run(state, list(final.items()), to_worker)
        two = contextvars.Context().run(state, shuffled, to_worker)
        assert one == two
        assert [entry.key for entry in codec.unpack(one)] == sorted(
            var.key for var in variables.values()
        )


IDS = st.lists(st.binary(min_size=16, max_size=16), unique=True, max_size=5)


@law(
    IDS,
    IDS,
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=5),
    st.randoms(use_true_random=False),
    floors={"another order": 20, "several ids": 20, "several fields": 20},
)
def test_the_order_of_ledgers_and_carriers_leaves_no_trace(
    seen: Seen, spent: list[bytes], live: list[bytes], carrier: dict[str, str], random: Any
) -> None:
    """M1: ids and maps are written sorted, and what is read is what was written."""
    seen["several ids"] += len(spent) > 1 and len(live) > 1
    seen["several fields"] += len(carrier) > 1

    def written() -> bytes:
        for ledger in (spent, live):
            random.shuffle(ledger)
        items = list(carrier.items())
        random.shuffle(items)
        manifest = ChainManifest(
            bytes(16), spent=tuple(spent), live=tuple(live), carrier=dict(items)
        )
        return codec.encode_manifest(manifest)

    data = written()
    order = (list(spent), list(live))
    again = written()
    seen["another order"] += order != (spent, live)

    assert again == data
    read = codec.decode_manifest(data)
    assert (read.spent, read.live) == (tuple(sorted(spent)), tuple(sorted(live)))
    assert dict(read.carrier) == carrier
