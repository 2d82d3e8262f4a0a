"""Which entries the other side lacks, and how each is written.

Bindings show what was set. What can change in place is encoded once more and compared with how this
process encoded it before; what was exposed to nobody here cannot have changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any
from weakref import WeakKeyDictionary

from catena.context.binding import Binding
from catena.context.chain import State
from catena.context.registry import find
from catena.context.variable import MISSING, UNREAD, Variable
from catena.errors import ChainSerializationError
from catena.ids import Key
from catena.transfer.baseline import NOTHING, Marks
from catena.transfer.manifest import (
    ENTRY_LIMIT,
    MANIFEST_LIMIT,
    VALUE_LIMIT,
    Entry,
    EntryKind,
    Values,
)
from catena.transfer.problems import Problems, describe_problem, warn_or_raise

_FIXED = frozenset({str, bytes, int, float, bool, type(None)})
_LOST = b""
_KEY = itemgetter(0)
_defaults: WeakKeyDictionary[Variable, tuple[Any, bytes | None]] = WeakKeyDictionary()


def is_fixed(value: Any) -> bool:
    """Say whether a value can surely not be changed in place."""
    kind: object = type(value)  # pyright: ignore[reportUnknownVariableType]
    try:
        if kind in _FIXED:
            return True
        return kind is tuple and all(map(is_fixed, value))
    except BaseException:
        # A class may refuse to be hashed, in its metaclass; a tuple may be too deep.
        return False


def keep_default(var: Variable, data: bytes) -> None:
    """Keep a default that cannot be decoded here, for processes that the variable goes on to."""
    _defaults[var] = (MISSING, data)


def count_bytes(value: bytes) -> int:
    """Return how many bytes an encoded value counts for in the tables of a link."""
    return 64 + len(value)


class ManifestDiff:
    """Collects the entries that the other side lacks.

    ``written`` is how each value that can change in place is written, empty bytes for one that
    could not be; ``entries`` is what was collected, in no order; ``carried`` what the other side
    has of carried variables once it has mounted this.
    """

    def __init__(self, values: Values, *, to_worker: bool) -> None:
        self.problems: Problems = []
        self.written: Mapping[Binding, bytes] = NOTHING
        self.entries: list[Entry] = []
        self.carried: Marks = NOTHING
        self._written: dict[Binding, bytes] = {}
        self.values = values
        self.to_worker = to_worker

    def add_changes_in_place(self, state: State, written: Mapping[Binding, bytes]) -> None:
        """Add what was changed in place in a state that the other side has."""
        # Of lazy values, those that nobody has read are as they came.
        asked = state.items() if state.lazy is None else (*state.lazy.bindings.items(),)
        for var, binding in asked:
            if not binding.fixed and (self.to_worker or var.propagate == "both"):
                self._add_if_changed(var, binding, written.get(binding))
        self.written = {**written, **self._written} if self.entries else written

    def add_state(
        self,
        state: State,
        since: Mapping[Key, Binding] = NOTHING,
        written: Mapping[Binding, bytes] = NOTHING,
        *,
        whole: bool = False,
    ) -> None:
        """Add what a state differs in; ``since`` and ``written`` are what the other side has.

        Raises ChainSerializationError when the state has more variables than may travel.
        """
        if len(state) > ENTRY_LIMIT:
            raise ChainSerializationError(
                cause=f"{len(state)} variables are bound, at most {ENTRY_LIMIT} travel",
                doing="sent",
            )
        fixed = True
        for var, binding in state.materialize().items():
            if binding.fixed is None:
                binding.fixed = is_fixed(var.backing.get())
            fixed = fixed and binding.fixed
            if not self.to_worker and var.propagate == "forward":
                continue
            if whole or since.get(var.key) is not binding:
                self._add_value(var, binding)
                continue
            known = written.get(binding)
            if not binding.fixed:
                self._add_if_changed(var, binding, known)
            if known is not None:
                self._written.setdefault(binding, known)
        self.written = self._written
        state.fixed = fixed
        if since:
            self._add_resets(state, since)

    def _add_value(self, var: Variable, binding: Binding) -> None:
        data = binding.unread_bytes(var)
        if data is None:
            data = self._encode_value(var, binding, None)
            if not binding.fixed:
                self._written[binding] = data
        self.entries.append(_entry_of(var, data, self.values))

    def _add_if_changed(self, var: Variable, binding: Binding, known: bytes | None) -> None:
        """Add a value if it was changed in place, which only user code that holds it can do."""
        if binding.fingerprint is not None:
            return
        data = self._encode_value(var, binding, known)
        if data != (binding.written if known is None else known):
            self._written[binding] = data
            self.entries.append(_entry_of(var, data, self.values))

    def _encode_value(self, var: Variable, binding: Binding, known: bytes | None) -> bytes:
        """Return a value as bytes, none when it cannot be encoded: a problem, unless ``known``."""
        try:
            value = var.backing.get()
            data = self.values.dumps(binding.read_value(var) if value is UNREAD else value)
            if len(data) > VALUE_LIMIT:
                raise ValueError(f"its {len(data)} bytes exceed {VALUE_LIMIT}")  # noqa: TRY301
        except Exception as error:
            if known != _LOST:
                self.problems.append(describe_problem(var.key, error, "sent"))
            return _LOST
        return data

    def _add_resets(self, state: State, since: Mapping[Key, Binding]) -> None:
        """Name what the other side has and this one has no more."""
        for key in since.keys() - state.by_key.keys():
            var = find(key)
            if self.to_worker or (var is not None and var.propagate == "both"):
                self.entries.append(Entry(key, EntryKind.RESET))

    def pack_entries(self) -> bytes:
        """Return the entries as one block, which is empty when there are none.

        Warns of entries that are lost. Raises ChainSerializationError in strict mode, and when the
        block exceeds its limit.
        """
        if self.problems:
            warn_or_raise(self.problems, strict=self.values.strict)
        if not self.entries:
            return b""
        if len(self.entries) > ENTRY_LIMIT:
            # As many were reset as others were set: the receiver would refuse them.
            raise ChainSerializationError(
                cause=f"{len(self.entries)} variables changed, at most {ENTRY_LIMIT} travel",
                doing="sent",
            )
        self.entries.sort(key=_KEY)
        block = self.values.pack(self.entries)
        if len(block) > MANIFEST_LIMIT:
            raise ChainSerializationError(
                cause=f"its {len(block)} bytes exceed {MANIFEST_LIMIT}", doing="sent"
            )
        return block

    def measure_entries(self, sizes: dict[Key, int]) -> dict[Key, int]:
        """Return how many bytes each entry of the state takes, given those that did not change."""
        for entry in self.entries:
            if entry.kind is EntryKind.VALUE:
                sizes[entry.key] = count_bytes(entry.value)
            else:
                sizes.pop(entry.key, None)
        return sizes


def _entry_of(var: Variable, data: bytes, values: Values) -> Entry:
    forward = var.propagate == "forward"
    if data == _LOST:
        return Entry(var.key, EntryKind.LOST, b"", forward)
    return Entry(var.key, EntryKind.VALUE, data, forward, _default_of(var, values))


def _default_of(var: Variable, values: Values) -> bytes | None:
    known = _defaults.get(var)
    if var.default is MISSING:
        return None if known is None else known[1]
    if known is None or known[0] is not var.default:
        try:
            data = values.dumps(var.default)
        except Exception:
            # The default only serves a receiver that never declares the variable.
            data = None
        known = _defaults[var] = (var.default, data)
    return known[1]
