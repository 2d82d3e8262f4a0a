"""The slots of a worker: how many of them its calls take, and who waits for some.

The problem: a plain function takes a thread and, in most cases, a processor, so a worker runs only
so many at once. Its callers are several processes, of which none knows what the others send.

The idea: the worker counts. A call that finds too few slots free is refused before it begins, and
its caller keeps it in line. The worker remembers the caller, and when the slots are free it offers
them: they are kept for the next call of that caller that needs as many, which comes with the mark
that it was offered them. A caller that has no such call any more declines, and the next one gets
the offer. Callers that are workers themselves stand before the others, since the calls that they
make are nested: what waits for those holds up what was begun earlier.

An example, with one slot::

    A: task 1        taken
    B: task 1        refused; B wants one slot
    A: want          A wants one slot, for its next call
       (A's task ends)      offer to B, which comes with task 2
       (B's task ends)      offer to A, whose call was cancelled meanwhile: it declines

A call that waits for one of its own lends its slots, and takes them back at once when the answer
comes. So there may be fewer than none left; nothing is offered then.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, Protocol

from catena.dispatch.holding import Holding
from catena.dispatch.worker.threads import KeptThreads


class SlotUser(Protocol):
    """A caller's link, as far as its slots are concerned."""

    @property
    def nested(self) -> bool:
        """Whether its calls are made by other calls."""
        ...

    def offer_slots(self, slots: int, /) -> None:
        """Let the caller know that so many slots are kept for it."""
        ...


class _Waiting(NamedTuple):
    """A caller that waits for a number of slots."""

    user: SlotUser
    slots: int


class Slots:
    """So many slots, and the ``threads`` for the plain functions that take them.

    They are counted on the worker's loop alone: a ``Loan`` posts there what a thread wants counted.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.threads = KeptThreads(total)
        self._taken = 0
        self._waiting: list[_Waiting] = []
        self._offered: dict[SlotUser, Counter[int]] = {}
        self._holdings: set[Holding] = set()

    @property
    def taken(self) -> int:
        """How many are taken or offered; more than there are where some were taken back."""
        return self._taken

    def take(
        self, user: SlotUser, routine: str, slots: int, *, offered: bool, forced: bool
    ) -> Holding | None:
        """Take slots for a call; None when there are too few, and its caller wants some then.

        ``forced`` takes them over the limit: for a caller that knows nothing of slots.
        """
        mine = self._offered.get(user)
        if offered and mine and mine[slots]:
            mine[slots] -= 1
        elif forced or slots <= self.total - self._taken:
            self._taken += slots
        else:
            self.want(user, slots)
            return None
        held = Holding(routine, slots, self)
        self._holdings.add(held)
        return held

    def describe_holders(self) -> str:
        """Return what has the slots, in words."""
        names = Counter(one.routine for one in self._holdings)
        calls = [name if many == 1 else f"{many} calls of {name}" for name, many in names.items()]
        has = "its slot is" if self.total == 1 else f"its {self.total} slots are"
        return f"{has} held by {', '.join(sorted(calls)) or 'calls about to begin'}"

    def want(self, user: SlotUser, slots: int) -> None:
        """Note that a caller waits for a number of slots, once for each number."""
        entry = _Waiting(user, slots)
        if entry in self._waiting:
            return
        # Nested calls stand before the others, in their own order.
        at = len(self._waiting)
        if user.nested:
            at = sum(one.user.nested for one in self._waiting)
        self._waiting.insert(at, entry)
        self._offer_free()

    def decline(self, user: SlotUser, slots: int) -> None:
        """Take slots back that were offered and are not needed."""
        mine = self._offered.get(user)
        if mine and mine[slots]:
            mine[slots] -= 1
            self.release(slots)

    def forget(self, user: SlotUser) -> None:
        """Forget a caller whose link has ended: what it waited for, and what it was offered."""
        self._waiting = [one for one in self._waiting if one.user is not user]
        for slots, times in self._offered.pop(user, Counter()).items():
            self._taken -= slots * times
        self._offer_free()

    def release(self, slots: int) -> None:
        """Count so many as free again, and offer them."""
        self._taken -= slots
        self._offer_free()

    def finish(self, held: Holding, slots: int) -> None:
        """Forget a call that has ended, and count so many slots as free again."""
        self._holdings.discard(held)
        self.release(slots)

    def retake(self, slots: int) -> None:
        """Count so many as taken, also when that is more than there are."""
        self._taken += slots

    def _offer_free(self) -> None:
        """Offer what is free to those who wait, in their order; some may need less than others."""
        for entry in list(self._waiting):
            if entry.slots <= self.total - self._taken:
                self._waiting.remove(entry)
                self._taken += entry.slots
                self._offered.setdefault(entry.user, Counter())[entry.slots] += 1
                entry.user.offer_slots(entry.slots)
