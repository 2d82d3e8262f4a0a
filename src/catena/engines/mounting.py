"""Context for a task of another engine: captured where it is submitted, mounted where it runs.

Its one rule: everything goes one way. A task gets the submitter's values, on a chain of its own,
and the submitter's trace; what it sets ends with it. It runs in a copy of the Context that its
engine runs it in, so what the engine keeps there stays in reach. No engine is imported here.
"""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Literal, cast

from catena.dispatch.answers import mount_frame
from catena.dispatch.payloads import pickle_payload, unpickle_payload, values_for
from catena.errors import SerializationError
from catena.events import ChainForked, EngineTask, Submission, announced
from catena.events.bus import announce, poll
from catena.events.carrier import relayed
from catena.ids import new_id
from catena.transfer.capture import capture_fork
from catena.transfer.manifest import NO_CHAIN, ChainManifest
from catena.transfer.mount import leave_chain, unmount
from catena.wire.manifests import decode_manifest, encode_manifest
from catena.wording import reason

Kind = Literal["plain", "coroutine", "generator", "stream"]
"""What calling a function gives: its result, an awaitable, a generator or an async generator."""

_POLL_PAUSE = 1.0
"""Seconds between two looks for an SDK, in processes where no pool looks."""


class _Polling:
    """When to look next whether somebody wants to observe."""

    due = 0.0


def find_kind(function: Any) -> Kind:
    """Return the kind of a function. Raises TypeError for what cannot be called."""
    if not callable(function):
        raise TypeError(f"with_context takes a function, not {type(function).__name__}")
    called = function
    if not (inspect.isroutine(function) or isinstance(function, partial | type)):
        called = type(function).__call__
    if inspect.iscoroutinefunction(called):
        return "coroutine"
    if inspect.isasyncgenfunction(called):
        return "stream"
    return "generator" if inspect.isgeneratorfunction(called) else "plain"


def name_function(function: Any) -> str:
    """Return the full name by which a function is known in errors and events."""
    while isinstance(function, partial):
        function = cast("partial[Any]", function).func
    named: Any = function if hasattr(function, "__qualname__") else cast("Any", type(function))
    module = getattr(named, "__module__", None)
    return f"{module}.{named.__qualname__}" if module else str(named.__qualname__)


def capture_context(function: str, *, strict: bool) -> bytes:
    """Return what surrounds the running code, for tasks of a function: one manifest, encoded.

    A value that cannot be pickled is left out with a SerializationWarning. Raises
    ChainSerializationError for it when ``strict``, and when the chain exceeds a limit, and
    ChainContention when somebody else runs the chain.
    """
    _poll_seldom()
    manifest, carrier = capture_fork(values_for(strict=strict)), relayed.get()
    if Submission.observers:
        submission = Submission(function, manifest.chain_id)
        submission.carrier = carrier
        with submission:
            pass
        carrier = submission.carrier
    try:
        return encode_manifest(manifest.carrying(carrier) if carrier else manifest)
    except (TypeError, ValueError) as error:
        # What an observer left there is no text.
        what = f"the context of a task of {function}"
        raise announced(SerializationError(what=what, cause=reason(error))) from error


class HeldFunction:
    """A function as the bytes that Catena's pickling makes of it, variables that it uses included.

    They are made once, and opened in the other process by the first call, in the context of that.
    """

    __slots__ = ("_function", "_payload", "name")

    def __init__(self, name: str, payload: bytes = b"", function: Any = None) -> None:
        self.name = name
        self._payload = payload
        self._function = function

    def pickle(self) -> bytes:
        """Return the function as bytes. Raises SerializationError that names it."""
        if not self._payload:
            self._payload = pickle_payload(self._function, f"function {self.name}", "")
        return self._payload

    def open(self) -> Callable[..., Any]:
        """Return the function. Raises SerializationError that names it."""
        if self._function is None:
            self._function = unpickle_payload(self._payload, f"function {self.name}", "")
        return self._function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.open()(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return HeldFunction, (self.name, self.pickle())


class TaskScope:
    """The Context that one task runs in, from the mount of what it came with to the unmount.

    Used in a ``with`` statement, in the thread and the asyncio task that run it. Entering raises
    ProtocolError for bytes that are no manifest, and as ``mount`` does.
    """

    def __init__(self, function: str, captured: bytes, *, strict: bool) -> None:
        self.context = contextvars.copy_context()
        self._function = function
        self._captured = captured
        self._strict = strict
        self._observed: EngineTask | None = None

    def __enter__(self) -> contextvars.Context:
        self.context.run(self._mount)
        return self.context

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.context.run(self._unmount, error)

    def _mount(self) -> None:
        _poll_seldom()
        manifest = _fork_manifest(decode_manifest(self._captured) if self._captured else NO_CHAIN)
        if EngineTask.observers:
            self._observed = EngineTask(self._function, manifest.chain_id, manifest.carrier)
            self._observed.begin()
        try:
            leave_chain()
            mount_frame(manifest, values_for(strict=self._strict), None, to_worker=True)
        except BaseException as error:
            self._end_observed(error)
            raise
        relayed.set(manifest.carrier or None)
        if manifest.chain_id and ChainForked.listeners:
            announce(ChainForked(manifest.chain_id, manifest.parent_id))

    def _unmount(self, error: BaseException | None) -> None:
        unmount()
        self._end_observed(error)

    def _end_observed(self, error: BaseException | None) -> None:
        if self._observed is not None:
            self._observed.end(error)


def _fork_manifest(manifest: ChainManifest) -> ChainManifest:
    """Return the manifest of a chain of its own that continues the manifest's, if it has one."""
    if not manifest.chain_id:
        return manifest
    return manifest._replace(chain_id=new_id(), parent_id=manifest.chain_id)


def run_plain(
    scope: TaskScope, function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]
) -> Any:
    """Call a function as a task; return its result."""
    with scope as context:
        return context.run(function, *args, **kwargs)


async def run_coroutine(
    scope: TaskScope,
    function: Callable[..., Coroutine[Any, Any, Any]],
    args: Any,
    kwargs: Mapping[str, Any],
) -> Any:
    """Await a coroutine function as a task; return its result."""
    with scope as context:
        awaited = context.run(function, *args, **kwargs)
        return await _Driven(context, context.run(awaited.__await__))


def run_generator(
    scope: TaskScope,
    function: Callable[..., Generator[Any, Any, Any]],
    args: Any,
    kwargs: Mapping[str, Any],
) -> Generator[Any, Any, Any]:
    """Run a generator function as a task, each step in its Context."""
    with scope as context:
        return (yield from _drive_steps(context, context.run(function, *args, **kwargs)))


async def run_stream(
    scope: TaskScope,
    function: Callable[..., AsyncGenerator[Any, Any]],
    args: Any,
    kwargs: Mapping[str, Any],
) -> AsyncGenerator[Any, None]:
    """Run an async generator function as a task, each step in its Context."""
    with scope as context:
        stream = context.run(function, *args, **kwargs)
        try:
            async for value in _DrivenStream(context, stream):
                yield value
        finally:
            closing: Any = stream.aclose()
            await _Driven(context, closing.__await__())


class _Driven:
    """What awaits something whose steps run in a Context."""

    __slots__ = ("_context", "_steps")

    def __init__(self, context: contextvars.Context, steps: Generator[Any, Any, Any]) -> None:
        self._context = context
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, Any]:
        return _drive_steps(self._context, self._steps)


class _DrivenStream:
    """An async generator whose steps run in a Context."""

    __slots__ = ("_context", "_stream")

    def __init__(self, context: contextvars.Context, stream: AsyncGenerator[Any, Any]) -> None:
        self._context = context
        self._stream = stream

    def __aiter__(self) -> _DrivenStream:
        return self

    def __anext__(self) -> _Driven:
        step: Any = self._stream.__anext__()
        return _Driven(self._context, step.__await__())


def _drive_steps(
    context: contextvars.Context, steps: Generator[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    """Run each step of a generator, or of what is awaited, in a Context; return its result.

    Between two steps nothing of that Context is current, so whoever waits runs in its own.
    """
    step: Any = partial(next, steps)
    while True:
        try:
            value = context.run(step)
        except StopIteration as end:
            return end.value
        try:
            sent = yield value
        except GeneratorExit:
            context.run(steps.close)
            raise
        except BaseException as error:
            step = partial(steps.throw, error)
        else:
            step = partial(steps.send, sent)


def _poll_seldom() -> None:
    """Have telemetry look whether there is an SDK, at most once a second."""
    now = monotonic()
    if now >= _Polling.due:
        _Polling.due = now + _POLL_PAUSE
        poll()
