"""Laws of variables and tokens: any program comes to what it comes to with the stdlib's."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.laws.law import Seen, law
from tests.parity.run import OURS, THEIRS, Script, observe

STEP = st.tuples(
    st.sampled_from(["get", "set", "reset", "reset"]),
    st.sampled_from([0, 0, 1]),  # the Context
    st.sampled_from([0, 0, 1]),  # the variable
    st.integers(0, 3),  # the value, or the number of the token
)

BEGIN = """
variables = [cv.ContextVar("x"), cv.ContextVar("y", default="d")]
contexts = [cv.Context(), cv.Context()]
tokens = []

def put(var, value):
    tokens.append(var.set(value))
    return tokens[-1], tokens[-1].old_value

def undo(var, number):
    token = tokens[number] if number < len(tokens) else None
    return var.reset(token), token
"""

CALLS = {"get": "variables[{1}].get", "set": "put, variables[{1}], {2}"}
CALLS["reset"] = "undo, variables[{1}], {2}"


def written(steps: list[tuple[str, int, int, int]]) -> Script:
    """Return steps on two variables in two Contexts as a script, which notes what each came to."""
    lines = [
        f"trying({kind!r}, contexts[{where[0]}].run, {CALLS[kind].format(*where)})"
        for kind, *where in steps
    ]
    return Script("steps", len(lines), "\n".join([BEGIN, *lines]))


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
    script = written(steps)
    theirs = observe(script, THEIRS)
    assert len(theirs) == script.notes
    for (kind, *_), line in zip(steps, theirs, strict=True):
        came = line.removeprefix(kind)
        seen[f"{kind}: {came[2:].partition(':')[0] if came[0] == '!' else 'value'}"] += 1
        seen["of another Context"] += line.endswith("in a different Context")
        seen["of another variable"] += line.endswith("by a different ContextVar")
    assert observe(script, OURS) == theirs
