"""What the fuzzer begins with: real frames, as real chains of all kinds made them.

Programs dispatch through a caller and the sessions of a worker on one memory link, and every
message is written down. Their pickles are the only ones that are ever opened while a fuzzer runs:
those written down here, those made here to fail, and beginnings of both. Whatever else arrives
where a pickle should be is refused before it is looked at, so no byte that was drawn at random
ever decides what unpickling calls.
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
import functools
import pickle
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest.mock import patch

import catena
from catena.context.registry import find
from catena.dispatch.payloads import Wire
from catena.pickling import pickler
from catena.wire import codec
from tests.dispatch.ends import connected
from tests.support import run

__all__ = [
    "PROGRAMS",
    "STREAMING",
    "UNBOUND",
    "VARIABLES",
    "Absent",
    "Message",
    "Outcome",
    "Thrown",
    "corpus",
    "failing",
    "guarded",
    "harmless",
    "look",
    "outcomes",
    "snapshot",
    "trusted",
]

UNBOUND = "<unbound>"

_declare = functools.partial(catena.ContextVar[Any], namespace="fuzz")
color = _declare("color", default="none")
size = _declare("size")
shape = _declare("shape", default=(1, "one"))
tree = _declare("tree")
thing = _declare("thing")
mark = _declare("mark", default={"by": "default"})
hint = _declare("hint", propagate="forward")
VARIABLES = (color, size, shape, tree, thing, mark, hint)


@dataclass
class Thing:
    """A value of a class of ours."""

    number: int


class Unwritable:
    """A value that cannot be written."""

    def __reduce__(self) -> Any:
        raise TypeError("it stays here")

    def __deepcopy__(self, _: Any) -> Unwritable:
        return self


class Absent(LookupError):
    """What a routine raises."""


def snapshot() -> dict[str, Any]:
    """Return what is bound here, by name; nothing changes it later."""
    return copy.deepcopy({var.name: var.get(UNBOUND) for var in VARIABLES})


class Thrown(Exception):
    """What is thrown into a stream."""


@catena.routine
async def look() -> dict[str, Any]:
    """Return what is bound on the worker."""
    return snapshot()


@catena.routine
async def touch(word: str, *, deep: bool = False) -> str:
    """Set one variable, change another in place and shadow a forward one."""
    color.set(word)
    hint.set("from the worker")
    found = tree.get({})
    if deep and isinstance(found, dict):
        found[word] = [word]
    return word


@catena.routine
async def fail(word: str) -> None:
    """Set a variable and raise."""
    color.set(word)
    raise Absent(word)


@catena.routine
async def count(to: int) -> AsyncGenerator[Any, Any]:
    """Set and reset at each step; yield what was sent or thrown."""
    got: Any = None
    for number in range(to):
        token = mark.set([number])
        size.set(number)
        try:
            got = yield (number, got)
        except Thrown as error:
            got = repr(error)
        if number % 2:
            # Another chain may have taken the stream over.
            with contextlib.suppress(ValueError):
                mark.reset(token)


class Outcome(NamedTuple):
    """One awaited call of a program: what was bound before and after, and how it ended."""

    before: dict[str, Any]
    after: dict[str, Any]
    error: BaseException | None


outcomes: list[Outcome] = []
"""The awaited calls of the program that ran last, in order."""


async def _call(routine: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
    before, error = snapshot(), None
    try:
        return await routine(*args, **kwargs)
    except BaseException as raised:
        error = raised
        raise
    finally:
        outcomes.append(Outcome(before, snapshot(), error))


# ---- programs


async def unarmed() -> None:
    """Nothing is set."""
    await _call(look)
    await _call(touch, "worker")


async def all_kinds() -> None:
    """Values of all kinds, sent whole, named, and as what differs."""
    color.set("red")
    size.set(10**30)
    shape.set((1.5, b"bytes", None, True))
    tree.set({"a": [1, {"b": "deep"}]})
    thing.set(Thing(3))
    hint.set("only there")
    await _call(look)
    await _call(look)
    await _call(look)
    color.set("green")
    await _call(touch, "blue")
    await _call(look)


async def in_place() -> None:
    """Both sides change a value in place."""
    tree.set({"a": [1]})
    await _call(touch, "x", deep=True)
    # An answer that was made wrong may have brought anything, or nothing.
    found = tree.get({})
    if isinstance(found, dict):
        found["more"] = "y" * 100
    await _call(touch, "z", deep=True)
    await _call(look)


async def resets() -> None:
    """What was sent is reset."""
    token, other = mark.set({"a": 1}), size.set(1)
    await _call(look)
    await _call(look)
    await _call(look)
    mark.reset(token)
    await _call(look)
    await _call(look)
    await _call(look)
    size.reset(other)
    await _call(look)
    await _call(look)
    await _call(look)


async def streams() -> None:
    """A stream is driven in all ways."""
    color.set("driven")
    stream = count(6)
    await anext(stream)
    size.set(7)
    await stream.asend("sent")
    await stream.athrow(Thrown("so"))
    async for _ in stream:
        color.set("at each step")


async def left_early() -> None:
    """A stream is closed."""
    shape.set("square")
    stream = count(3)
    await anext(stream)
    await stream.aclose()
    await _call(look)
    await _call(look)
    await _call(look)


async def raising() -> None:
    """A routine raises, twice."""
    tree.set([1, 2])
    for word in ("one", "two"):
        try:
            await _call(fail, word)
        except Absent:
            size.set(2)


def _declare_again(name: str, **options: Any) -> catena.ContextVar[Any]:
    """Declare a variable that an earlier run may have left to the collector."""
    found = find(("fuzz", name))
    return found if found is not None and found.declared else _declare(name, **options)


async def undeclared() -> None:
    """Variables that no worker has declared, with defaults and without."""
    some = [
        _declare_again("nowhere"),
        _declare_again("with default", default=["d"]),
        _declare_again("forward only", propagate="forward"),
    ]
    for one in some:
        one.set({"name": one.name})
    color.set("beside")
    await _call(look)
    await _call(touch, "again")


async def lost() -> None:
    """A value that cannot be written."""
    size.set(Unwritable())
    color.set("kept")
    await _call(look)
    await _call(look)
    await _call(look)
    await _call(touch, "then")


PROGRAMS: tuple[Callable[[], Any], ...] = (
    unarmed,
    all_kinds,
    in_place,
    resets,
    streams,
    left_early,
    raising,
    undeclared,
    lost,
)
STREAMING = (streams, left_early)

# ---- pickles

_known: set[bytes] = set()
_passing: set[bytes] = set()
_loads = pickle.loads


def harmless(data: bytes, *, passing: bool = False) -> bytes:
    """Let a pickle be opened while a fuzzer runs, or ``passing`` in this case; return it."""
    (_passing if passing else _known).add(data)
    return data


def _is_known(data: bytes) -> bool:
    """Say whether it is one, begins one, or has more bytes after the end of one."""
    if data in _known or data in _passing:
        return True
    return any(one.startswith(data) or (one and data.startswith(one)) for one in _known)


def _guarded_loads(data: bytes) -> Any:
    if not _is_known(data):
        raise pickle.UnpicklingError("not one of the fuzzer's pickles")
    return _loads(data)


@contextmanager
def guarded() -> Iterator[None]:
    """Open no other pickles than those that were said to be harmless."""
    corpus()
    try:
        with _reading(_guarded_loads):
            yield
    finally:
        _passing.clear()


def trusted() -> Any:
    """Open what this very process has just written."""
    return _reading(_loads)


@contextmanager
def _reading(loads: Callable[[bytes], Any]) -> Iterator[None]:
    with patch.object(pickler, "loads", loads), patch.object(Wire, "loads", staticmethod(loads)):
        yield


def explode(kind: type[Exception]) -> Any:
    """Raise: what a pickle made to fail calls."""
    raise kind("made to fail")


class _Exploding:
    def __init__(self, kind: type[Exception]) -> None:
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return explode, (self.kind,)


@functools.cache
def failing() -> tuple[bytes, ...]:
    """Return pickles whose loading raises: an error of a kind, a module or a class is missing."""
    kinds = (ValueError, KeyError, TypeError, RecursionError, StopIteration, catena.NoPool)
    raising = [pickle.dumps(_Exploding(kind)) for kind in kinds]
    gone = [b"\x80\x05cno_such_module_here\nThing\n.", b"\x80\x05ctests.laws.fuzz_corpus\nGone\n."]
    return tuple(map(harmless, [*raising, *gone, b"\x80\x05.", b""]))


# ---- what was written down


class Message(NamedTuple):
    """One message of a conversation: which way it went, and its bytes."""

    to_worker: bool
    data: bytes


@functools.cache
def corpus() -> dict[str, tuple[Message, ...]]:
    """Return the conversation of each program."""
    failing()
    return {one.__name__: contextvars.Context().run(_recorded, one) for one in PROGRAMS}


def _recorded(program: Callable[[], Any]) -> tuple[Message, ...]:
    messages: list[Message] = []

    def writing(end: Any, to_worker: bool) -> None:
        write = end.write

        async def written(data: bytes) -> None:
            # Without the time when it left, which is another one in each run.
            messages.append(
                Message(to_worker, codec.encode_message(codec.decode_message(data).frames))
            )
            await write(data)

        end.write = written

    async def main() -> None:
        async with connected() as ends:
            writing(ends.near._transport, True)
            writing(ends.far._transport, False)
            await program()
            kept = tuple(messages)
        messages[:] = kept

    with _reading(lambda data: _loads(harmless(data))), warnings.catch_warnings():
        warnings.simplefilter("ignore", catena.SerializationWarning)
        run(main())
    return tuple(messages)
