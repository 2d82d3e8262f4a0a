"""Decoding the entries of a manifest: all of them, before a mount changes anything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from catena.context.binding import Binding, LazyValues
from catena.context.proxy import proxy
from catena.context.registry import find
from catena.context.var import receive_variable
from catena.context.variable import MISSING, UNREAD, Variable
from catena.errors import ChainSerializationError
from catena.events import ForwardDropped
from catena.events.bus import announce
from catena.ids import Key
from catena.transfer.carried import DecodedCarried, is_carried
from catena.transfer.diff import is_fixed, keep_default
from catena.transfer.manifest import (
    ENTRY_LIMIT,
    MANIFEST_LIMIT,
    VALUE_LIMIT,
    ChainManifest,
    Entry,
    EntryKind,
    Values,
)
from catena.transfer.problems import Problems, describe_problem, warn_of_unread

STUB_LIMIT = 1024
"""How many variables that nobody has declared here one manifest may bring."""


# A plain tuple, for a call may bring a hundred of them: it takes a tenth of a named one's time.
Bound = tuple[Variable, Any, Binding, bytes]
"""A variable that gets a value: the value, its binding and the bytes that it came as."""


class DecodedEntries:
    """What to bind, what to unbind, and what is wrong; ``unread`` are values that would not be.

    ``fixed`` says that no value which is to be bound can change in place. ``carried`` is what there
    is of carried variables, which belong to no chain.
    """

    def __init__(self) -> None:
        self.bound: list[Bound] = []
        self.bindings: dict[Variable, Binding] = {}
        self.fixed = True
        self.unbound: list[Variable] = []
        self.unread: list[tuple[Variable, bytes]] = []
        self.problems: Problems = []
        self.stubs = 0
        self.carried = DecodedCarried()

    @property
    def is_readable(self) -> bool:
        """Whether nothing but values that cannot be read is wrong."""
        return len(self.problems) == len(self.unread) + self.carried.refused

    @property
    def mentioned(self) -> set[Variable]:
        """The variables that are bound or unbound."""
        return {*self.bindings, *self.unbound}

    def decode_value(self, var: Variable, data: bytes, values: Values) -> bool:
        """Have a variable get the value that some bytes stand for; say whether it does.

        What nobody has declared here needs no reader here: where its bytes cannot be decoded, they
        are kept, and go on to the next process as they came.
        """
        try:
            if len(data) > VALUE_LIMIT:
                raise ValueError(f"its {len(data)} bytes exceed {VALUE_LIMIT}")  # noqa: TRY301
            value = values.loads(data)
        except Exception as error:
            if var.declared or len(data) > VALUE_LIMIT:
                self.problems.append(describe_problem(var.key, error, "read"))
                return False
            value = UNREAD
        fixed = value is not UNREAD and is_fixed(value)
        binding = Binding(fixed, None if fixed else values.dumps)
        if value is UNREAD:
            encoded = {var: data}
            binding.lazy = LazyValues(encoded, {}, values.loads, values.dumps, warn_of_unread)
        self.bound.append((var, value, binding, data))
        self.bindings[var] = binding
        self.fixed = self.fixed and fixed
        return True


def unpack_entries(manifest: ChainManifest, values: Values) -> tuple[Entry, ...]:
    """Return the entries. Raises ChainSerializationError when they are none, or too many."""
    if len(manifest.entries) > MANIFEST_LIMIT:
        raise ChainSerializationError(
            cause=f"its {len(manifest.entries)} bytes exceed {MANIFEST_LIMIT}"
        )
    entries = values.unpack(manifest.entries)
    if len(entries) > ENTRY_LIMIT:
        raise ChainSerializationError(
            cause=f"it has {len(entries)} entries, at most {ENTRY_LIMIT} travel"
        )
    return entries


def decode_entries(entries: Iterable[Entry], values: Values, *, to_worker: bool) -> DecodedEntries:
    """Decode entries one by one, so that a bad one costs itself alone; nothing is changed.

    On a worker a value that was lost unbinds its variable; a caller keeps what it had. What a
    worker says of a forward-only variable is dropped, as is the proxy of a frame that comes later.
    """
    found = DecodedEntries()
    seen: set[Key] = set()
    for entry in entries:
        key = entry.key
        if key in seen:
            twice = ValueError("the key occurs twice; the first one counts")
            found.problems.append(describe_problem(key, twice, "read"))
            continue
        seen.add(key)
        if is_carried(key):
            found.problems += found.carried.decode(entry, values, to_worker=to_worker)
            continue
        var = find(key)
        if not to_worker and (entry.forward or (var and var.propagate == "forward")):
            if ForwardDropped.listeners:
                announce(ForwardDropped(key))
            continue
        if var is proxy:
            # It was bound when the call was accepted, and stays for as long as that lasts.
            continue
        if var is None or not var.declared:
            var = _stub_of(entry, values, found)
        if var is not None:
            _decode_entry(var, entry, values, found, to_worker=to_worker)
    return found


def _decode_entry(
    var: Variable, entry: Entry, values: Values, found: DecodedEntries, *, to_worker: bool
) -> None:
    """Add what an entry does to its variable."""
    if entry.kind is EntryKind.VALUE:
        if found.decode_value(var, entry.value, values):
            return
        found.unread.append((var, entry.value))
    if to_worker or entry.kind is EntryKind.RESET:
        found.unbound.append(var)


def _stub_of(entry: Entry, values: Values, found: DecodedEntries) -> Variable | None:
    """Return what stands for a variable that nobody declared here; None when there are too many."""
    found.stubs += 1
    if found.stubs > STUB_LIMIT:
        many = ValueError(f"more than {STUB_LIMIT} of its chain's variables are declared nowhere")
        found.problems.append(describe_problem(entry.key, many, "read"))
        return None
    default = MISSING
    if entry.default is not None:
        try:
            default = values.loads(entry.default)
        except Exception:
            # Only who declares the variable reads a default: here its bytes go on as they came.
            default = MISSING
    var = receive_variable(entry.key, default, "forward" if entry.forward else "both")
    if entry.default is not None and var.default is MISSING:
        keep_default(var, entry.default)
    return var
