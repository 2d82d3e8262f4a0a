"""Routines for processes of any release: Catena's names in here are in 0.1.0, unless asked for.

The folder of this module is on the path of callers and workers alike.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import time
from typing import Any

import catena
from catena.context.options import options

color = catena.ContextVar("color", namespace="skew", default="none")
basket = catena.ContextVar("basket", namespace="skew", default=None)
tenant = catena.ContextVar("tenant", namespace="skew", default="none", propagate="forward")
request = contextvars.ContextVar("request", default="none")
answer = contextvars.ContextVar("answer", default="none")
if hasattr(catena, "carry"):
    catena.carry(request)
    catena.carry(answer, propagate="both")

notes: list[str] = []
"""What has happened to routines of this process that nobody waits for any more."""


class Refused(LookupError):
    """An exception of the application."""


@catena.routine
async def who() -> tuple[str, str]:
    """Return the worker's version and its process."""
    return catena.__version__, str(os.getpid())


@catena.routine
async def echo(*values: Any) -> Any:
    """Return the arguments."""
    return values


@catena.routine
async def call_it(function: Any, *values: Any) -> Any:
    """Return what a function returns that came by value."""
    return function(*values)


@catena.routine
async def paint(value: str) -> str:
    """Return the color that came, set another one and add it to the basket."""
    before = color.get()
    color.set(value)
    if basket.get() is not None:
        basket.get().append(value)
    return before


@catena.routine
async def look() -> tuple[str, str]:
    """Return the color and the tenant, and set another tenant."""
    found = color.get(), tenant.get()
    tenant.set("of the worker")
    return found


@catena.routine
async def unset() -> str:
    """Set the color, and take that back."""
    token = color.set("for a moment")
    color.reset(token)
    return color.get()


@catena.routine
async def spend(token: Any) -> str:
    """Reset a token of the caller."""
    color.reset(token)
    return color.get()


@catena.routine
async def mint(value: str) -> Any:
    """Set the color, and return the token."""
    return color.set(value)


@catena.routine
async def late(value: str | None) -> str:
    """Return what a variable is that is declared here and now, and set it to a value."""
    var = catena.ContextVar("late", namespace="skew.late", default="none")
    before = var.get()
    if value is not None:
        var.set(value)
    return before


@catena.routine
async def read(variable: Any) -> tuple[bool, Any]:
    """Say whether a variable that came is the one that is known here, and return its value."""
    return variable is color or variable is request, variable.get()


@catena.routine
async def count(to: int) -> Any:
    """Yield numbers and the color, take what is sent and note how it ends."""
    try:
        for number in range(to):
            try:
                sent = yield number, color.get()
            except Refused as error:
                sent = f"caught {error}"
            if sent is not None:
                color.set(sent)
    finally:
        notes.append("closed")


@catena.routine
async def fail(*, group: bool = False) -> None:
    """Raise an exception with a cause and a note, or a group."""
    if group:
        raise ExceptionGroup("two", [ValueError(1), Refused("here", 2)])
    error = Refused("here", 7)
    error.code = 4711
    error.add_note("a note")
    raise error from ValueError("its cause")


@catena.routine
async def fail_with(module: str, name: str, facts: dict[str, Any]) -> None:
    """Raise an error of Catena's, if this release has it."""
    raise getattr(__import__(module, fromlist=["*"]), name)(**facts)


@catena.routine
async def unsendable() -> Any:
    """Return what cannot be pickled."""
    return (one for one in ())


@catena.routine
async def sleep(seconds: float, *, then: str = "") -> str:
    """Sleep; note a cancellation and set the color when it comes."""
    notes.append("sleeps")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError as error:
        notes.append(f"cancelled {error.args}")
        if then:
            color.set(then)
        raise
    return "slept"


@catena.routine
async def block(seconds: float) -> None:
    """Block the worker's event loop."""
    time.sleep(seconds)  # noqa: ASYNC251 - that is what it is for


@catena.routine
async def time_left() -> tuple[float | None, float | None]:
    """Return how many seconds are left, and how long the hand-over of a call may take."""
    here = options.get()
    if here is None:
        return None, None
    left = None if here.deadline is None else here.deadline - time.monotonic()
    return left, here.dispatch_timeout


@catena.routine
async def kill_time() -> float | None:
    """Return how many seconds after its time this worker is killed."""
    return getattr(options.get(), "kill_after", None)


@catena.routine
async def requests() -> tuple[str, str]:
    """Return the carried variables, and bind one of them anew."""
    found = request.get(), answer.get()
    answer.set("of the worker")
    return found


@catena.routine
async def through(name: str, *args: Any, **kwargs: Any) -> Any:
    """Call another routine, and return what it returns."""
    return await globals()[name](*args, **kwargs)


@catena.routine
async def call_routine(routine: Any, *args: Any) -> Any:
    """Call a routine that came."""
    return await routine(*args)


@catena.routine
async def chain_of_processes() -> tuple[int, int]:
    """Return this process, and the one that a call from here reaches."""
    _, inner = await who()
    return os.getpid(), int(inner)


@catena.routine
async def through_stream(name: str, *args: Any) -> Any:
    """Iterate another stream, and pass on what it yields and what is sent."""
    inner = globals()[name](*args)
    try:
        item = await anext(inner, None)
        while item is not None:
            try:
                sent = yield item
            except Refused as error:
                item = await inner.athrow(error)
            else:
                item = await inner.asend(sent) if sent is not None else await anext(inner, None)
    finally:
        await inner.aclose()


@catena.routine
async def take_notes() -> list[str]:
    """Return what was noted, and forget it."""
    found, notes[:] = list(notes), []
    return found


@catena.routine
async def take_records() -> tuple[list[str], list[Any]]:
    """Return the events and the spans that were recorded here, and forget them."""
    import skew_process

    gc.collect()
    await asyncio.sleep(0.01)
    return skew_process.take_events(), skew_process.take_spans()


if hasattr(catena, "PlainRoutine"):

    @catena.routine
    def plain(value: int) -> int:
        """Return more, on a thread."""
        return value + 1


# ---- of the load of a fleet


def _note_run(ticket: str) -> None:
    """Note that a call has begun, in the file that is the witness of how often each one did."""
    fd = os.open(os.environ["SKEW_RAN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{ticket}\n".encode())
    os.close(fd)


@catena.routine
async def visit(ticket: str, depth: int, value: str) -> tuple[list[str], str]:
    """Return the versions of the workers of a call and of those within it, and the color."""
    _note_run(f"{ticket}/{depth}")
    before = color.get()
    await asyncio.sleep(0.002)
    inner: list[str] = []
    if depth:
        inner, seen = await visit(ticket, depth - 1, f"{value}+")
        before = before if seen == before else f"{before} and {seen}"
    color.set(value)
    return [catena.__version__, *inner], before


@catena.routine
async def visit_stream(ticket: str, to: int) -> Any:
    """Yield the version, a number and the color."""
    _note_run(ticket)
    for number in range(to):
        await asyncio.sleep(0.002)
        yield catena.__version__, number, color.get()


@catena.routine
async def visit_token(ticket: str, token: Any) -> tuple[str, str, Any]:
    """Reset a token, set the color and return the version, the color before and a token."""
    _note_run(ticket)
    color.reset(token)
    before = color.get()
    return catena.__version__, before, color.set("of the worker")


@catena.routine
async def visit_failing(ticket: str) -> None:
    """Raise an exception that says which version raised it."""
    _note_run(ticket)
    raise Refused(catena.__version__)


@catena.routine
async def visit_slowly(ticket: str) -> str:
    """Sleep; what ends that sets the color to this version."""
    _note_run(ticket)
    try:
        await asyncio.sleep(9)
    finally:
        color.set(catena.__version__)
    return "slept"
