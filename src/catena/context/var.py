"""``ContextVar``: the stdlib's context variable, whose value goes along to workers and comes back.

The value lives in a stdlib variable of its own, the backing, so that copies, forks and callbacks
see it exactly where they would see a stdlib variable's. What is added is the index of what is
bound (the chain) and the guard that is asked first.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable
from types import FrameType, GenericAlias
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    NoReturn,
    SupportsIndex,
    TypeVar,
    cast,
    final,
    overload,
)

from catena.context import registry
from catena.context.binding import Binding
from catena.context.chain import HIDDEN, Chain, State
from catena.context.current import current, new_chain
from catena.context.factory import ensure_task_factory
from catena.context.guard import admit
from catena.context.token import UNREAD, UNSET, Token
from catena.errors import ContextVarCollision
from catena.events import TokenReset
from catena.events.bus import announce
from catena.ids import new_id

__all__ = ["MISSING", "ContextVar", "Propagation", "received", "restore"]

T = TypeVar("T")
D = TypeVar("D")
V = TypeVar("V")
A = TypeVar("A")
R = TypeVar("R")
Propagation = Literal["both", "forward"]


class _Missing:
    """What stands for a default that was not given."""

    def __repr__(self) -> str:
        return "<missing>"


MISSING: Any = _Missing()
_NOT_GIVEN: Any = object()
_UNKNOWN = (
    "ContextVar() got an unexpected keyword argument '{}'"
    if sys.version_info >= (3, 13)
    else "'{}' is an invalid keyword argument for ContextVar()"
)


def _taking_one(method: Callable[[V, A], R]) -> Callable[[V, A], R]:
    """Show a method as one of exactly one argument; what else it is given, it refuses itself."""
    return method


@final
class ContextVar(Generic[T]):
    """A context variable whose value travels with the calls made from where it is set.

    ``name`` and ``namespace`` (by default the top-level package of the declaring module) are its
    identity in every process. ``default`` is what ``get`` returns when nothing is set. With
    ``propagate="forward"`` the value goes to workers and never comes back; with ``"both"`` it does.

    Raises TypeError for a name that is not a str, ValueError for an unknown ``propagate``, and
    ContextVarCollision when another live variable has the same key.
    """

    __slots__ = ("__weakref__", "_declared_at", "_default", "_key", "_propagate", "backing")

    _key: registry.Key
    _default: Any
    _propagate: Propagation
    _declared_at: str | None
    backing: contextvars.ContextVar[Any]

    @overload
    def __new__(
        cls, name: str, /, *, namespace: str | None = None, propagate: Propagation = "both"
    ) -> ContextVar[T]: ...
    @overload
    def __new__(
        cls,
        name: str,
        /,
        *,
        default: T,
        namespace: str | None = None,
        propagate: Propagation = "both",
    ) -> ContextVar[T]: ...
    def __new__(  # noqa: D102 - the class's docstring tells
        cls,
        *args: Any,
        namespace: str | None = None,
        default: Any = MISSING,
        propagate: Propagation = "both",
        **unknown: Any,
    ) -> ContextVar[T]:
        name = _checked_name(args, unknown)
        if propagate not in ("both", "forward"):
            raise ValueError(f"propagate must be 'both' or 'forward', not {propagate!r}")
        frame = _caller()
        key = (_namespace(frame) if namespace is None else namespace, name)
        declared_at = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        with registry.lock:
            known = registry.find(key)
            if known is None:
                return cls._make(key, default, propagate, declared_at)
            earlier = known._declare(default, propagate, declared_at)  # noqa: SLF001 - of this class
            if earlier is None:
                return known
            # A traceback keeps its frames, and a prompt keeps the last traceback: were the variable
            # in one of them, deleting its name would not free its key.
            del known
        raise ContextVarCollision(namespace=key[0], name=key[1], declared_at=earlier)

    if not TYPE_CHECKING:
        # In C, so that the caller's frame is the declaring module's, as for the stdlib's class.
        __class_getitem__ = classmethod(GenericAlias)

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("type 'catena.ContextVar' is not an acceptable base type")

    @property
    def name(self) -> str:
        """The name it was declared with."""
        return self._key[1]

    @property
    def namespace(self) -> str:
        """The namespace that keeps equal names of different packages apart."""
        return self._key[0]

    @property
    def key(self) -> registry.Key:
        """``(namespace, name)``, its identity in every process."""
        return self._key

    @property
    def declared(self) -> bool:
        """Whether code of this process declared it; else it is a stub for what arrived."""
        return self._declared_at is not None

    @property
    def propagate(self) -> Propagation:
        """Whether values come back from workers ("both") or only go there ("forward")."""
        return self._propagate

    @property
    def default(self) -> Any:
        """The default it was declared with, or ``<missing>``."""
        return self._default

    @overload
    def get(self, /) -> T: ...
    @overload
    def get(self, default: T, /) -> T: ...
    @overload
    def get(self, default: D, /) -> T | D: ...
    def get(self, default: Any = MISSING, /, *rest: object) -> Any:
        """Return the value: the one set here, else ``default``, else the declared default.

        Raises LookupError, whose argument is the variable, when there is none of the three, and
        ChainContention when another thread or task runs the chain.
        """
        if rest:
            raise TypeError(f"get expected at most 1 argument, got {1 + len(rest)}")
        chain = current.get()
        value = self.backing.get()
        if chain is not None:
            state = admit(chain, reading=True).state
            if state.has_unexposed:
                value = self._exposed(state, value)
        if value is not UNSET:
            return value
        if default is not MISSING:
            return default
        if self._default is not MISSING:
            return self._default
        raise LookupError(self)

    @_taking_one
    def set(self, value: T = _NOT_GIVEN, /, *rest: object) -> Token[T]:
        """Set the value in the current context and return the token that undoes it.

        The first set arms the context: it mints the chain that later dispatches take along.
        Raises ChainContention when another thread or task runs the chain.
        """
        if rest or value is _NOT_GIVEN:
            raise _not_one("set", value, rest)
        chain = current.get()
        chain = new_chain(new_id()) if chain is None else admit(chain)
        ensure_task_factory(chain.task)
        current.set(chain.bind(self, Binding()))
        # To bind has made the state anew.
        return Token.mint(self, self.backing.set(value), chain.state.get(self), chain.home)

    @_taking_one
    def reset(self, token: Token[T] = _NOT_GIVEN, /, *rest: object) -> None:
        """Restore the value from before the ``set`` that returned the token.

        Raises, with the stdlib's texts, TypeError for anything but a token, RuntimeError for a used
        one, ValueError for one of another variable or another Context; ChainContention first of
        all. A refused reset changes nothing.
        """
        if rest or token is _NOT_GIVEN:
            raise _not_one("reset", token, rest)
        chain = current.get()
        if chain is not None:
            chain = admit(chain)
        given = cast("object", token)
        if not isinstance(given, Token):
            raise TypeError(f"expected an instance of Token, got {given!r}")
        outcome = self._reset(chain, token)
        if TokenReset.listeners:
            announce(TokenReset(self._key, token.id, outcome))
        match outcome:
            case "used":
                raise RuntimeError(f"{token!r} has already been used once")
            case "foreign":
                raise ValueError(f"{token!r} was created by a different ContextVar")
            case "orphan":
                raise ValueError(f"{token!r} was created in a different Context")
            case _:
                return

    def _reset(self, chain: Chain | None, token: Token[T]) -> str:
        if token.used:
            return "used"
        if token.var is not self:
            return "foreign"
        if not token.spend(chain and chain.home):
            return "orphan"
        if chain is not None:
            unbound = self.backing.get() is UNSET
            current.set(
                chain.unbind(self) if unbound else chain.bind(self, token.before or Binding())
            )
        return "ok"

    def _exposed(self, state: State, value: Any) -> Any:
        """Return a value that a mount may have brought, decoded if it is the first to ask for it.

        One that cannot be decoded is left out, as at a mount.
        """
        if state is HIDDEN:
            return UNSET
        binding = state.binding_of(self)
        if binding is None:
            return UNSET if value is UNREAD else value
        if value is UNREAD:
            if binding.lazy is None:
                return UNSET
            try:
                value = binding.lazy.read_value(self)
            except Exception as error:
                binding.lazy.report(self._key, error)
                return UNSET
        binding.expose(self, value)
        return value

    def suppose(self, default: Any) -> None:
        """Take a default that came over the wire, unless a declaration or an earlier one counts."""
        if self._declared_at is None and self._default is MISSING:
            self._default = default

    def _declare(self, default: Any, propagate: Propagation, declared_at: str) -> str | None:
        """Make a stub the declared variable; return where it was declared if it is one already."""
        if self._declared_at is not None:
            return self._declared_at
        self._declared_at = declared_at
        self._propagate = propagate
        if default is not MISSING:
            self._default = default
        return None

    @classmethod
    def _make(
        cls, key: registry.Key, default: Any, propagate: Propagation, declared_at: str | None
    ) -> ContextVar[T]:
        var = object.__new__(cls)
        var._key = key
        var._default = default
        var._propagate = propagate
        var._declared_at = declared_at
        var.backing = contextvars.ContextVar(f"catena:{key[0]}:{key[1]}", default=UNSET)
        registry.variables[key] = var
        return var

    def __repr__(self) -> str:
        default = "" if self._default is MISSING else f" default={self._default!r}"
        namespace = f" namespace={self.namespace!r}"
        return f"<ContextVar name={self.name!r}{namespace}{default} at {id(self):#x}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            "a catena.ContextVar cannot be pickled or copied; it travels in the arguments,"
            " results and closures of a dispatched routine, and arrives as the variable of its key"
        )

    def __catena_reduce__(self, dumps: Callable[[Any], bytes], loads: Any) -> tuple[Any, ...]:
        facts = (*self._key, self._propagate)
        if self._default is MISSING:
            return restore, facts
        try:
            return restore, (*facts, loads, dumps(self._default))
        except Exception:
            # A default that stays behind serves nobody there, but need not keep the variable here.
            return restore, facts


def received(key: registry.Key, default: Any, propagate: Propagation) -> ContextVar[Any]:
    """Return the variable of a key that came over the wire; a stub when nobody declared it yet."""
    with registry.lock:
        known = registry.find(key)
        if known is None:
            return ContextVar[Any]._make(key, default, propagate, None)  # pyright: ignore[reportPrivateUsage]
        known.suppose(default)
        return known


def restore(
    namespace: str,
    name: str,
    propagate: Propagation,
    loads: Callable[[bytes], Any] | None = None,
    default: bytes = b"",
) -> ContextVar[Any]:
    """Return the registered variable that a pickled reference names."""
    known = registry.find((namespace, name))
    if known is not None and known.default is not MISSING:
        return known
    return received((namespace, name), loads(default) if loads else MISSING, propagate)


def _caller() -> FrameType:
    """Return the frame that declares a variable: the caller of the caller."""
    getframe: Callable[[int], FrameType] = getattr(sys, "_getframe")  # noqa: B009
    return getframe(2)


def _checked_name(args: tuple[Any, ...], unknown: dict[str, Any]) -> str:
    """Return the name that a declaration gives; raise as the stdlib does for a wrong one."""
    match args:
        case ():
            raise TypeError("ContextVar() takes exactly 1 positional argument (0 given)")
        case (_, _, *_):
            raise TypeError(f"ContextVar() takes at most 1 positional argument ({len(args)} given)")
        case _:
            pass
    for keyword in unknown:
        raise TypeError(_UNKNOWN.format(keyword))
    (name,) = args
    if not isinstance(name, str):
        raise TypeError("context variable name must be a str")
    return name


def _not_one(method: str, first: object, rest: tuple[object, ...]) -> TypeError:
    """Return what the stdlib raises for any number of arguments but one."""
    given = 0 if first is _NOT_GIVEN else 1 + len(rest)
    return TypeError(f"ContextVar.{method}() takes exactly one argument ({given} given)")


def _namespace(frame: FrameType) -> str:
    names = frame.f_globals
    module: str = names.get("__name__", "__main__")
    if module == "__mp_main__":
        module = "__main__"
    if module == "__main__" and (spec := names.get("__spec__")) is not None:
        module = spec.name
    return module.partition(".")[0]
