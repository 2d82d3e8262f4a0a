"""Which entries the other side of a call lacks, and how each is written.

Bindings tell what was set. What can change in place is encoded once more and compared with how this
process encoded it before; what nobody here was handed cannot have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from catena.context.chain import Binding, Shelf, State
from catena.context.manifest import (
    ENTRY_LIMIT,
    MANIFEST_LIMIT,
    VALUE_LIMIT,
    Entry,
    EntryKind,
    Values,
)
from catena.context.problems import Problems, problem, settle
from catena.context.registry import Key, find
from catena.context.token import UNREAD
from catena.context.var import MISSING, ContextVar
from catena.errors import ChainSerializationError

__all__ = ["NOTHING", "Changes", "is_fixed", "size_of", "unchanged"]

NOTHING: Mapping[Any, Any] = {}
_FIXED = frozenset({str, bytes, int, float, bool, type(None)})
_LOST = b""
_defaults: WeakKeyDictionary[ContextVar[Any], tuple[Any, bytes | None]] = WeakKeyDictionary()


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


def unchanged(shelf: Shelf, dumps: Callable[[Any], bytes]) -> bool:
    """Say whether no value of a shelf that was read has changed in place.

    False also where that cannot be told from here.
    """
    for var, value in (*shelf.opened.items(),):
        written = shelf.bindings[var].written
        try:
            if written is None or dumps(value) != written:
                return False
        except Exception:
            # What cannot be written counts as changed.
            return False
    return True


def size_of(entry: Entry) -> int:
    """Return how many bytes an entry counts for in the tables of a link."""
    return 64 + len(entry.value)


class Changes:
    """Collects the entries that the other side lacks.

    ``written`` tells how each value that can change in place is written, empty bytes for one that
    could not be.
    """

    def __init__(self, values: Values, *, to_worker: bool) -> None:
        self.problems: Problems = []
        self.written: Mapping[Binding, bytes] = NOTHING
        self._written: dict[Binding, bytes] = {}
        self._values = values
        self._to_worker = to_worker
        self._entries: list[Entry] = []

    def compare(self, state: State, written: Mapping[Binding, bytes]) -> None:
        """Go through a state that the other side has, for what was changed in place."""
        dumps, to_worker, shelf = self._values.dumps, self._to_worker, state.shelf
        # What is on a shelf was handed out to nobody.
        asked = state.items() if shelf is None else (*shelf.bindings.items(),)
        for var, binding in asked:
            if binding.fixed or binding.seal is not None:
                continue
            if to_worker or var.propagate == "both":
                known, value = written.get(binding), var.backing.get()
                try:
                    data = _LOST if value is UNREAD else dumps(value)
                except Exception:
                    # Told below, where it is written once more.
                    data = _LOST
                # Most are as they were: one call for each is enough.
                if data == known and value is not UNREAD:
                    continue
                if data == _LOST or len(data) > VALUE_LIMIT:
                    data = self._encode(var, binding, known)
                self._compare(var, binding, known, data)
        self.written = {**written, **self._written} if self._entries else written

    def collect(
        self,
        state: State,
        since: Mapping[Key, Binding],
        written: Mapping[Binding, bytes],
        *,
        whole: bool = False,
    ) -> None:
        """Go through a state; ``since`` and ``written`` are what the other side has.

        Raises ChainSerializationError when the state has more variables than may travel.
        """
        if len(state) > ENTRY_LIMIT:
            raise ChainSerializationError(
                cause=f"{len(state)} variables are bound, at most {ENTRY_LIMIT} travel",
                doing="sent",
            )
        fixed = True
        for var, binding in state.settle().items():
            if binding.fixed is None:
                binding.fixed = is_fixed(var.backing.get())
            fixed = fixed and binding.fixed
            if not self._to_worker and var.propagate == "forward":
                continue
            if whole or since.get(var.key) is not binding:
                self._add(var, binding)
                continue
            known = written.get(binding)
            if not (binding.fixed or binding.seal is not None):
                self._compare(var, binding, known, self._encode(var, binding, known))
            if known is not None:
                self._written.setdefault(binding, known)
        self.written = self._written
        state.fixed = fixed
        if since:
            self._gone(state, since)

    def _add(self, var: ContextVar[Any], binding: Binding) -> None:
        data = binding.unread(var)
        if data is None:
            data = self._encode(var, binding, None)
            if not binding.fixed:
                self._written[binding] = data
        self._entries.append(_entry(var, data, self._values))

    def _compare(
        self, var: ContextVar[Any], binding: Binding, known: bytes | None, data: bytes
    ) -> None:
        """Look whether a value that user code holds was changed in place."""
        if data != (binding.written if known is None else known):
            self._written[binding] = data
            self._entries.append(_entry(var, data, self._values))

    def _encode(self, var: ContextVar[Any], binding: Binding, known: bytes | None) -> bytes:
        """Return a value as bytes, none when it cannot be encoded; told, unless it is known."""
        try:
            value = var.backing.get()
            data = self._values.dumps(binding.read(var) if value is UNREAD else value)
            if len(data) > VALUE_LIMIT:
                raise ValueError(f"its {len(data)} bytes exceed {VALUE_LIMIT}")  # noqa: TRY301
        except Exception as error:
            if known != _LOST:
                self.problems.append(problem(var.key, error, "sent"))
            return _LOST
        return data

    def _gone(self, state: State, since: Mapping[Key, Binding]) -> None:
        """Name what the other side has and this one has no more."""
        for key in since.keys() - state.by_key.keys():
            var = find(key)
            if self._to_worker or (var is not None and var.propagate == "both"):
                self._entries.append(Entry(key, EntryKind.RESET))

    def block(self) -> bytes:
        """Return the entries as one block, which is empty when there are none.

        Warns of entries that are lost. Raises ChainSerializationError in strict mode, and when the
        block exceeds its limit.
        """
        if self.problems:
            settle(self.problems, strict=self._values.strict)
        if not self._entries:
            return b""
        if len(self._entries) > ENTRY_LIMIT:
            # As many were reset as others were set: the receiver would refuse them.
            raise ChainSerializationError(
                cause=f"{len(self._entries)} variables changed, at most {ENTRY_LIMIT} travel",
                doing="sent",
            )
        self._entries.sort(key=_by_key)
        block = self._values.pack(self._entries)
        if len(block) > MANIFEST_LIMIT:
            raise ChainSerializationError(
                cause=f"its {len(block)} bytes exceed {MANIFEST_LIMIT}", doing="sent"
            )
        return block

    def measure(self, sizes: dict[Key, int]) -> dict[Key, int]:
        """Return how many bytes each entry of the state takes, given those that did not change."""
        for entry in self._entries:
            if entry.kind is EntryKind.VALUE:
                sizes[entry.key] = size_of(entry)
            else:
                sizes.pop(entry.key, None)
        return sizes


def _entry(var: ContextVar[Any], data: bytes, values: Values) -> Entry:
    forward = var.propagate == "forward"
    if data == _LOST:
        return Entry(var.key, EntryKind.LOST, b"", forward)
    return Entry(var.key, EntryKind.VALUE, data, forward, _default_of(var, values))


def _default_of(var: ContextVar[Any], values: Values) -> bytes | None:
    if var.default is MISSING:
        return None
    known = _defaults.get(var)
    if known is None or known[0] is not var.default:
        try:
            data = values.dumps(var.default)
        except Exception:
            # The default only serves a receiver that never declares the variable.
            data = None
        known = _defaults[var] = (var.default, data)
    return known[1]


def _by_key(entry: Entry) -> Key:
    return entry.key
