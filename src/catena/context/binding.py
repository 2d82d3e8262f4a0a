"""Bindings: each records that a variable was given a value once; and values that are still bytes.

A set makes a binding, and so does a mount. The same binding means the same object, so two states
are compared without comparing their values. The object may have been changed in place, but only by
code that has read it. So a binding keeps the bytes to which this process encodes its value when the
value is first read, and later encodings are compared with those.

A value that arrived and can change stays bytes until it is first read, because most calls read only
a few of many values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from catena.context.variable import Variable
from catena.ids import Key


@dataclass(slots=True, eq=False)
class LazyValues:
    """Values of one call that are still the bytes they came as; each is decoded when first read.

    ``encoded`` has the bytes, ``decoded`` the values that were read. Forks share both, so that what
    one of them reads is the object that the others read. ``written`` is how this process writes the
    values: all calls that name the state share it, for the bytes are the same. ``bindings`` has
    those that somebody asked for. ``report`` is called with a key and the error when a read fails.
    """

    encoded: Mapping[Variable, bytes]
    written: dict[Variable, bytes]
    loads: Callable[[bytes], Any]
    dumps: Callable[[Any], bytes]
    report: Callable[[Key, Exception], None]
    decoded: dict[Variable, Any] = field(default_factory=dict[Variable, Any])
    bindings: dict[Variable, Binding] = field(default_factory=dict[Variable, "Binding"])

    def binding_of(self, var: Variable) -> Binding:
        """Return the one binding of a value that is here."""
        found = self.bindings.get(var)
        if found is None:
            # Threads of the chain's forks may ask at once; the first binding counts for all.
            found = self.bindings.setdefault(var, Binding(False, self.dumps, self))
        return found

    def read_value(self, var: Variable) -> Any:
        """Return a variable's value. Raises whatever decoding it raises."""
        try:
            return self.decoded[var]
        except KeyError:
            pass
        # Threads of the chain's forks may do so at once; the first value counts for all.
        return self.decoded.setdefault(var, self.loads(self.encoded[var]))

    def keep_written(self, var: Variable, written: bytes) -> None:
        """Keep how a value that was just decoded is written; mostly as the bytes it came as."""
        came = self.encoded[var]
        self.written[var] = came if came == written else written


@dataclass(slots=True, eq=False)
class Binding:
    """That a variable was given a value, once: by a set, or by a mount.

    ``fixed`` says whether the value can surely not be changed in place, None before somebody
    looked. A value that came by a mount has a ``fingerprint``, which writes it down, until it is
    first exposed: until then nobody here can have changed it. ``lazy`` is where it waits to be
    decoded, if it does. ``written`` is what the fingerprint returned. Forks share the binding as
    they share the value.
    """

    fixed: bool | None = None
    fingerprint: Callable[[Any], bytes] | None = None
    lazy: LazyValues | None = None
    written: bytes | None = None

    def read_value(self, var: Variable) -> Any:
        """Return the lazy value. Raises LookupError where there is none, and what decoding does."""
        if self.lazy is None:
            raise LookupError(var)
        return self.lazy.read_value(var)

    def unread_bytes(self, var: Variable) -> bytes | None:
        """Return the variable's bytes while nobody here has read its value, else None."""
        lazy = self.lazy
        return None if lazy is None or var in lazy.decoded else lazy.encoded[var]

    def expose(self, var: Variable, value: Any) -> None:
        """Note how this process writes a value that came by a mount, before anybody changes it."""
        if self.fingerprint is None:
            return
        lazy = self.lazy
        written = None if lazy is None else lazy.written.get(var)
        if written is None:
            try:
                written = self.fingerprint(value)
            except Exception:
                # What cannot be written cannot be compared: it counts as changed.
                written = None
            if lazy is not None and written is not None:
                lazy.keep_written(var, written)
        # Another thread of the same chain's forks may have been quicker, and its user too.
        if self.fingerprint is not None:
            self.written, self.fingerprint = written, None


LAZY = Binding(fixed=False)
"""Stands in a state for the binding of a lazy value that nobody has asked for yet."""
