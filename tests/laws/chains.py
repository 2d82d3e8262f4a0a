"""Two ends of a link, played in one process, beside plain dicts that say what they should hold.

A stack of Contexts: the caller, the worker that it calls, the worker that this one calls, forks of
either. Beside each Context stands a dict of cells. A set makes a new cell, a reset brings the old
one back, a fork shares them. A frame copies those cells that the sender has and that are others, or
hold something else, than when the last frame of the call left or came.
"""

from __future__ import annotations

import contextvars
import copy
from dataclasses import dataclass, field
from typing import Any

import catena
from catena.context.chain import Chain, current
from catena.context.ownership import fork_here
from catena.context.variable import UNREAD, UNSET
from catena.dispatch.payloads import LENIENT
from catena.transfer.baseline import Baseline, Captured
from catena.transfer.capture import capture_answer, capture_drive
from catena.transfer.manifest import ChainManifest
from catena.transfer.mount import mount
from catena.transfer.states.kept import KeptStates
from catena.transfer.states.plain import PLAIN
from catena.transfer.states.sent import SentStates
from catena.wire import manifests as closed
from tests.laws.law import Seen
from tests.laws.programs import Step, mutate
from tests.support import variable

__all__ = ["run_program"]

BOTH, ALL = (0, 1), (0, 1, 2)
_DEEP = 4


@dataclass(eq=False)
class Cell:
    """What one set made: its value, which may be changed in place."""

    value: Any


Sent = dict[int, tuple[Cell, str]]


@dataclass(eq=False)
class Scope:
    """One Context, the cells that it should hold, and the tokens that it minted.

    ``parked`` are its calls that have answered and can be driven again, as streams are; ``serves``
    is the call that it works for.
    """

    context: contextvars.Context
    model: dict[int, Cell] = field(default_factory=dict)
    fork: bool = False
    tokens: list[tuple[catena.Token[Any], int, Cell | None]] = field(default_factory=list)
    parked: list[Call] = field(default_factory=list)
    serves: Call | None = None
    baseline: Baseline | None = None
    mounted: Chain | None = None

    @property
    def chain_id(self) -> bytes:
        """The id of the chain there, empty when there is none."""
        chain = self.context.get(current)
        return b"" if chain is None else chain.id

    def held(self, var: catena.ContextVar[Any]) -> Any:
        """Return a variable's value without handing it out, UNSET when there is none."""
        seen, chain = self.context.get(var.backing, UNSET), self.context.get(current)
        if seen is not UNREAD or chain is None:
            return seen
        binding = chain.state.binding_of(var)
        if binding is None:
            return seen
        data = binding.unread_bytes(var)
        return binding.read_value(var) if data is None else LENIENT.loads(data)

    def known(self) -> Sent:
        """Return what a frame that leaves or comes now says that is here."""
        return {which: (cell, repr(cell.value)) for which, cell in self.model.items()}


@dataclass(eq=False)
class Call:
    """One call: who works for it, and what both ends know of each other.

    ``drivers`` are workers of other chains that drove it and whose tokens may still be used.
    """

    worker: Scope
    calling: Baseline | None = None
    chain_id: bytes = b""
    there: Sent = field(default_factory=dict)
    back: Sent = field(default_factory=dict)
    drivers: dict[bytes, Scope] = field(default_factory=dict)


class Chains:
    """A stack of Contexts, and the steps of a program; a step that cannot be taken is left out.

    With ``deltas`` the link names states and sends what changed, and what takes no more than
    ``short`` entries it does not name yet; without, everything is sent each time.
    """

    def __init__(self, seen: Seen, *, deltas: bool, short: int = 0) -> None:
        self.seen = seen
        self.deltas = deltas
        self.variables = [
            variable("law", propagate=policy) for policy in ("both", "both", "forward")
        ]
        # The caller, who is unarmed, and a link that has carried nothing yet.
        self.scopes = [Scope(contextvars.Context())]
        self.sent = SentStates(states=3, size=900, short=short) if deltas else PLAIN
        self.pending: list[int] = []
        self.unread = 0
        self.arrived = {0}
        self.kept = KeptStates(LENIENT)

    @property
    def top(self) -> Scope:
        """Whoever runs: the callers below it wait."""
        return self.scopes[-1]

    def step(self, kind: str, which: int, value: Any) -> None:
        """Take one step of a program."""
        match kind:
            case "set":
                self.set(which, value)
            case "reset":
                self.reset(which)
            case "change":
                self.change(which)
            case "drive":
                self.drive(which)
            case _:
                getattr(self, kind)()

    def set(self, which: int, value: Any) -> None:
        """Set a variable."""
        top = self.top
        token = top.context.run(self.variables[which].set, copy.deepcopy(value))
        top.tokens.append((token, which, top.model.get(which)))
        top.model[which] = Cell(copy.deepcopy(value))
        self.seen["set"] += 1

    def reset(self, number: int) -> None:
        """Use one of the tokens that were minted in this Context, in any order."""
        top = self.top
        if not top.tokens:
            return
        token, which, old = top.tokens.pop(number % len(top.tokens))
        top.context.run(self.variables[which].reset, token)
        if old is None:
            top.model.pop(which, None)
        else:
            top.model[which] = old
        self.seen["reset to nothing" if old is None else "reset to a value"] += 1

    def change(self, which: int) -> None:
        """Change a value in place."""
        mutate(self.top.context.run(self.variables[which].get, None))
        cell = self.top.model.get(which)
        if cell is not None:
            before = repr(cell.value)
            mutate(cell.value)
            self.seen["changed in place"] += repr(cell.value) != before

    def look(self) -> None:
        """Capture in both directions, which changes nothing."""
        run = self.top.context.run
        first = run(capture_drive, LENIENT, None)
        assert run(capture_drive, LENIENT, None) == first
        answer = run(capture_answer, LENIENT, None)
        assert run(capture_answer, LENIENT, None) == answer
        self.seen["looked at a chain"] += first is not None

    def fork(self) -> None:
        """Go on in a created task: the same objects, on a chain of its own."""
        if len(self.scopes) >= _DEEP:
            return
        parent = self.top
        context = parent.context.copy()
        chain = context.get(current)
        if chain is not None:
            context.run(fork_here, chain)
            self.seen["forked"] += 1
        self.scopes.append(
            Scope(context, dict(parent.model), fork=True, parked=list(parent.parked))
        )

    def ack(self) -> None:
        """Confirm to the caller that the states it has sent have arrived."""
        for number in self.pending:
            self.sent.confirm(number)
            self.arrived.add(number)
        self.pending.clear()

    def forget(self) -> None:
        """Let the worker forget every state."""
        self.kept = KeptStates(LENIENT)

    def call(self) -> None:
        """Call a fresh worker."""
        if len(self.scopes) >= _DEEP:
            return
        caller = self.top
        chain = caller.context.get(current)
        looked = chain is not None and bool(chain.state.getters)
        captured = self._first(caller)
        call = Call(Scope(self.kept.plain.context.copy()), chain_id=caller.chain_id)
        worker = call.worker
        worker.serves = call
        if captured is None:
            self.seen["unarmed"] += 1
        else:
            manifest = trip(captured.manifest)
            base = self.kept.find_base(manifest)
            assert base is not None
            assert manifest.base in self.arrived
            worker.context = base.context.copy()
            worker.baseline = worker.context.run(self.kept.enter, manifest, base)
            if manifest.base and not (manifest.entries or manifest.name or base.eager):
                worker.mounted = worker.context.get(current)
                self.seen["a bare name"] += 1
                self.seen["a bare name of what can change"] += bool(base.lazy)
            call.calling = captured.baseline
            self.pending += [manifest.name] if manifest.name else []
            self._count_first(manifest, kept=len(base.lazy))
            self._count_looked(looked, manifest)
        self._crossed(worker, news(caller, {}, ALL))
        self._begin(call, caller)
        lazy = None if worker.mounted is None else worker.mounted.state.lazy
        if lazy is not None:
            # Programs that come to read just this, between the call and its answer, are rare.
            self.unread += 1
            if self.unread % 3 == 0:
                self.change(self.variables.index(next(iter(lazy.encoded))))

    def drive(self, number: int) -> None:
        """Drive a call once more, from the chain that drove it before or from another one."""
        caller = self.top
        if len(self.scopes) >= _DEEP or not caller.parked:
            return
        call = caller.parked.pop(number % len(caller.parked))
        known = call.calling if self.deltas else None
        whole = known is None or call.chain_id != caller.chain_id
        captured = caller.context.run(capture_drive, LENIENT, known)
        call.calling = captured and captured.baseline
        worker = self._worker_of(call, caller.chain_id)
        if captured is not None:
            manifest = trip(captured.manifest)
            expected = news(caller, {} if whole else call.there, ALL)
            assert manifest.whole == whole
            assert self._named(manifest) == expected.keys()
            worker.baseline = worker.context.run(
                mount, manifest, LENIENT, to_worker=True, baseline=worker.baseline
            )
            self.seen["driven whole" if whole else "driven by a delta"] += 1
            self._note_knowledge("there", worker.model, caller.model)
            gone = worker.model.keys() - expected.keys() if whole else ()
            self._crossed(worker, expected | dict.fromkeys(gone))
        for which in BOTH:
            assert shown(worker.model.get(which)) == shown(caller.model.get(which))
        self._begin(call, caller)

    def answer(self) -> None:
        """Go back to the caller, who takes over all but the forward-only; from a fork, nothing."""
        if len(self.scopes) == 1:
            return
        worker = self.scopes.pop()
        if worker.fork:
            self.seen["fork left"] += 1
            return
        caller, call = self.top, worker.serves
        assert call is not None
        whole = not self.deltas
        lazy = None if worker.mounted is None else worker.mounted.state.lazy
        self.seen["a bare name that somebody read"] += lazy is not None and bool(lazy.decoded)
        manifest, worker.baseline = worker.context.run(
            capture_answer, LENIENT, worker.baseline, whole=whole
        )
        expected = news(worker, call.back, BOTH, again=whole)
        assert (set() if manifest is None else self._named(manifest)) == expected.keys()
        same = worker.mounted is not None and manifest is None
        self.seen["a bare name that nobody touched"] += same and bool(worker.model)
        if manifest is not None:
            call.calling = caller.context.run(
                mount, trip(manifest), LENIENT, to_worker=False, baseline=call.calling
            )
        self.seen["sent nothing back"] += manifest is None and bool(worker.model)
        self._note_knowledge(
            "back", caller.model, {n: worker.model[n] for n in BOTH if n in worker.model}
        )
        self._crossed(caller, expected)
        call.chain_id = call.chain_id or worker.chain_id
        call.there, call.back = caller.known(), worker.known()
        caller.parked.append(call)
        self.ack()

    def holds(self, *, read: bool = False) -> None:
        """Every Context holds what its dict says, to the type and the sign.

        Looked at from outside, which hands nothing out; ``read`` by the users' own way.
        """
        for scope in self.scopes:
            for which, var in enumerate(self.variables):
                seen = scope.held(var)
                self.seen["values unread"] += scope.context.get(var.backing) is UNREAD
                assert repr(seen) == shown(scope.model.get(which))
                if read:
                    assert repr(scope.context.run(var.get, UNSET)) == repr(seen)

    def _first(self, caller: Scope) -> Captured | None:
        """Capture the first frame of a call, again when the worker does not know its base."""
        captured = caller.context.run(capture_drive, LENIENT, None, self.sent)
        if captured is None or self.kept.find_base(captured.manifest) is not None:
            return captured
        self.sent.clear()
        self.pending.clear()
        self.seen["a base that was forgotten"] += 1
        return caller.context.run(capture_drive, LENIENT, None, self.sent)

    def _begin(self, call: Call, caller: Scope) -> None:
        call.there, call.back = caller.known(), call.worker.known()
        self.scopes.append(call.worker)

    def _worker_of(self, call: Call, chain_id: bytes) -> Scope:
        """Return who works for a chain: another one's Context is kept while it has tokens."""
        if call.chain_id in (chain_id, b""):
            call.chain_id = chain_id
            return call.worker
        self.seen["driven by another chain"] += chain_id != b""
        if call.worker.tokens:
            call.drivers[call.chain_id] = call.worker
        known = call.drivers.pop(chain_id, None)
        self.seen["driven by an earlier chain again"] += known is not None
        call.worker = known or Scope(self.kept.plain.context.copy(), serves=call)
        call.chain_id = chain_id
        return call.worker

    def _crossed(self, target: Scope, expected: dict[int, Cell | None]) -> None:
        """Make of a dict what a frame makes of the Context."""
        for which, cell in expected.items():
            if cell is None:
                target.model.pop(which, None)
            else:
                target.model[which] = Cell(copy.deepcopy(cell.value))

    def _named(self, manifest: ChainManifest) -> set[int]:
        """Return what a manifest says something of."""
        which = {var.key: number for number, var in enumerate(self.variables)}
        return {which[entry.key] for entry in closed.unpack_entries(manifest.entries)}

    def _note_knowledge(self, where: str, before: dict[int, Cell], after: dict[int, Cell]) -> None:
        """Count what a frame for somebody who has a state already makes of that state."""
        self.seen[f"gone {where}"] += bool(before.keys() - after.keys() - {2})
        for which in before.keys() & after.keys():
            old, new = before[which].value, after[which].value
            if repr(old) == repr(new):
                self.seen[f"unchanged {where}"] += 1
            else:
                self.seen[f"equal but not the same {where}"] += old == new
                self.seen[f"a change in place {where}"] += "more" in repr(new)

    def _count_first(self, manifest: ChainManifest, *, kept: int) -> None:
        differs = "with differences" if manifest.entries else "alone"
        self.seen[f"a name {differs}" if manifest.base else "sent whole"] += 1
        self.seen["a state given a name"] += manifest.name > 0
        self.seen["sent without a name"] += bool(manifest.entries) and not manifest.name
        self.seen["kept as bytes"] += kept
        self.seen["forward sent"] += any(
            one.forward for one in closed.unpack_entries(manifest.entries)
        )

    def _count_looked(self, looked: bool, manifest: ChainManifest) -> None:
        self.seen["as it was seen"] += looked and manifest.base > 0 and not manifest.entries
        self.seen["changed since it was seen"] += looked and bool(manifest.entries)


def run_program(seen: Seen, program: list[Step], *, deltas: bool) -> None:
    """Run a program, and hold the Contexts against the dicts after each step."""
    chains = Chains(seen, deltas=deltas, short=int(len(program) % 3 == 0))
    for step in program:
        chains.step(*step)
        chains.holds()
    chains.holds(read=True)


def news(
    source: Scope, before: Sent, which: tuple[int, ...], *, again: bool = False
) -> dict[int, Cell | None]:
    """Return what a frame has to say: what differs from what was sent, None for what is gone.

    With ``again`` it repeats what does not differ.
    """
    return {
        one: cell
        for one in which
        if (cell := source.model.get(one)) is not None or one in before
        if cell is None or again or before.get(one) != (cell, repr(cell.value))
    }


def trip(manifest: ChainManifest) -> ChainManifest:
    """Return a manifest after a trip through bytes."""
    return closed.decode_manifest(closed.encode_manifest(manifest))


def shown(cell: Cell | None) -> str:
    """Return what a Context is expected to show."""
    return repr(UNSET if cell is None else cell.value)
