"""Tokens: ``set`` returns one, ``reset`` accepts it once, and it can travel to other processes.

A token wraps the stdlib token of the variable's backing, which proves in which Context it was made.
A token that came from another process has no stdlib token; there the ledger of the Context says
whether it may be reset.

``BaseToken`` has everything but the type of the variable, which ``Token``, beside ``ContextVar``,
adds.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, Self, SupportsIndex

from catena.context.binding import Binding
from catena.context.chain import current
from catena.context.home import Home, Pin
from catena.context.ledger import departures, tokens
from catena.context.variable import UNREAD, UNSET, Variable
from catena.errors import SerializationError
from catena.events import announced
from catena.ids import new_id
from catena.wording import reason

TOKEN_MARK = b"restore_token"
"""In the bytes of whatever holds a token: pickle names the function that makes it again."""


class OldValue(NamedTuple):
    """The value from before a set, as it travels: None when there was none, else as bytes.

    ``flaw`` says why the bytes are missing. ``held`` is the value itself when it holds tokens: a
    ledger knows a token while its object lives, and whether it is used is written at each crossing.
    ``departure`` is the number of the token's last departure, 0 when it never left here.
    """

    loads: Callable[[bytes], Any]
    data: bytes | None
    flaw: str = ""
    held: Any = None
    departure: int = 0


class BaseToken:
    """A token of a variable whose type is left open."""

    MISSING: Any = contextvars.Token.MISSING

    __slots__ = (
        "__weakref__",
        "_home",
        "_id",
        "_native",
        "_old",
        "_pin",
        "_used",
        "before",
        "variable",
    )

    variable: Variable
    """The variable that was set."""
    before: Binding | None
    """The binding before the set, None when the variable had no value."""
    _native: contextvars.Token[Any] | None
    _used: bool
    _id: bytes | None
    _home: Home | None
    _pin: Pin | None
    _old: OldValue | None

    def __new__(cls, *_: object, **__: object) -> Self:
        """Refuse: only ``set`` makes tokens."""
        raise RuntimeError("Tokens can only be created by ContextVars")

    @classmethod
    def mint(
        cls,
        var: Variable,
        native: contextvars.Token[Any] | None = None,
        before: Binding | None = None,
        home: Home | None = None,
        id: bytes | None = None,
        old: OldValue | None = None,
    ) -> Self:
        """Make the token of one ``set``; ``before`` is the binding from before it.

        One that came from another process has an ``id`` and the ``old`` value that came along.
        """
        token = object.__new__(cls)
        token.variable = var
        token._native = native
        token.before = before
        token._home = home
        token._pin = home.share_pin() if home is not None and home.keeps_pins else None
        token._used = False
        token._id = id
        token._old = old
        return token

    def hold_inner_tokens(self, loads: Callable[[bytes], Any], data: bytes) -> None:
        """Decode an old value that came with tokens inside of it: they live as long as this one."""
        if self._old is None or self._old.held is not None:
            return
        try:
            self._old = self._old._replace(held=loads(data))
        except Exception:
            # Whoever asks for the old value gets the error.
            return

    @property
    def id(self) -> bytes:
        """The 16 bytes by which processes know this token, drawn when first asked for."""
        if self._id is None:
            self._id = new_id()
        return self._id

    @property
    def old_value(self) -> Any:
        """The value before the set, or ``Token.MISSING`` when there was none.

        Raises SerializationError when the token came from another process but the value could not
        be sent, or cannot be unpickled here.
        """
        if self._native is None:
            value = self._load_crossed_value()
            return self.MISSING if value is UNSET else value
        old = self._native.old_value
        if self.before is not None:
            if old is UNREAD:
                old = self._read_value(self.before.read_value, self.variable)
            # As ``get`` does it: from now on somebody can change the value in place.
            self.before.expose(self.variable, old)
        return self.MISSING if old is UNSET else old

    @property
    def used(self) -> bool:
        """Whether a reset has spent this token."""
        return self._used

    @property
    def departure(self) -> int:
        """The number of its last departure to another process, 0 when there was none."""
        return 0 if self._old is None else self._old.departure

    def mark_used(self) -> None:
        """Note that a reset has spent this token, here or in another process."""
        self._used = True
        self._pin = None

    def spend(self, home: Home | None) -> bool:
        """Undo the set in the backing variable; False where this token opens nothing.

        One that was minted in the current Context is validated by its stdlib token; one that came
        from elsewhere by ``home``, the current one, when its ledger holds the id. Raises
        SerializationError, before anything changes, when the old value did not come along.
        """
        if not self._undo_set(home):
            return False
        self.mark_used()
        if self._old is not None and home is not None and home.ledger is not None:
            home.ledger.note_spent(self.id)
        return True

    def opens_here(self) -> bool:
        """Say whether it was minted in the current Context itself, not in a copy or the original.

        Only its stdlib token knows that, and only by being used: so it is used and minted anew.
        """
        if self._native is None or self._used:
            return False
        backing = self.variable.backing
        value = backing.get()
        try:
            backing.reset(self._native)
        except (ValueError, RuntimeError):
            return False
        self._native = backing.set(value)
        return True

    def _undo_set(self, home: Home | None) -> bool:
        if self._native is not None:
            try:
                self.variable.backing.reset(self._native)
            except ValueError:
                pass
            else:
                return True
        if self._id is None or home is None or home.ledger is None:
            return False
        if self._native is not None and self._home is home:
            # Of a copied Context: its stdlib token decides, whatever ids a peer has sent.
            return False
        if not (home.ledger.is_live(self._id) and home.is_here()):
            return False
        self.variable.backing.set(self._load_crossed_value())
        # What is bound now is another object than the one from before the set.
        self.before = None
        return True

    def _load_crossed_value(self) -> Any:
        """Return the value from before the set as it travelled, a new object each time."""
        old = self._old
        if old is None or old.data is None:
            return UNSET
        if old.flaw:
            raise self._announce_unreadable(old.flaw)
        return self._read_value(old.loads, old.data)

    def _read_value(self, read: Callable[[Any], Any], source: Any) -> Any:
        """Return the value from before the set, read from its ``source``.

        Raises SerializationError, which is announced, when it cannot be read.
        """
        try:
            return read(source)
        except Exception as error:
            raise self._announce_unreadable(reason(error)) from error

    def _announce_unreadable(self, cause: str) -> SerializationError:
        what = f"the old value of a token of {self.variable!r}"
        return announced(SerializationError(what=what, cause=cause, doing="read"))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return self.id == other.id if isinstance(other, BaseToken) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        used = " used" if self._used else ""
        return f"<Token{used} var={self.variable!r} at {id(self):#x}>"

    def note_departure(
        self, dumps: Callable[[Any], bytes], loads: Callable[[bytes], Any]
    ) -> OldValue:
        """Note that the token is about to leave the process; return the old value as it travels."""
        if self._old is None or self._old.held is not None:
            self._old = self._write_old_value(dumps, loads)
            tokens[self.id] = self
        self._old = self._old._replace(departure=next(departures))
        # Elsewhere no token of a forward-only variable may be reset, so no ledger needs it.
        if self._home is not None and self.variable.propagate == "both":
            self._home.open_ledger().note_departure(self)
            chain = current.get()
            if chain is not None and chain.id and chain.home is not self._home:
                # It may have been minted here all the same, before a task forked in this Context.
                chain.home.open_ledger().note_departure(self)
        return self._old

    def _write_old_value(
        self, dumps: Callable[[Any], bytes], loads: Callable[[bytes], Any]
    ) -> OldValue:
        value: Any = UNSET if self._native is None else self._native.old_value
        if self._native is None and self._old is not None:
            value = self._old.held
        if value is UNSET or value is self.MISSING:
            return OldValue(loads, None)
        # For a value that holds this very token, which is written without it there.
        self._old = OldValue(loads, b"", "it is inside of itself")
        before = self.before
        try:
            if value is UNREAD and before is not None:
                unread = before.unread_bytes(self.variable)
                if unread is not None:
                    return OldValue(loads, unread)
                value = before.read_value(self.variable)
            data = dumps(value)
        except Exception as error:
            # The token crosses all the same; only a reset there needs the value.
            return OldValue(loads, b"", reason(error))
        return OldValue(loads, data, held=value if TOKEN_MARK in data else None)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            "a catena.Token cannot be pickled or copied; it travels in the arguments, results and"
            " exceptions of a dispatched routine, and opens there what it opened here"
        )
