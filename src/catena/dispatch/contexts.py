"""The Contexts in which one pool's calls run on a worker.

Each call gets a Context of its own, in which the way to the pool is bound. One whose variables this
link has brought before, all of them unchangeable, is a copy of the Context prepared then.
"""

from __future__ import annotations

import contextvars
from collections import OrderedDict

from catena.context.manifest import ChainManifest
from catena.context.mount import Prepared, adopt, prepared
from catena.dispatch.port import Dispatcher, dispatcher
from catena.dispatch.values import mount_frame
from catena.errors import ChainSerializationError
from catena.events import refused

__all__ = ["Contexts"]

_BLOCKS = 1024
_BLOCK_BYTES = 64 * 1024


class Contexts:
    """Fresh Contexts for calls; prepared ones by their block, the least recently used go."""

    __slots__ = ("_base", "_prepared")

    def __init__(self, through: Dispatcher | None) -> None:
        self._base = contextvars.Context()
        self._base.run(dispatcher.set, through)
        self._prepared: OrderedDict[bytes, Prepared] = OrderedDict()

    def fresh(self, manifest: ChainManifest | None) -> tuple[contextvars.Context, Prepared | None]:
        """Return a Context for a call, and what is prepared in it."""
        known = None if manifest is None else self._prepared.get(manifest.entries)
        if manifest is None or known is None:
            return self._base.copy(), None
        self._prepared.move_to_end(manifest.entries)
        return known.context.copy(), known

    def enter(self, manifest: ChainManifest | None, known: Prepared | None) -> None:
        """Make a call's chain current, in the Context that ``fresh`` returned.

        Raises ChainSerializationError.
        """
        if manifest is None:
            return
        if known is not None and manifest.chain_id:
            try:
                adopt(manifest, known)
            except ChainSerializationError as error:
                raise refused(error) from None
            return
        mount_frame(manifest, to_worker=True)
        if manifest.whole and len(manifest.entries) <= _BLOCK_BYTES:
            self._prepare(manifest.entries)

    def _prepare(self, block: bytes) -> None:
        state = prepared(self._base)
        if state is None:
            return
        self._prepared[block] = state
        if len(self._prepared) > _BLOCKS:
            self._prepared.popitem(last=False)
