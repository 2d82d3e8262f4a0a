"""The Contexts in which one pool's calls run on a worker, and the states that its link has carried.

Each call gets a copy of a Context in which the way to the pool is bound; one that names a state
which this link has carried before, a copy of the Context prepared then.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import OrderedDict
from typing import Any

from catena.context.capture import Baseline
from catena.context.carried import CARRIED_BYTES, CARRIED_STATES
from catena.context.current import running_task
from catena.context.manifest import ChainManifest
from catena.context.mount import mount_first, mount_named
from catena.context.prepared import Prepared
from catena.dispatch.dispatcher import Dispatcher, dispatcher
from catena.dispatch.payloads import Wire
from catena.errors import ChainSerializationError
from catena.events import announced

__all__ = ["Contexts"]


class Contexts:
    """Contexts for calls; kept states by their number, the least recently used go.

    ``leased`` tells whoever watches leases whether there was one before.
    """

    __slots__ = ("_kept", "_size", "leased", "plain", "values")

    def __init__(self, through: Dispatcher | None, values: Wire) -> None:
        self.values = values
        self.leased = False
        context = contextvars.Context()
        context.run(dispatcher.set, through)
        self.plain = Prepared(context)
        self._kept: OrderedDict[int, Prepared] = OrderedDict()
        self._size = 0

    def base(self, manifest: ChainManifest | None) -> Prepared | None:
        """Return what a call's first manifest builds on, None when that is not known (any more)."""
        if manifest is None or not manifest.base:
            return self.plain
        try:
            self._kept.move_to_end(manifest.base)
        except KeyError:
            return None
        return self._kept[manifest.base]

    def enter(
        self,
        manifest: ChainManifest | None,
        base: Prepared,
        task: asyncio.Task[Any] | None = None,
    ) -> Baseline | None:
        """Make a call's chain current, in a copy of the Context of ``base``; return its baseline.

        Raises ChainSerializationError.
        """
        if manifest is None:
            return None
        task = task or running_task()
        named = mount_named(manifest, self.values, base, task)
        if named is None:
            return self.enter_told(manifest, base, task)
        return base.baseline_of(named)

    def enter_told(
        self, manifest: ChainManifest, base: Prepared, task: asyncio.Task[Any] | None
    ) -> Baseline | None:
        """Do the same for a manifest that may tell more than a name; the state it makes is kept."""
        try:
            baseline, kept = mount_first(manifest, self.values, base, task)
        except ChainSerializationError as error:
            raise announced(error) from None
        if kept is not None:
            self._keep(manifest.name, kept)
        return baseline

    def _keep(self, number: int, state: Prepared) -> None:
        kept = self._kept
        before = kept.pop(number, None)
        self._size += state.size - (before.size if before is not None else 0)
        kept[number] = state
        while len(kept) > 2 * CARRIED_STATES or self._size > 2 * CARRIED_BYTES:
            self._size -= kept.popitem(last=False)[1].size
