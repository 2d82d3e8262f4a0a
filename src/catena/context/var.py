"""``ContextVar``: the stdlib's context variable, whose value goes along to workers and comes back.

The value lives in a stdlib variable of its own, the backing, so that copies, forks and callbacks
see it exactly where they would see a stdlib variable's. ``ContextVar`` adds to it the record of
bound variables (the chain) and the guard, which is asked first.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from types import GenericAlias
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    NoReturn,
    SupportsIndex,
    TypeVar,
    cast,
    final,
    overload,
)

from catena.context import declaring, registry
from catena.context.binding import Binding
from catena.context.chain import EMPTY, HIDDEN, Chain, State, current
from catena.context.declaring import NOT_GIVEN
from catena.context.guard import admit
from catena.context.ledger import tokens
from catena.context.ownership import place_chain, running_task
from catena.context.tasks.displacement import ensure_task_factory
from catena.context.token import TOKEN_MARK, BaseToken, OldValue
from catena.context.variable import MISSING, UNREAD, UNSET, Propagation
from catena.errors import ContextVarCollision
from catena.events import TokenReset
from catena.events.bus import announce
from catena.ids import Key, new_id

T = TypeVar("T")
D = TypeVar("D")
V = TypeVar("V")
A = TypeVar("A")
R = TypeVar("R")


def _with_one_argument(method: Callable[[V, A], R]) -> Callable[[V, A], R]:
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

    _key: Key
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
    def __new__(  # noqa: D102 - the class has the docstring
        cls,
        *args: Any,
        namespace: str | None = None,
        default: Any = MISSING,
        propagate: Propagation = "both",
        **unknown: Any,
    ) -> ContextVar[T]:
        # The stdlib's class takes the same name or says, in its own words, what is wrong with it.
        name = contextvars.ContextVar[Any](*args, **unknown).name
        if propagate not in ("both", "forward"):
            raise ValueError(f"propagate must be 'both' or 'forward', not {propagate!r}")
        frame = declaring.find_declaring_frame()
        key = (declaring.namespace_of(frame) if namespace is None else namespace, name)
        declared_at = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        with registry.lock:
            var = _find(key) or cls._register_stub(key, propagate)
            earlier = var._declared_at  # noqa: SLF001
            if earlier is None:
                var._declared_at, var._propagate = declared_at, propagate  # noqa: SLF001
                if default is not MISSING:
                    var._default = default  # noqa: SLF001
                return var
            # A traceback keeps its frames, and a prompt keeps the last traceback: were the variable
            # in one of them, deleting its name would not free its key.
            del var
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
    def key(self) -> Key:
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
        """Return the value that was set, else ``default``, else the declared default.

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
                value = self._expose_value(state, value)
        if value is not UNSET:
            return value
        if default is not MISSING:
            return default
        if self._default is not MISSING:
            return self._default
        raise LookupError(self)

    @_with_one_argument
    def set(self, value: T = NOT_GIVEN, /, *rest: object) -> Token[T]:
        """Set the value in the current context and return the token that undoes it.

        The first set in a context makes the chain that later calls take along. Raises
        ChainContention when another thread or task runs the chain.
        """
        if rest or value is NOT_GIVEN:
            raise declaring.not_one_argument("set", value, rest)
        chain = current.get()
        chain = place_chain(new_id(), b"", EMPTY, running_task()) if chain is None else admit(chain)
        ensure_task_factory(chain.task)
        current.set(chain.bind(self, Binding()))
        # To bind has made the state anew.
        before, home = chain.state.get(self), chain.home
        return Token.mint(self, self.backing.set(value), before, home)  # pyright: ignore[reportUnknownVariableType]

    @_with_one_argument
    def reset(self, token: Token[T] = NOT_GIVEN, /, *rest: object) -> None:
        """Restore the value from before the ``set`` that returned the token.

        Raises, with the stdlib's texts, TypeError for anything but a token, RuntimeError for a used
        token, ValueError for a token of another variable or another Context. Before all of these,
        it raises ChainContention when another thread or task runs the chain. A refused reset
        changes nothing.
        """
        if rest or token is NOT_GIVEN:
            raise declaring.not_one_argument("reset", token, rest)
        chain = current.get()
        if chain is not None:
            chain = admit(chain)
        given = cast("object", token)
        if not isinstance(given, Token):
            raise TypeError(f"expected an instance of Token, got {given!r}")
        outcome = self._undo_set(chain, token)
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

    def _undo_set(self, chain: Chain | None, token: Token[T]) -> str:
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

    def _expose_value(self, state: State, value: Any) -> Any:
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

    def assume_default(self, default: Any) -> None:
        """Take a default that came over the wire, unless a declaration or an earlier one counts."""
        if self._declared_at is None and self._default is MISSING:
            self._default = default

    @classmethod
    def _register_stub(cls, key: Key, propagate: Propagation) -> ContextVar[T]:
        """Make the variable of a key, which nobody has declared yet."""
        var = object.__new__(cls)
        var._key = key
        var._default = MISSING
        var._propagate = propagate
        var._declared_at = None
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


@final
class Token(BaseToken, Generic[T]):
    """The object that ``ContextVar.set`` returns; ``ContextVar.reset`` accepts it once.

    ``var`` is the variable, ``old_value`` the value before the set or ``Token.MISSING``. Tokens are
    equal when their ids are. A token is a context manager that resets when it is left.

    Calling ``Token()`` raises RuntimeError, as in the stdlib.
    """

    __slots__ = ()

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("type 'catena.Token' is not an acceptable base type")

    @property
    def var(self) -> ContextVar[T]:
        """The variable that was set."""
        return cast("ContextVar[T]", self.variable)

    def __enter__(self) -> Token[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.var.reset(self)

    def __catena_reduce__(
        self, dumps: Callable[[Any], bytes], loads: Callable[[bytes], Any]
    ) -> tuple[Any, ...]:
        old = self.note_departure(dumps, loads)
        return restore_token, (self.id, self.variable, loads, old.data, old.flaw, self.used)


def restore_token(
    id: bytes,
    var: ContextVar[Any],
    loads: Callable[[bytes], Any],
    old: bytes | None,
    flaw: str,
    used: bool,  # noqa: FBT001 - a pickle calls this
) -> Token[Any]:
    """Return the token that a pickled reference names: the one that is alive here, or a new one."""
    with registry.lock:
        known = cast("Token[Any] | None", tokens.get(id))
        if known is None:
            known = Token[Any].mint(var, id=id, old=OldValue(loads, old, flaw))
            tokens[id] = known
    # Outside of the lock, which the tokens inside of the old value take in their turn.
    if old and TOKEN_MARK in old:
        known.hold_inner_tokens(loads, old)
    if used:
        known.mark_used()
    return known


def _find(key: Key) -> ContextVar[Any] | None:
    # Nothing else is ever registered; the registry only stands below this class.
    return cast("ContextVar[Any] | None", registry.find(key))


def receive_variable(key: Key, default: Any, propagate: Propagation) -> ContextVar[Any]:
    """Return the variable of a key that came over the wire; a stub when nobody declared it yet."""
    with registry.lock:
        known = _find(key) or ContextVar[Any]._register_stub(key, propagate)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        known.assume_default(default)
        return known


def restore(
    namespace: str,
    name: str,
    propagate: Propagation,
    loads: Callable[[bytes], Any] | None = None,
    default: bytes = b"",
) -> ContextVar[Any]:
    """Return the registered variable that a pickled reference names."""
    known = _find((namespace, name))
    if known is not None and known.default is not MISSING:
        return known
    return receive_variable((namespace, name), loads(default) if loads else MISSING, propagate)
