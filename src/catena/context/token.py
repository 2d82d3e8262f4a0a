"""The token: what ``set`` returns and ``reset`` takes back, once.

It wraps the stdlib token of the variable's backing, which proves the Context it was minted in.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    NamedTuple,
    NoReturn,
    SupportsIndex,
    TypeVar,
    final,
)

from catena.context.current import current
from catena.context.registry import departures, lock, tokens
from catena.errors import SerializationError
from catena.events import announced
from catena.ids import new_id
from catena.wording import reason

if TYPE_CHECKING:
    from catena.context.binding import Binding
    from catena.context.current import Home, Pin
    from catena.context.var import ContextVar

__all__ = ["TOKEN_MARK", "UNREAD", "UNSET", "Old", "Token", "restore_token"]

T = TypeVar("T")


class _Unset:
    """What a backing variable holds when a mount took its value away."""

    def __repr__(self) -> str:
        return "<unset>"


class _Unread:
    """What a backing variable holds while the value is on its binding's shelf."""

    def __repr__(self) -> str:
        return "<unread>"


UNSET: Any = _Unset()
UNREAD: Any = _Unread()
_new: Any = object.__new__


@final
class Token(Generic[T]):
    """What ``ContextVar.set`` returns; ``ContextVar.reset`` takes it back, once.

    ``var`` is the variable, ``old_value`` the value before the set or ``Token.MISSING``. Tokens are
    equal when their ids are. A token is a context manager that resets when it is left.

    Calling ``Token()`` raises RuntimeError, as in the stdlib.
    """

    MISSING: Any = contextvars.Token.MISSING

    __slots__ = (
        "__weakref__",
        "_before",
        "_home",
        "_id",
        "_native",
        "_old",
        "_pin",
        "_used",
        "_var",
    )

    _var: ContextVar[T]
    _native: contextvars.Token[T] | None
    _used: bool
    _id: bytes | None
    _before: Binding | None
    _home: Home | None
    _pin: Pin | None
    _old: Old | None

    def __new__(cls, *_: object, **__: object) -> Token[T]:
        """Refuse: only ``set`` makes tokens."""
        raise RuntimeError("Tokens can only be created by ContextVars")

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("type 'catena.Token' is not an acceptable base type")

    @staticmethod
    def mint(
        var: ContextVar[Any],
        native: contextvars.Token[Any] | None,
        before: Binding | None,
        home: Home | None,
    ) -> Token[Any]:
        """Make the token of one ``set``; ``before`` is the binding from before it."""
        token: Token[Any] = _new(Token)
        token._var = var
        token._native = native
        token._before = before
        token._home = home
        token._pin = home.pin() if home is not None and home.keeps_pins else None
        token._used = False
        token._id = token._old = None
        return token

    @property
    def var(self) -> ContextVar[T]:
        """The variable that was set."""
        return self._var

    @property
    def id(self) -> bytes:
        """The 16 bytes by which processes know this token, drawn when first asked for."""
        if self._id is None:
            self._id = new_id()
        return self._id

    @property
    def old_value(self) -> Any:
        """The value before the set, or ``Token.MISSING`` when there was none.

        Raises SerializationError when the token came from another process and the value did not,
        or the value did and cannot be read.
        """
        if self._native is None:
            value = self._crossed_value()
            return Token.MISSING if value is UNSET else value
        old = self._native.old_value
        if self._before is not None:
            if old is UNREAD:
                old = self._read(self._before)
            # As ``get`` does it: from now on somebody can change the value in place.
            self._before.expose(self._var, old)
        return Token.MISSING if old is UNSET else old

    @property
    def used(self) -> bool:
        """Whether a reset has spent this token."""
        return self._used

    @property
    def left(self) -> int:
        """The number of its last departure to another process, 0 when there was none."""
        return 0 if self._old is None else self._old.left

    @property
    def before(self) -> Binding | None:
        """The binding before the set, None when the variable had no value."""
        return self._before

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
        if not self._undo(home):
            return False
        self.mark_used()
        if self._old is not None and home is not None and home.ledger is not None:
            home.ledger.spend(self.id)
        return True

    def opens_here(self) -> bool:
        """Say whether it was minted in the current Context itself, not in a copy or the original.

        Nothing tells but its stdlib token, which is used for it and minted anew.
        """
        if self._native is None or self._used:
            return False
        backing = self._var.backing
        value = backing.get()
        try:
            backing.reset(self._native)
        except (ValueError, RuntimeError):
            return False
        self._native = backing.set(value)
        return True

    def _undo(self, home: Home | None) -> bool:
        if self._native is not None:
            try:
                self._var.backing.reset(self._native)
            except ValueError:
                pass
            else:
                return True
        if self._id is None or home is None or home.ledger is None:
            return False
        if self._native is not None and self._home is home:
            # Its stdlib token had the last word, whatever a peer told: it is of a copied Context.
            return False
        if not (home.ledger.holds(self._id) and home.is_here()):
            return False
        self._var.backing.set(self._crossed_value())
        # What is bound now is another object than the one from before the set.
        self._before = None
        return True

    def _crossed_value(self) -> Any:
        """Return the value from before the set as it travelled, a new object each time."""
        old = self._old
        if old is None or old.data is None:
            return UNSET
        if old.flaw:
            raise self._unreadable(old.flaw)
        try:
            return old.loads(old.data)
        except Exception as error:
            raise self._unreadable(reason(error)) from error

    def _read(self, before: Binding) -> Any:
        """Return the value from before the set, which nobody may have read yet."""
        try:
            return before.read_value(self._var)
        except Exception as error:
            raise self._unreadable(reason(error)) from error

    def _unreadable(self, cause: str) -> SerializationError:
        what = f"the old value of a token of {self._var!r}"
        return announced(SerializationError(what=what, cause=cause, doing="read"))

    def __enter__(self) -> Token[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.var.reset(self)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return self.id == other.id if isinstance(other, Token) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        used = " used" if self._used else ""
        return f"<Token{used} var={self.var!r} at {id(self):#x}>"

    def __catena_reduce__(
        self, dumps: Callable[[Any], bytes], loads: Callable[[bytes], Any]
    ) -> tuple[Any, ...]:
        if self._old is None or self._old.held is not None:
            self._old = self._written(dumps, loads)
            tokens[self.id] = self
        self._old = self._old._replace(left=next(departures))
        # A forward-only variable's tokens are orphans wherever they come.
        if self._home is not None and self._var.propagate == "both":
            self._home.book().crosses(self)
            chain = current.get()
            if chain is not None and chain.id and chain.home is not self._home:
                # It may have been minted here all the same, before a task forked in this Context.
                chain.home.book().crosses(self)
        data, flaw = self._old.data, self._old.flaw
        return restore_token, (self.id, self._var, loads, data, flaw, self._used)

    def _written(self, dumps: Callable[[Any], bytes], loads: Callable[[bytes], Any]) -> Old:
        value: Any = UNSET if self._native is None else self._native.old_value
        if self._native is None and self._old is not None:
            value = self._old.held
        if value is UNSET or value is Token.MISSING:
            return Old(loads, None)
        # For a value that holds this very token, which is written without it there.
        self._old = Old(loads, b"", "it is inside of itself")
        before = self._before
        try:
            if value is UNREAD and before is not None:
                unread = before.unread_bytes(self._var)
                if unread is not None:
                    return Old(loads, unread)
                value = before.read_value(self._var)
            data = dumps(value)
        except Exception as error:
            # The token crosses all the same; only a reset there needs the value.
            return Old(loads, b"", reason(error))
        return Old(loads, data, held=value if TOKEN_MARK in data else None)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            "a catena.Token cannot be pickled or copied; it travels in the arguments, results and"
            " exceptions of a dispatched routine, and opens there what it opened here"
        )


class Old(NamedTuple):
    """The value from before a set, as it travels: None when there was none, else as bytes.

    ``flaw`` tells why the bytes are missing. ``held`` is the value itself when it holds tokens: a
    ledger knows a token while its object lives, and whether it is used is written at each crossing.
    ``left`` is the number of the token's last departure, 0 when it never left here.
    """

    loads: Callable[[bytes], Any]
    data: bytes | None
    flaw: str = ""
    held: Any = None
    left: int = 0


def restore_token(
    id: bytes,
    var: ContextVar[Any],
    loads: Callable[[bytes], Any],
    old: bytes | None,
    flaw: str,
    used: bool,  # noqa: FBT001 - a pickle calls this
) -> Token[Any]:
    """Return the token that a pickled reference names: the one that is alive here, or a new one."""
    with lock:
        known = tokens.get(id)
        if known is None:
            known = Token.mint(var, None, None, None)
            known._id, known._old = id, Old(loads, old, flaw)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            tokens[id] = known
    if used:
        known.mark_used()
    # Outside of the lock, which these tokens take in their turn.
    if old and TOKEN_MARK in old and known._old is not None and known._old.held is None:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        known._old = known._old._replace(held=_held(loads, old))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return known


def _held(loads: Callable[[bytes], Any], old: bytes) -> Any:
    try:
        return loads(old)
    except Exception:
        # A reset tells why.
        return None


TOKEN_MARK = restore_token.__name__.encode()
"""In the bytes of whatever holds a token: pickle names the function that makes it again."""
