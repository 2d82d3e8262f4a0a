"""The token: what ``set`` returns and ``reset`` takes back, once.

It wraps the stdlib token of the variable's backing, which proves the Context it was minted in.
"""

from __future__ import annotations

import contextvars
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, SupportsIndex, TypeVar, final

from catena.ids import new_id

if TYPE_CHECKING:
    from catena.context.chain import Binding
    from catena.context.current import Pin
    from catena.context.var import ContextVar

__all__ = ["UNSET", "Token"]

T = TypeVar("T")


class _Unset:
    """What a backing variable holds when a mount took its value away."""

    def __repr__(self) -> str:
        return "<unset>"


UNSET: Any = _Unset()
_new: Any = object.__new__


@final
class Token(Generic[T]):
    """What ``ContextVar.set`` returns; ``ContextVar.reset`` takes it back, once.

    ``var`` is the variable, ``old_value`` the value before the set or ``Token.MISSING``. Tokens are
    equal when their ids are. A token is a context manager that resets when it is left.

    Calling ``Token()`` raises RuntimeError, as in the stdlib.
    """

    MISSING: Any = contextvars.Token.MISSING

    __slots__ = ("__weakref__", "_before", "_id", "_native", "_pin", "_used", "_var")

    _var: ContextVar[T]
    _native: contextvars.Token[T]
    _used: bool
    _id: bytes | None
    _before: Binding | None
    _pin: Pin | None

    def __new__(cls, *_: object, **__: object) -> Token[T]:
        """Refuse: only ``set`` makes tokens."""
        raise RuntimeError("Tokens can only be created by ContextVars")

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("type 'catena.Token' is not an acceptable base type")

    @staticmethod
    def mint(
        var: ContextVar[Any],
        native: contextvars.Token[Any],
        before: Binding | None,
        pin: Pin | None,
    ) -> Token[Any]:
        """Make the token of one ``set``; ``before`` is the binding from before it."""
        token: Token[Any] = _new(Token)
        token._var = var
        token._native = native
        token._before = before
        token._pin = pin
        token._used = False
        token._id = None
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
        """The value before the set, or ``Token.MISSING`` when there was none."""
        old = self._native.old_value
        if self._before is not None:
            # As ``get`` does it: from now on somebody can change the value in place.
            self._before.hand_out(old)
        return Token.MISSING if old is UNSET else old

    @property
    def used(self) -> bool:
        """Whether a reset has spent this token."""
        return self._used

    @property
    def before(self) -> Binding | None:
        """The binding before the set, None when the variable had no value."""
        return self._before

    def spend(self) -> bool:
        """Undo the set in the backing variable; False when another Context minted the token."""
        try:
            self._var.backing.reset(self._native)
        except ValueError:
            return False
        self._used = True
        self._pin = None
        return True

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

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            "a catena.Token cannot be pickled or copied: it opens only the Context that minted it;"
            " tokens are to travel through the dispatch of a routine alone"
        )
