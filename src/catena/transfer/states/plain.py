"""What a link carries to a peer that keeps no states: every chain whole, and nothing has a name.

It is the reference as well: a chain sent by its name must arrive as one sent this way does.
"""

from __future__ import annotations

from catena.context.carried import sources
from catena.context.chain import Chain
from catena.transfer.baseline import NOTHING, Baseline, Captured
from catena.transfer.carried import add_carried
from catena.transfer.diff import ManifestDiff
from catena.transfer.manifest import ChainManifest, Values


class PlainStates:
    """Does what ``SentStates`` does, and remembers nothing."""

    __slots__ = ()

    root = 0

    def describe(self, chain: Chain, values: Values) -> Captured:
        """Return a chain as a manifest that says all of it."""
        diff = ManifestDiff(values, to_worker=True)
        diff.add_state(chain.state)
        if sources:
            add_carried(diff, NOTHING)
        manifest = ChainManifest(chain.id, chain.parent, diff.pack_entries())
        return Captured(manifest, Baseline(chain.id, chain.state, diff.written, None, diff.carried))

    def confirm(self, number: int) -> None:
        """Note that the receiver has a state; here no state has a number."""

    def drop(self, number: int) -> None:
        """Forget a state; here none is known."""

    def clear(self) -> None:
        """Forget all states; here none is known."""


PLAIN = PlainStates()
