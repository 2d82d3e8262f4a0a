"""Laws of variables and tokens: any program comes to what it comes to with the stdlib's."""

from __future__ import annotations

import contextvars
from typing import Any

from hypothesis import strategies as st

from tests.context.parity import OURS, THEIRS, System, normalise
from tests.laws.law import Seen, law

STEP = st.tuples(
    st.sampled_from(["get", "set", "reset", "reset"]),
    st.sampled_from([0, 0, 1]),  # the Context
    st.sampled_from([0, 0, 1]),  # the variable
    st.integers(0, 3),  # the value, or the number of the token
)


def interpret(steps: list[tuple[str, int, int, int]], system: System) -> list[tuple[str, str]]:
    """Run steps on two variables in two Contexts; return what each step came to."""
    variables = [system.var("x"), system.var("y", default="d")]
    contexts = [contextvars.Context(), contextvars.Context()]
    tokens: list[Any] = []

    def take(kind: str, place: int, which: int, number: int) -> tuple[str, str]:
        var = variables[which]
        try:
            match kind:
                case "get":
                    value = contexts[place].run(var.get)
                case "set":
                    tokens.append(contexts[place].run(var.set, number))
                    value = (tokens[-1], tokens[-1].old_value)
                case _:
                    token = tokens[number] if number < len(tokens) else None
                    value = (contexts[place].run(var.reset, token), token)
        except (LookupError, ValueError, RuntimeError, TypeError) as error:
            return type(error).__name__, normalise(str(error))
        return "value", normalise(repr(value))

    return [take(*step) for step in steps]


@law(
    st.lists(STEP, max_size=25),
    examples=300,
    floors={
        "get: value": 60,
        "get: LookupError": 60,
        "set: value": 100,
        "reset: value": 10,
        "reset: TypeError": 100,
        "reset: ValueError": 20,
        "reset: RuntimeError": 2,
        "of another Context": 4,
        "of another variable": 10,
    },
)
def test_a_random_program_goes_as_in_the_stdlib(
    seen: Seen, steps: list[tuple[str, int, int, int]]
) -> None:
    """C1, T2: gets, sets and resets in two Contexts come to the same, step by step."""
    theirs = interpret(steps, THEIRS)
    for (kind, *_), (came, text) in zip(steps, theirs, strict=True):
        seen[f"{kind}: {came}"] += 1
        seen["of another Context"] += text.endswith("in a different Context")
        seen["of another variable"] += text.endswith("by a different ContextVar")
    assert interpret(steps, OURS) == theirs
