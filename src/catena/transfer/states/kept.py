"""Kept states: what the receiver of a link was sent, in Contexts that are copied for each call.

The problem: a call that names a state begins with everything that is bound in it, and to decode and
set a hundred variables for each call costs more than the call.

The idea: the receiver prepares a Context once, when the state arrives under its number, and runs
each call that names the number in a copy: a copy of a Context takes the same time however much is
in it. No two calls may share an object that one of them could change, so what can change stays the
bytes that it came as, and each call decodes its own when it first reads it.

An example, with what ``states.sent`` sends::

    entries: color, basket   name 1     decoded; color is kept as a value, basket as bytes
    base 1                              a copy of that Context; basket is decoded if it is read
    base 1, entries: color              a copy, in which color is set; not kept, for it has no name
    base 1, entries: size    name 2     a copy, in which size is set; kept as state 2
    base 7                              not known here: the call is refused before it begins
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from catena.context.binding import LAZY, LazyValues
from catena.context.chain import EMPTY, UNMOUNTED, State, current
from catena.context.ledger import spent_elsewhere
from catena.context.proxy import PROXY_KEY, proxy
from catena.context.token import TOKEN_MARK
from catena.context.variable import UNREAD, UNSET, Variable
from catena.errors import ChainSerializationError
from catena.events import announced
from catena.events.carrier import relayed
from catena.ids import Key
from catena.transfer.baseline import Baseline
from catena.transfer.decode import DecodedEntries, decode_entries, unpack_entries
from catena.transfer.diff import count_bytes
from catena.transfer.manifest import BARE, ChainManifest, Entry, Values
from catena.transfer.mount import check_manifest, mount_first, mount_unarmed
from catena.transfer.problems import warn_of_unread, warn_or_raise
from catena.transfer.states.bound import BoundProxy, Way
from catena.transfer.states.sent import STATES, STATES_BYTES

ROOTS = 64
"""How many states that have a proxy alone are kept of one link; a sender names one at a time."""

ROOTS_BYTES = 16 << 20
"""The most bytes of proxies that these may stand for: 16 MiB."""

Restore = Callable[[Entry], Way | None]


class KeptState:
    """One state, in a Context that is copied for each call.

    Its values are those of an earlier call: nobody reads them before a chain is mounted in a copy.

    ``bound`` is the proxy in it, and ``bare`` the manifest of a call that says nothing else, where
    there is one. ``state`` and ``context`` hold what cannot change. ``lazy`` is what can, as bytes
    that are decoded when a call first reads them; ``written`` is how this process writes it.
    ``eager`` is what is decoded for each call at its mount: what holds a token, which has to be
    known here, and what could not be read, of which each call is to hear. ``unread`` is the state
    of a call that has read none of the lazy values yet. ``carried`` has the entries of carried
    variables, which each call binds anew. ``size`` is how many bytes all entries count for.
    """

    def __init__(
        self, bound: BoundProxy, context: contextvars.Context | None = None, state: State = EMPTY
    ) -> None:
        self.bound = bound
        self.bare: ChainManifest | None = None
        self.context = bound.context if context is None else context
        self.state = self.unread = state
        self.lazy: dict[Variable, bytes] = {}
        self.written: dict[Variable, bytes] = {}
        self.eager: dict[Variable, bytes] = {}
        self.carried: dict[Key, Entry] = {}
        self.sizes: dict[Key, int] = {}
        self.size = 0

    def derive(self, found: DecodedEntries) -> KeptState:
        """Return the state that follows when a manifest has changed this one."""
        changeable = [var for var, _, binding, _ in found.bound if not binding.fixed]
        gone = (*found.unbound, *changeable)
        fixed = {var: binding for var, binding in found.bindings.items() if binding.fixed}
        state = self.state.merge(fixed, gone)
        state.fixed = True
        state.has_stubs = self.state.has_stubs or found.stubs > 0
        then = KeptState(self.bound, self.context.copy(), state)
        then.lazy, then.eager = dict(self.lazy), dict(self.eager)
        then.written, then.sizes = dict(self.written), dict(self.sizes)
        for var in found.mentioned:
            for table in (then.lazy, then.written, then.eager):
                table.pop(var, None)
            then.sizes.pop(var.key, None)
        for key in self.carried:
            then.sizes.pop(key, None)
        # All of them were decoded for this call, those that this state had as well.
        then.carried = found.carried.entries
        then.sizes.update((key, count_bytes(one.value)) for key, one in then.carried.items())
        then.context.run(then._put_values, found, gone)
        if then.lazy:
            then.unread = State(state)
            then.unread.update(dict.fromkeys(then.lazy, LAZY))
        then.size = sum(then.sizes.values())
        return then

    def check_unarmed(self) -> None:
        """Raise ChainSerializationError where something besides the proxy is bound here."""
        if self.context is not self.bound.context:
            raise ChainSerializationError(cause="only the manifest of a chain builds on a state")

    def with_proxy(self, bound: BoundProxy) -> KeptState:
        """Return the same state with another proxy."""
        then = copy.copy(self)
        then.bound, then.context = bound, self.context.copy()
        then.context.run(proxy.backing.set, bound.context.get(proxy.backing))
        return then

    def _put_values(self, found: DecodedEntries, gone: Iterable[Variable]) -> None:
        """Put what a manifest brought where it is kept; called in the new state's Context."""
        current.set(UNMOUNTED)
        for var in gone:
            var.backing.set(UNSET)
        for var, value, binding, data in found.bound:
            self.sizes[var.key] = count_bytes(data)
            if binding.fixed:
                var.backing.set(value)
            elif TOKEN_MARK in data:
                self.eager[var] = data
            else:
                self.lazy[var] = data
                var.backing.set(UNREAD)
        for var, data in found.unread:
            # Refused again by each call, which costs less than to have the sender send everything.
            self.eager[var], self.sizes[var.key] = data, count_bytes(data)

    def state_of_call(self, values: Values, changed: Iterable[Variable]) -> State:
        """Return the state of one call, whose lazy values are bytes until it reads them.

        Variables that its manifest ``changed`` are left out.
        """
        if values.strict or not self.lazy:
            return self.state
        state = State(self.unread)
        for var in changed:
            state.pop(var, None)
        loads, dumps = values.loads, values.dumps
        state.lazy = LazyValues(self.lazy, self.written, loads, dumps, warn_of_unread)
        state.has_unexposed, state.has_stubs = True, self.state.has_stubs
        return state

    def add_carried(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """Return a manifest's entries, and those of carried variables that it does not change."""
        if not self.carried:
            return entries
        changed = {entry.key for entry in entries}
        kept = [entry for key, entry in self.carried.items() if key not in changed]
        return (*entries, *kept)

    def decode_eager(self, values: Values, found: DecodedEntries) -> None:
        """Decode what has to be decoded at the mount, unless the manifest changed it.

        In strict mode that is everything.
        """
        encoded = self.lazy | self.eager if values.strict else self.eager
        changed = found.mentioned if encoded else ()
        for var, data in encoded.items():
            if var not in changed:
                found.decode_value(var, data, values)


class KeptStates:
    """The states of one link by their number, of which the least recently used go.

    ``plain`` is what a call builds on that names none, with the proxy that is ``bound`` in it.
    ``roots`` are the states that have a proxy and nothing else, by their number; ``restore`` makes
    a proxy of what an entry says, None where it says that there is none, and raises nothing.
    """

    def __init__(
        self, values: Values, bound: BoundProxy | None = None, restore: Restore | None = None
    ) -> None:
        self.values = values
        self.plain = KeptState(bound or BoundProxy(None, ""))
        self.roots: OrderedDict[int, KeptState] = OrderedDict()
        self._restore = restore
        self._kept: OrderedDict[int, KeptState] = OrderedDict()
        self._size = self._roots_size = 0

    def find_bound(self, manifest: ChainManifest) -> KeptState | None:
        """Return what a call's first manifest builds on, with the proxy that it brings or names.

        None where it does neither.
        """
        if self.values.proxy_mark in manifest.entries:
            entry = self._find_proxy(manifest)
            if entry is not None:
                return self._bind_proxy(manifest.base, entry)
        if not manifest.base:
            return None
        return self.roots.get(manifest.base) or self.find_base(manifest)

    def find_base(self, manifest: ChainManifest | None) -> KeptState | None:
        """Return what a call's first manifest builds on, None when that is not known (any more)."""
        if manifest is None or not manifest.base:
            return self.plain
        state = self._kept.get(manifest.base)
        if state is not None:
            self._kept.move_to_end(manifest.base)
        return state

    def _find_proxy(self, manifest: ChainManifest) -> Entry | None:
        """Return the entry of the proxy, None without one, or where none can be read at all."""
        try:
            entries = unpack_entries(manifest, self.values)
        except ChainSerializationError:
            # It is raised again where the chain is mounted.
            return None
        return next((one for one in entries if one.key == PROXY_KEY), None)

    def _bind_proxy(self, base: int, entry: Entry) -> KeptState:
        """Return the state of a number, with the proxy of an entry; a root where it is unknown."""
        way = None if self._restore is None else self._restore(entry)
        bound = BoundProxy(way, "chain")
        known = self._kept.get(base)
        if known is not None:
            return known.with_proxy(bound)
        root = KeptState(bound)
        if base and len(entry.value) <= ROOTS_BYTES:
            root.size, root.bare = count_bytes(entry.value), BARE[base]
            self._keep_root(base, root)
        return root

    def _keep_root(self, number: int, root: KeptState) -> None:
        before = self.roots.pop(number, None)
        self._roots_size += root.size - (before.size if before is not None else 0)
        self.roots[number] = root
        while len(self.roots) > ROOTS or self._roots_size > ROOTS_BYTES:
            self._roots_size -= self.roots.popitem(last=False)[1].size

    def clear(self) -> None:
        """Forget everything."""
        self.roots.clear()
        self._kept.clear()
        self._size = self._roots_size = 0

    def enter(
        self,
        manifest: ChainManifest | None,
        base: KeptState,
        task: asyncio.Task[Any] | None = None,
    ) -> Baseline | None:
        """Mount what a call begins with, in a copy of the Context of ``base``, for its task.

        Returns the call's baseline, None when nothing came. The state is kept when the
        manifest names it, and when nothing but values that cannot be read is wrong with it. Raises
        ChainSerializationError for a malformed manifest, and in strict mode for a bad entry.
        """
        if manifest is None:
            return None
        if manifest.carrier:
            relayed.set(manifest.carrier)
        try:
            check_manifest(manifest)
            if manifest.chain_id:
                return self._enter_chain(manifest, base, task)
            base.check_unarmed()
            return mount_unarmed(manifest, self.values, to_worker=True)
        except ChainSerializationError as error:
            raise announced(error) from None

    def _enter_chain(
        self, manifest: ChainManifest, base: KeptState, task: asyncio.Task[Any] | None
    ) -> Baseline:
        values = self.values
        if manifest.spent:
            # Also when the values are refused.
            spent_elsewhere(*manifest.spent)
        is_bare = not (manifest.entries or manifest.name or base.carried)
        if is_bare and not base.eager and not (values.strict and base.lazy):
            return mount_first(manifest, base.state_of_call(values, ()), None, values, task)
        entries = unpack_entries(manifest, values) if manifest.entries else ()
        entries = base.add_carried(entries)
        found = decode_entries(entries, values, to_worker=True)
        kept = None
        if manifest.name and found.is_readable:
            kept = base.derive(found)
        state = base.state_of_call(values, found.mentioned if base.lazy else ())
        base.decode_eager(values, found)
        if found.problems:
            warn_or_raise(found.problems, strict=values.strict)
        baseline = mount_first(manifest, state, found, values, task)
        if kept is not None:
            self._keep_state(manifest.name, kept)
        return baseline

    def _keep_state(self, number: int, state: KeptState) -> None:
        kept = self._kept
        before = kept.pop(number, None)
        self._size += state.size - (before.size if before is not None else 0)
        kept[number] = state
        while len(kept) > 2 * STATES or self._size > 2 * STATES_BYTES:
            self._size -= kept.popitem(last=False)[1].size
