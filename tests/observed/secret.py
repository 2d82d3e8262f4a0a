"""A program full of secrets: in everything that a routine is given, holds, returns or raises."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import warnings
from collections.abc import AsyncGenerator, Callable
from typing import Any

from opentelemetry import trace

import catena
from tests.observed.clash import touched_by_a_thread
from tests.observed.runs import MESSAGES

__all__ = ["IN_MESSAGES", "PLACES", "main", "secret"]

PLACES = (
    *("variable", "token", "changed", "mutable", "worker", "argument", "keyword", "item", "result"),
    *("message", "cause", "unwritable", "entry", "unreadable", "thrown", "credential", "forward"),
    *("environment", "default", "baggage"),
)
IN_MESSAGES = ("message", "unwritable", "entry", "unreadable", "thrown")
"""Those that errors quote, which are told when messages are recorded."""


def secret(place: str) -> str:
    """Return the secret of a place; no two are alike, and none is in a source file as it is."""
    return f"{place}-{'/'.join(str(ord(one) * 7919) for one in place)}-secret"


kept: catena.ContextVar[Any] = catena.ContextVar("kept", namespace="tests.secret")
mutable: catena.ContextVar[Any] = catena.ContextVar("mutable", namespace="tests.secret")
plain: catena.ContextVar[Any] = catena.ContextVar(
    "plain", namespace="tests.secret", default=secret("default")
)
ahead: catena.ContextVar[Any] = catena.ContextVar(
    "ahead", namespace="tests.secret", propagate="forward"
)


class Unwritable:
    """Refuses to be written, and says a secret."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        raise TypeError(f"cannot write {secret(self.place)}")


class Unreadable:
    """Refuses to be read, and says a secret."""

    def __reduce__(self) -> Any:
        return _unread, (secret("unreadable"),)


def _unread(what: str) -> None:
    raise ValueError(f"cannot read {what}")


def _show(*values: object) -> None:
    """Put values into the current span, where the control asks for it."""
    if MESSAGES in os.environ:
        span = trace.get_current_span()
        span.set_attribute(f"shown.{len(str(values))}.{id(values)}", [str(one) for one in values])


@catena.routine
async def work(argument: str, *, password: str) -> dict[str, str]:
    """Hold and return secrets, and reset a variable to one."""
    token = kept.set(secret("changed"))
    _show(argument, password, kept.get(), mutable.get(), ahead.get(), plain.get())
    kept.reset(token)
    mutable.get().append(secret("worker"))
    kept.set({"inner": secret("worker")})
    _show(kept.get())
    return {"result": secret("result")}


@catena.routine
async def undo(token: catena.Token[Any]) -> None:
    """Reset with a token that came, whose old value is a secret."""
    kept.reset(token)
    _show(kept.get())


@catena.routine
async def stream(to: int) -> AsyncGenerator[str, str]:
    """Yield secrets, and take them."""
    for _ in range(to):
        _show((yield secret("item")))


@catena.routine
async def fail(how: str) -> object:
    """Raise an error with a secret in its text and one in its cause, or return what cannot be."""
    if how == "unwritable":
        return Unwritable("unwritable")
    try:
        raise LookupError(secret("cause"))
    except LookupError as cause:
        _show(cause)
        raise PermissionError(f"{secret('message')} is wrong") from cause


async def _calls() -> None:
    kept.set(secret("token"))
    token = kept.set(secret("variable"))
    mutable.set([secret("mutable")])
    ahead.set(secret("forward"))
    _show(kept.get())
    said = await work(secret("argument"), password=secret("keyword"))
    _show(said)
    await undo(token)
    items = stream(3)
    _show(await anext(items))
    await items.asend(secret("argument"))
    with contextlib.suppress(RuntimeError):
        await items.athrow(RuntimeError(secret("thrown")))


async def _failures() -> None:
    wrong: tuple[Callable[[], Any], ...] = (
        lambda: fail("raise"),
        lambda: fail("unwritable"),
        lambda: work(Unwritable("unwritable"), password=secret("keyword")),  # type: ignore[arg-type]
        lambda: work(Unreadable(), password=secret("keyword")),  # type: ignore[arg-type]
    )
    for call in wrong:
        with contextlib.suppress(PermissionError, catena.SerializationError):
            await call()
            raise AssertionError("it went well")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", catena.SerializationWarning)
        kept.set(Unwritable("entry"))
        await fail_quietly()


@catena.routine
async def fail_quietly() -> None:
    """Have a chain contended whose variables are secrets."""
    plain.set(secret("worker"))
    await touched_by_a_thread()


async def main() -> None:
    """Let every secret go its way, in a span of the application."""
    async with catena.WorkerPool(spawn=2) as pool:
        with trace.get_tracer("app").start_as_current_span("app"):
            _show(os.environ.get("TESTS_SECRET"), os.environ.get("OTEL_EXPORTER_OTLP_HEADERS"))
            from opentelemetry import baggage
            from opentelemetry.context import attach

            attach(baggage.set_baggage("user", secret("baggage")))
            _show(baggage.get_all())
            await asyncio.create_task(_calls())
            await asyncio.create_task(_failures())
        workers = len(pool.pids)
    logging.getLogger("app").warning("all was done")
    print(json.dumps({"workers": workers}), flush=True)
