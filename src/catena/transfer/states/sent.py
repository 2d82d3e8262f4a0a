"""Sent states: what the sender of a link has sent, under numbers, so that it can be named instead.

The problem: most calls are made with the same variables bound as the call before, or with one of
them set anew; and to write all of them each time costs more than the call.

The idea: what is bound at one moment, a *state*, gets a number when it is sent, and the receiver
keeps it under that number. A later call with the same state sends the number alone; one whose state
differs a little sends a number and what differs. But to keep a state costs both sides about as much
as a call does, and a state that is set for one call only is never sent again. So a state is named
when it is sent a second time, or at once when much of it had to be written.

An example, of one variable and then of twenty::

    color.set("red")
    await f()           entries: color                       short: sent, and not named
    await f()           entries: color       name 1          sent again: named
    await f()           base 1                               nothing is written
    ...twenty more variables are set...
    await f()           base 1, 20 entries   name 2          much was written: named at once
    color.set("blue")
    await f()           base 2, entries: color               short again

A number is used once the receiver has accepted the call that brought it: it may have refused that
call, and then it has kept nothing. Both sides are bounded, each by itself; a number that the
receiver has forgotten is refused before the call begins, and everything is sent anew.

Where the receiver reads the proxy from the chain, what has no other base builds on the *root*: the
state that has the proxy and nothing else, which ``context.proxy`` explains.

Kept are bindings and bytes, neither values nor variables: nothing lives longer because it was sent.
Of carried variables a state holds the values that cannot change, to know them again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from itertools import count
from weakref import ref

from catena.context.binding import Binding
from catena.context.carried import sources
from catena.context.chain import Chain, State
from catena.ids import Key
from catena.transfer.baseline import NOTHING, Baseline, Captured, Marks
from catena.transfer.carried import add_carried, hold_fixed
from catena.transfer.diff import ManifestDiff
from catena.transfer.manifest import ChainManifest, Values
from catena.transfer.states.snapshot import Snapshot, matches, take_snapshot

STATES = 256
"""How many states a sender names on one link; a receiver keeps twice as many."""

STATES_BYTES = 64 << 20
"""How many bytes of entries these may stand for, each state counted whole although states share
what did not change: 64 MiB; a receiver keeps twice as many. A sender keeps what can change in place
twice."""

SHORT_ENTRIES = 4
"""The most entries with which a state that is sent for the first time gets no name yet."""

SHORT_BYTES = 2048
"""The most bytes of them, for the same."""


class SentState:
    """One state that the receiver has, or is about to have.

    ``bindings`` is what it holds, ``written`` how this process wrote what can change, ``sizes`` how
    many bytes each entry took. ``snapshot`` is what its values were that can change, None before
    one was taken. ``carried`` is what the receiver keeps of carried variables with it. It is
    ``usable`` once the receiver has it for certain.
    """

    def __init__(
        self,
        number: int,
        state: State,
        chain_id: bytes,
        written: Mapping[Binding, bytes],
        sizes: Mapping[Key, int],
        carried: Marks,
    ) -> None:
        self.carried = hold_fixed(carried)
        self.number = number
        self.state = ref(state)
        self.place = id(state)
        self.chain_id = chain_id
        self.bindings = state.by_key
        self.written = written
        self.snapshot: Snapshot | None = None
        self.sizes = sizes
        self.size = sum(sizes.values())
        self.usable = False

    def is_good_base(self, state: State) -> bool:
        """Say whether a state takes no more entries than it has, as its difference from this one.

        What only this one has takes an entry as well, and must not outweigh what need not be sent.
        """
        wanted, mine = state.by_key, self.bindings
        shared = sum(mine.get(key) is binding for key, binding in wanted.items())
        return len(mine.keys() - wanted.keys()) <= shared


class SentStates:
    """The states of one link; the least recently used go.

    ``root`` is the number of the state that has the proxy alone; 0 where the states are not
    ``rooted`` in one.
    """

    def __init__(
        self,
        *,
        states: int = STATES,
        size: int = STATES_BYTES,
        short: int = SHORT_ENTRIES,
        rooted: bool = False,
    ) -> None:
        self._limits = states, size
        self._short = short
        self._numbers = count(1)
        self.root = next(self._numbers) if rooted else 0
        self._known: OrderedDict[int, SentState] = OrderedDict()
        self._of_state: dict[int, SentState] = {}
        self._of_chain: dict[bytes, SentState] = {}
        self._latest: SentState | None = None
        self._size = 0

    def __len__(self) -> int:
        return len(self._known)

    def describe(self, chain: Chain, values: Values) -> Captured:
        """Return a chain as a manifest: a name, or what differs from a named state, or all of it.

        Raises ChainSerializationError in strict mode and when the chain exceeds a limit.
        """
        state = chain.state
        known = self.find_exact(state)
        if known is None or not known.usable:
            return self._describe_new(chain, values, is_named=known is not None)
        if not state.fixed and not matches(state, known.snapshot, values):
            return self._describe_changed(chain, values, known)
        if sources:
            return self._describe_carried(chain, values, known)
        return Captured(
            ChainManifest(chain.id, chain.parent, b"", True, known.number),
            Baseline(chain.id, state, known.written),
        )

    def _describe_carried(self, chain: Chain, values: Values, base: SentState) -> Captured:
        """Describe a state that the receiver has, with other values of carried variables."""
        diff = ManifestDiff(values, to_worker=True)
        diff.written = base.written
        add_carried(diff, base.carried)
        return self._captured(chain, diff, diff.pack_entries(), base, names=False)

    def _describe_new(self, chain: Chain, values: Values, *, is_named: bool) -> Captured:
        """Describe a state that has no number, or one that the receiver may not have yet."""
        state = chain.state
        base = self.find_near(chain.id)
        if base is not None and not base.is_good_base(state):
            base = None
        diff = ManifestDiff(values, to_worker=True)
        if base is None:
            diff.add_state(state)
        else:
            diff.add_state(state, base.bindings, base.written)
        if sources:
            add_carried(diff, NOTHING if base is None else base.carried)
        block = diff.pack_entries()
        # One that is on its way already would only take another number.
        is_new = not is_named and bool(block or base is None)
        names = is_new and self._is_worth_a_name(state, diff, block)
        state.was_sent = state.was_sent or not names
        return self._captured(chain, diff, block, base, names=names)

    def _describe_changed(self, chain: Chain, values: Values, base: SentState) -> Captured:
        """Describe a state whose values may have been changed in place since they were sent."""
        snapshot = take_snapshot(chain.state, values)
        diff = ManifestDiff(values, to_worker=True)
        diff.add_changes_in_place(chain.state, base.written)
        is_changed = bool(diff.entries)
        if not (is_changed or diff.problems):
            base.snapshot = snapshot
        if sources:
            add_carried(diff, base.carried)
        return self._captured(chain, diff, diff.pack_entries(), base, names=is_changed)

    def _is_worth_a_name(self, state: State, diff: ManifestDiff, block: bytes) -> bool:
        """Say whether to name a state: it was sent before, or much of it had to be written."""
        return state.was_sent or len(diff.entries) > self._short or len(block) > SHORT_BYTES

    def _captured(
        self, chain: Chain, diff: ManifestDiff, block: bytes, base: SentState | None, *, names: bool
    ) -> Captured:
        """Return what was written, which ``names`` the state by a number if both can keep it."""
        named = None
        # If something in it was lost, both would not keep the same.
        if names and not diff.problems:
            sizes = diff.measure_entries(dict(base.sizes) if base else {})
            named = self.keep_state(chain.state, chain.id, diff.written, sizes, diff.carried)
        numbers = base.number if base else self.root, named.number if named else 0
        return Captured(
            ChainManifest(chain.id, chain.parent, block, True, *numbers),
            Baseline(chain.id, chain.state, diff.written, None, diff.carried),
        )

    def find_exact(self, state: State) -> SentState | None:
        """Return what stands for this very state, usable or not yet."""
        known = self._of_state.get(id(state))
        if known is None or known.state() is not state:
            return None
        self._known.move_to_end(known.number)
        return known

    def find_near(self, chain_id: bytes) -> SentState | None:
        """Return a usable state to compare with: the chain's own, or the latest of any chain."""
        for known in (self._of_chain.get(chain_id), self._latest):
            if known is not None and known.usable:
                self._known.move_to_end(known.number)
                return known
        return None

    def keep_state(
        self,
        state: State,
        chain_id: bytes,
        written: Mapping[Binding, bytes],
        sizes: Mapping[Key, int],
        carried: Marks = NOTHING,
    ) -> SentState | None:
        """Give a state a number, to be sent with it; None when it is too large to be kept."""
        known = SentState(next(self._numbers), state, chain_id, written, sizes, carried)
        if known.size > self._limits[1] // 2:
            return None
        self._known[known.number] = self._of_state[known.place] = known
        self._size += known.size
        while len(self._known) > self._limits[0] or self._size > self._limits[1]:
            self.drop(next(iter(self._known)))
        return known

    def confirm(self, number: int) -> None:
        """Note that the receiver has a state: from now on it may be named."""
        known = self._known.get(number)
        if known is None:
            return
        known.usable = True
        self._latest = known
        before = self._of_chain.get(known.chain_id)
        if before is not known:
            # A chain goes on from its newest state; an older one would only take up room.
            self._of_chain[known.chain_id] = known
            if before is not None and before.usable:
                self.drop(before.number)

    def drop(self, number: int) -> None:
        """Forget a state."""
        known = self._known.pop(number, None)
        if known is None:
            return
        self._size -= known.size
        known.usable = False
        if self._of_state.get(known.place) is known:
            del self._of_state[known.place]
        if self._of_chain.get(known.chain_id) is known:
            del self._of_chain[known.chain_id]
        if self._latest is known:
            self._latest = None

    def clear(self) -> None:
        """Forget everything; the numbers go on."""
        for number in list(self._known):
            self.drop(number)
        if self.root:
            self.root = next(self._numbers)
