"""Routines that meet hostile objects, and a caller that makes one call after a plan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple, NoReturn

import catena
from tests.laws.endings_hostile import Spec, made
from tests.laws.law import Random

__all__ = [
    "BREAKS",
    "HEAVY",
    "PLACES",
    "Plan",
    "drawn",
    "echo",
    "is_heavy",
    "outcome_of",
    "was_cancelled",
]

FAILING = ("raised", "in args", "attribute", "note", "cause", "context", "member", "in a handler")
"""Places in an exception, and around it, that ends the routine."""

PLACES_OF_CALLS = (
    *("argument", "keyword", "result", "variable here", "variable there", "default", "closure"),
    *FAILING,
)
PLACES = (*PLACES_OF_CALLS, "yielded", "sent", "thrown")
BREAKS = ("cancelled", "timed out", "closed", "abandoned")
"""Ways in which a call can end before it has ended by itself."""

HEAVY = ("a gigabyte of arguments", "a gigabyte of a result", "a gigabyte raised")
"""Places of a gigabyte, which none of the random calls has."""

GIGABYTE = 1 << 30

TIMEOUT = 0.05
"""Seconds of a call whose time is to be up."""

hostile_here: catena.ContextVar[Any] = catena.ContextVar("here", namespace="tests.endings")
hostile_there: catena.ContextVar[Any] = catena.ContextVar("there", namespace="tests.endings")


class Plan(NamedTuple):
    """One call: what goes where, how many routines deep, and how it ends."""

    stream: bool
    depth: int
    place: str
    spec: Spec
    ending: str


class Failure(Exception):
    """What a routine raises that holds something hostile."""


def drawn(random: Random, kinds: Any) -> Plan:
    """Draw a plan; ``kinds`` are pairs of a kind of object and its hooks, and what they raise."""
    hooks, raised = kinds
    stream = random.random() < 0.5
    place = random.choice(PLACES if stream else PLACES_OF_CALLS)
    # What is raised has to be an exception; anything can be anywhere else.
    needs = place in ("raised", "cause", "context", "member", "in a handler", "thrown")
    kind = random.choice([one for one in hooks if one != "value" or not needs])
    spec = Spec(kind, random.choice(hooks[kind]), random.choice(raised), random.random() < 0.5)
    ending = "ended"
    if random.random() < 0.4:
        ending = random.choice(BREAKS if stream else BREAKS[:2])
    return Plan(stream, random.choice((0, 0, 1, 2)), place, spec, ending)


@catena.routine
async def echo(value: int) -> int:
    """Return what comes."""
    return value


@catena.routine
async def call(plan: Plan, given: Any = None, *, named: Any = None) -> Any:
    """End as the plan says, here or one call further down."""
    if plan.depth:
        return await call(plan._replace(depth=plan.depth - 1), given, named=named)
    try:
        if plan.ending != "ended":
            await asyncio.sleep(60)
    finally:
        if plan.ending != "ended":
            _end(plan)
    return _end(plan)


@catena.routine
async def stream(plan: Plan, given: Any = None, *, named: Any = None) -> AsyncGenerator[Any, Any]:
    """Yield once, and end as the plan says, here or one call further down."""
    if plan.depth:
        async for value in stream(plan._replace(depth=plan.depth - 1), given, named=named):
            yield value
        return
    yield made(plan.spec) if plan.place == "yielded" else "began"
    try:
        if plan.ending in ("cancelled", "timed out"):
            await asyncio.sleep(60)
        yield "on"
    finally:
        result = _end(plan)
    yield result


def outcome_of(plan: Plan) -> Any:
    """Return the coroutine that makes the call of a plan, and returns what came of it."""
    return _streamed(plan) if plan.stream else _called(plan)


def is_heavy(plan: Plan) -> bool:
    """Say whether a gigabyte is to travel."""
    return plan.place in HEAVY


def was_cancelled(plan: Plan) -> bool:
    """Say whether a cancellation is what the caller asked for."""
    return plan.ending == "cancelled"


def _end(plan: Plan) -> Any:
    """Set, return or raise what the plan says; nothing here keeps it."""
    match plan.place:
        case "variable there":
            hostile_there.set(made(plan.spec))
        case "result":
            return made(plan.spec)
        case "a gigabyte of a result":
            return bytes(GIGABYTE)
        case place if place in (*FAILING, "a gigabyte raised"):
            _fail(plan)
        case _:
            pass
    return "ended"


def _fail(plan: Plan) -> NoReturn:
    match plan.place:
        case "raised":
            raise made(plan.spec)
        case "in a handler":
            try:
                _fail(plan._replace(place="raised"))
            except Exception:
                raise Failure("after it") from None
        case "cause":
            raise Failure("of a hostile cause") from made(plan.spec)
        case "member":
            raise ExceptionGroup("with a hostile member", [ValueError("plain"), made(plan.spec)])
        case "a gigabyte raised":
            raise Failure(bytes(GIGABYTE))
        case _:
            raise _holding(plan)


def _holding(plan: Plan) -> Failure:
    error = Failure("holds", made(plan.spec)) if plan.place == "in args" else Failure("holds")
    match plan.place:
        case "attribute":
            error.held = made(plan.spec)  # type: ignore[attr-defined]
        case "note":
            error.__notes__ = ["a note", made(plan.spec)]
        case "context":
            error.__context__ = made(plan.spec)
        case _:
            pass
    return error


def _arguments(plan: Plan) -> tuple[tuple[Any, ...], dict[str, Any]]:
    match plan.place:
        case "argument":
            return (plan, made(plan.spec)), {}
        case "keyword":
            return (plan,), {"named": made(plan.spec)}
        case "closure":
            held = made(plan.spec)
            return (plan, lambda: held), {}
        case "default":
            default = made(plan.spec)
            variable = catena.ContextVar("fallback", namespace="tests.endings", default=default)
            return (plan, variable), {}
        case "a gigabyte of arguments":
            return (plan, bytes(GIGABYTE)), {}
        case "variable here":
            hostile_here.set(made(plan.spec))
        case _:
            pass
    return (plan,), {}


def _bounds(plan: Plan) -> catena.RuntimeContext:
    return catena.RuntimeContext(timeout=TIMEOUT if plan.ending == "timed out" else None)


async def _called(plan: Plan) -> Any:
    args, named = _arguments(plan)
    with _bounds(plan):
        return await call(*args, **named)


async def _streamed(plan: Plan) -> Any:
    args, named = _arguments(plan)
    with _bounds(plan):
        steps = stream(*args, **named)
        last = await anext(steps)
        match plan.ending:
            case "closed":
                await steps.aclose()
                return last
            case "abandoned":
                return last
            case _:
                pass
        match plan.place:
            case "sent":
                last = await steps.asend(made(plan.spec))
            case "thrown":
                last = await steps.athrow(made(plan.spec))
            case _:
                pass
        async for step in steps:
            last = step
        return last
