"""Catena's variables and tokens do what the stdlib's do, with the same values, errors and texts."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import pytest

from tests.context.parity import OURS, THEIRS, System, normalise, outcome

Program = Callable[[System], Any]


def reset_twice(system: System) -> None:
    """A used token."""
    var = system.var("x", default=0)
    token = var.set(1)
    var.reset(token)
    var.reset(token)


def reset_other(system: System) -> None:
    """A token of another variable."""
    system.var("x", default=0).reset(system.var("y").set(1))


def reset_elsewhere(system: System) -> None:
    """A token of another Context."""
    var = system.var("x", default=0)
    token = contextvars.copy_context().run(var.set, 1)
    var.reset(token)


def reset_used_of_other(system: System) -> None:
    """A token that is used and another variable's."""
    var, other = system.var("x"), system.var("y")
    token = other.set(1)
    other.reset(token)
    var.reset(token)


def reset_used_elsewhere(system: System) -> None:
    """A token that is used and another Context's."""
    var = system.var("x")
    token = var.set(1)
    var.reset(token)
    contextvars.copy_context().run(var.reset, token)


def reset_other_elsewhere(system: System) -> None:
    """A token that is another variable's and another Context's."""
    var, other = system.var("x"), system.var("y")
    token = other.set(1)
    contextvars.copy_context().run(var.reset, token)


def used_repr(system: System) -> str:
    """A token says that it is used."""
    var = system.var("x")
    token = var.set(1)
    var.reset(token)
    return repr(token)


def refused_then_good(system: System) -> list[Any]:
    """A refused reset leaves the token as it was."""
    var, other = system.var("x", default=0), system.var("y")
    token = var.set(1)
    with pytest.raises(ValueError, match="different ContextVar"):
        other.reset(token)
    seen = [var.get(), repr(token)]
    var.reset(token)
    return [*seen, var.get()]


def out_of_order(system: System) -> list[Any]:
    """Each token restores what was before its own set, in whatever order."""
    var = system.var("x")
    first, second = var.set(1), var.set(2)
    var.reset(first)
    seen = [var.get("none")]
    var.reset(second)
    return [*seen, var.get("none"), first.old_value, second.old_value]


PROGRAMS: dict[str, Program] = {
    "get nothing": lambda s: s.var("x").get(),
    "get the default": lambda s: s.var("x", default=1).get(),
    "get None as the default": lambda s: s.var("x", default=None).get(),
    "get the argument": lambda s: s.var("x").get(2),
    "get the argument before the default": lambda s: s.var("x", default=1).get(2),
    "get None as the argument": lambda s: s.var("x", default=1).get(None),
    "get MISSING as the argument": lambda s: s.var("x").get(s.token.MISSING),
    "get MISSING as the default": lambda s: s.var("x", default=s.token.MISSING).get(),
    "set and get": lambda s: [(v := s.var("x", default=1)).set(3) and v.get(), v.get(4)],
    "set None": lambda s: [(v := s.var("x", default=1)).set(None) and v.get(), v.get(4)],
    "the name": lambda s: s.var("x").name,
    "a name of a subclass of str": lambda s: s.var(type("Name", (str,), {})("x")).name,
    "an empty name": lambda s: s.var(""),
    "an int for a name": lambda s: s.var(1),
    "None for a name": lambda s: s.var(None),
    "bytes for a name": lambda s: s.var(b"x"),
    "old value of a first set": lambda s: s.var("x", default=1).set(2).old_value,
    "old value of a second set": lambda s: [(v := s.var("x")).set(2), v.set(3).old_value],
    "the token's variable": lambda s: [(v := s.var("x")).set(2).var is v],
    "a repr": lambda s: s.var("x"),
    "a repr with quotes": lambda s: s.var("it's"),
    "a repr with both quotes": lambda s: s.var('it\'s "x"'),
    "a repr with a default": lambda s: s.var("x", default="d"),
    "a repr with None as the default": lambda s: s.var("x", default=None),
    "a token's repr": lambda s: s.var("x").set(1),
    "a token's repr with a default": lambda s: s.var("x", default=(1, "a")).set(1),
    "a used token's repr": used_repr,
    "reset None": lambda s: s.var("x").reset(None),
    "reset an int": lambda s: s.var("x").reset(1),
    "reset a str": lambda s: s.var("x").reset("token"),
    "reset the missing mark": lambda s: s.var("x").reset(s.token.MISSING),
    "reset the token class": lambda s: s.var("x").reset(int),
    "make a token": lambda s: s.token(),
    "reset twice": reset_twice,
    "reset another variable's": reset_other,
    "reset another Context's": reset_elsewhere,
    "reset a used one of another variable": reset_used_of_other,
    "reset a used one of another Context": reset_used_elsewhere,
    "reset another variable's of another Context": reset_other_elsewhere,
    "a refused reset": refused_then_good,
    "reset out of order": out_of_order,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_ends_as_in_the_stdlib(name: str) -> None:
    """C1, T2: the same value, or the same error with the same text, as from contextvars."""
    program = PROGRAMS[name]

    assert outcome(program, OURS) == outcome(program, THEIRS)


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        (lambda s: s.var(), "TypeError"),
        (lambda s: s.var("x", 1), "TypeError"),
        (lambda s: s.var(name="x"), "TypeError"),
        (lambda s: s.var("x", nonsense=1), "TypeError"),
        (lambda s: s.var("x").get(default=1), "TypeError"),
        (lambda s: s.var("x").get(1, 2), "TypeError"),
        (lambda s: s.var("x").set(), "TypeError"),
        (lambda s: s.var("x").set(value=1), "TypeError"),
        (lambda s: s.var("x").reset(), "TypeError"),
        (lambda s: setattr(s.var("x"), "name", "y"), "AttributeError"),
        (lambda s: setattr(s.var("x"), "other", "y"), "AttributeError"),
        (lambda s: setattr(s.var("x").set(1), "var", None), "AttributeError"),
        (lambda s: setattr(s.var("x").set(1), "old_value", None), "AttributeError"),
        (lambda s: type("Sub", (type(s.var("x")),), {}), "TypeError"),
        (lambda s: type("Sub", (s.token,), {}), "TypeError"),
        (lambda s: s.var("x") < s.var("y"), "TypeError"),
    ],
)
def test_a_misuse_is_an_error_of_the_stdlibs_type(program: Program, kind: str) -> None:
    """C1: what the stdlib refuses is refused with the same type of error."""
    assert outcome(program, THEIRS)[0] == kind
    assert outcome(program, OURS)[0] == kind


@pytest.mark.parametrize("system", [OURS, THEIRS])
def test_the_argument_of_a_lookup_error_is_the_variable(system: System) -> None:
    """C1: LookupError has the variable as its only argument."""
    var = system.var("x")

    with pytest.raises(LookupError) as caught:
        var.get()

    assert caught.value.args == (var,)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("<ContextVar name='x' namespace='app' at 0x7f3a>", "<ContextVar name='x'>"),
        ("<ContextVar name='x' at 0x7F3A>", "<ContextVar name='x'>"),
        ("<ContextVar name='x' namespace='a' default=1 at 0x1>", "<ContextVar name='x' default=1>"),
        ("""<ContextVar name='x' namespace="it's" at 0x1>""", "<ContextVar name='x'>"),
        (r"""<ContextVar name='x' namespace='a\'b"c' at 0x1>""", "<ContextVar name='x'>"),
        ("<Token used var=<V namespace='a' at 0x1> at 0x2> was", "<Token used var=<V>> was"),
        ("nothing to take away: namespace, 0x1", "nothing to take away: namespace, 0x1"),
    ],
)
def test_normalising_takes_addresses_and_namespaces_away(text: str, normal: str) -> None:
    """T2: texts are compared without namespace and addresses, and with everything else."""
    assert normalise(text) == normal


def test_our_texts_have_something_to_normalise() -> None:
    """T1: our reprs name the namespace and the address, a token's those of its variable."""
    var = OURS.var("x")
    token = contextvars.Context().run(var.set, 1)

    assert f" namespace={var.namespace!r}" in repr(var)
    assert repr(var).endswith(f" at {id(var):#x}>")
    assert repr(token) == f"<Token var={var!r} at {id(token):#x}>"
