"""The runner looks: what it is shown differently it finds, and it counts what was noted."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from tests.parity.run import (
    NO_LOOP,
    OURS,
    THEIRS,
    Script,
    System,
    compare,
    loops,
    observe,
    script,
)
from tests.support import LOOPS


@pytest.mark.parametrize("many", [0, 1, 3])
def test_a_script_that_notes_too_little_fails(many: int) -> None:
    """What a script says of itself is counted, so that none passes without having looked."""
    compare(Script("two", 2, "note('one')\n" * 2))

    with pytest.raises(AssertionError, match=f"two: {many} of 2 notes"):
        compare(Script("two", 2, "note('one')\n" * many))


@pytest.mark.parametrize(
    "differing",
    [
        'note("module", cv.ContextVar.__module__)',
        'with noting("error"):\n    cv.ContextVar.get(1)',
        'trying("error", cv.ContextVar.get, 1)',
        'note("one more") if aio.to_thread is aio_to_thread else None',
        'if cv.Token.__module__ != "_contextvars":\n    with noting("error"): 1 / 0',
    ],
)
def test_what_differs_is_found(differing: str) -> None:
    """A value, a type, a text, a note too many and one too few: each is a failure."""
    text = f"from asyncio import to_thread as aio_to_thread\n{differing}\n"

    with pytest.raises(AssertionError, match="differs: with Catena"):
        compare(Script("differs", 1, text))


def test_a_script_that_fails_fails() -> None:
    """An error that no note expects is not taken for an observation."""
    with pytest.raises(ZeroDivisionError):
        compare(Script("fails", 0, "1 / 0"))


@pytest.mark.parametrize("system", [THEIRS, OURS])
def test_a_script_runs_on_the_loop_it_is_told(system: System) -> None:
    """Both loops are really used, and a script that awaits nothing has none."""
    awaiting = script(
        "a", 1, 'note("kind", type(aio.get_running_loop()).__module__)\nawait aio.sleep(0)'
    )
    making = script("b", 1, 'loop = new_loop()\nnote("kind", type(loop).__module__)\nloop.close()')
    plain = script("c", 1, 'trying("loop", aio.get_running_loop)')

    for one in (awaiting, making):
        assert loops(one) == LOOPS
        kinds = [observe(one, system, loop)[0] for loop in loops(one)]
        assert kinds == ["kind: 'asyncio.unix_events'", "kind: 'uvloop'"]
    assert loops(plain) == (NO_LOOP,)
    assert observe(plain, system) == ["loop! RuntimeError: no running event loop"]


def test_a_script_begins_in_an_empty_context() -> None:
    """What was set before, and what another run set, is not seen."""
    variable = contextvars.ContextVar("variable", default="unset")

    def outside() -> None:
        variable.set("set")
        one = Script("empty", 1, 'v = cv.ContextVar("v", default=0)\nnote("v", v.get())\nv.set(1)')
        assert observe(one, OURS) == observe(one, OURS) == ["v: 0"]
        length = Script("length", 1, 'note("length", len(cv.copy_context()))')
        assert observe(length, OURS) == ["length: 0"]

    contextvars.Context().run(outside)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_callback_raises_is_noted(loop: str) -> None:
    """An error that only the loop's handler sees is an observation too."""
    one = script("callback", 1, "aio.get_running_loop().call_soon(int, 'x')\nawait aio.sleep(0.01)")

    (line,) = observe(one, OURS, loop)
    assert line.startswith("loop! ValueError: invalid literal")


def test_only_the_names_differ() -> None:
    """Catena stands in for the classes of variables and for to_thread, for nothing else."""
    for theirs, ours, others in (
        (contextvars, OURS.cv, ["ContextVar", "Token"]),
        (asyncio, OURS.aio, ["to_thread"]),
    ):
        known = vars(theirs)
        assert [name for name in known if getattr(ours, name) is not known[name]] == others


def test_our_texts_have_something_to_normalise() -> None:
    """T1: our reprs name the namespace and the address, a token's those of its variable."""
    var = OURS.cv.ContextVar("x", namespace="parity")
    token = contextvars.Context().run(var.set, 1)

    assert repr(var) == f"<ContextVar name='x' namespace='parity' at {id(var):#x}>"
    assert repr(token) == f"<Token var={var!r} at {id(token):#x}>"
