"""What a link has carried: states by number, so that an unchanged chain is named and not sent.

The sender's side. A state that went out whole, or as its difference from an older one, is kept here
by the number under which the receiver keeps it too; it may be named once the receiver has said that
the call which told it was accepted. Both sides are bounded, each by itself: a number that the
receiver has forgotten is refused before the call begins, and everything is told anew.

Kept are bindings and bytes, neither values nor variables: nothing lives longer because it was sent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from itertools import count
from weakref import ref

from catena.context.chain import Binding, State
from catena.context.registry import Key
from catena.context.seen import Seen

__all__ = ["CARRIED_BYTES", "CARRIED_STATES", "Carried", "Known"]

CARRIED_STATES = 256
"""How many states a sender names on one link; a receiver keeps twice as many."""

CARRIED_BYTES = 64 << 20
"""How many bytes of entries these may stand for, each state counted whole although states share
what did not change: 64 MiB; a receiver keeps twice as many. A sender keeps what can change in place
twice."""


class Known:
    """One state that the receiver has, or is about to have.

    ``bindings`` say what it holds, ``written`` how this process wrote what can change, ``sizes``
    how many bytes each entry took. ``seen`` is what its values were that can change, None before
    somebody looked. It is ``usable`` once the receiver has it for certain.
    """

    __slots__ = (
        "bindings",
        "chain_id",
        "number",
        "place",
        "seen",
        "size",
        "sizes",
        "state",
        "usable",
        "written",
    )

    def __init__(
        self,
        number: int,
        state: State,
        chain_id: bytes,
        written: Mapping[Binding, bytes],
        sizes: Mapping[Key, int],
    ) -> None:
        self.number = number
        self.state = ref(state)
        self.place = id(state)
        self.chain_id = chain_id
        self.bindings = state.by_key
        self.written = written
        self.seen: Seen | None = None
        self.sizes = sizes
        self.size = sum(sizes.values())
        self.usable = False

    def suits(self, state: State) -> bool:
        """Say whether a state is told by no more entries than it has, as its difference from this.

        What only this one has is told as well, and must not outweigh what need not be.
        """
        wanted, mine = state.by_key, self.bindings
        shared = sum(mine.get(key) is binding for key, binding in wanted.items())
        return len(mine.keys() - wanted.keys()) <= shared


class Carried:
    """The states of one link; the least recently used go."""

    def __init__(self, *, states: int = CARRIED_STATES, size: int = CARRIED_BYTES) -> None:
        self._limits = states, size
        self._numbers = count(1)
        self._known: OrderedDict[int, Known] = OrderedDict()
        self._of_state: dict[int, Known] = {}
        self._of_chain: dict[bytes, Known] = {}
        self._latest: Known | None = None
        self._size = 0

    def __len__(self) -> int:
        return len(self._known)

    def exact(self, state: State) -> Known | None:
        """Return what stands for this very state, usable or not yet."""
        known = self._of_state.get(id(state))
        if known is None or known.state() is not state:
            return None
        self._known.move_to_end(known.number)
        return known

    def near(self, chain_id: bytes) -> Known | None:
        """Return a usable state to tell another one by: the chain's own, or the last that was."""
        for known in (self._of_chain.get(chain_id), self._latest):
            if known is not None and known.usable:
                self._known.move_to_end(known.number)
                return known
        return None

    def keep(
        self,
        state: State,
        chain_id: bytes,
        written: Mapping[Binding, bytes],
        sizes: Mapping[Key, int],
    ) -> Known | None:
        """Give a state a number, to be told with it; None when it is too large to be kept."""
        known = Known(next(self._numbers), state, chain_id, written, sizes)
        if known.size > self._limits[1] // 2:
            return None
        self._known[known.number] = self._of_state[known.place] = known
        self._size += known.size
        while len(self._known) > self._limits[0] or self._size > self._limits[1]:
            self.drop(next(iter(self._known.values())))
        return known

    def arrived(self, known: Known) -> None:
        """Note that the receiver has a state: from now on it may be named."""
        if known.number not in self._known:
            return
        known.usable = True
        self._latest = known
        before = self._of_chain.get(known.chain_id)
        if before is not known:
            # A chain goes on from its newest state; an older one would only take up room.
            self._of_chain[known.chain_id] = known
            if before is not None and before.usable:
                self.drop(before)

    def drop(self, known: Known) -> None:
        """Forget a state."""
        if self._known.pop(known.number, None) is None:
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
        for known in list(self._known.values()):
            self.drop(known)
