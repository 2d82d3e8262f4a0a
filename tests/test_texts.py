"""What ``normalise`` takes away, and that it takes nothing else."""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.parity.run import OURS, THEIRS, System
from tests.texts import normalise

_numbers = itertools.count(1)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("<ContextVar name='x' namespace='app' at 0x7f3a>", "<ContextVar name='x'>"),
        ("<ContextVar name='x' at 0x7F3A>", "<ContextVar name='x'>"),
        ("<ContextVar name='x' namespace='a' default=1 at 0x1>", "<ContextVar name='x' default=1>"),
        ("""<ContextVar name='x' namespace="it's" at 0x1>""", "<ContextVar name='x'>"),
        (r"""<ContextVar name='x' namespace='a\'b"c' at 0x1>""", "<ContextVar name='x'>"),
        (r"""<ContextVar name='x' namespace='a\\' at 0x1>""", "<ContextVar name='x'>"),
        ("<Token used var=<V namespace='a' at 0x1> at 0x2> was", "<Token used var=<V>> was"),
        ("<V namespace='' at 0x1> and <V namespace='b' at 0x2>", "<V> and <V>"),
    ],
)
def test_addresses_and_namespaces_are_taken_away(text: str, normal: str) -> None:
    """T2: wherever in the text they are, and as often."""
    assert normalise(text) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing to take away: namespace, 0x1",
        "<Token used var=<ContextVar name='x' default=1>> has already been used once",
        "<ContextVar name='namespace'>",
        "<ContextVar name='x' namespace=a>",
        "<ContextVar name='x'namespace='a'>",
        "<ContextVar name='x' namespace='open>",
        "at 0x12 it began",
        "<Token var=<V> used at 0xg>",
        "it failed at 0x12, there",
        "<Token used var=<V>> was  created\tin\na different Context",
    ],
)
def test_nothing_else_is_taken_away(text: str) -> None:
    """T2: names, defaults, the word used, blanks and whatever only looks alike stay."""
    assert normalise(text) == text


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("default", [(), (0,), ("at 0x1",), ("it's namespace",)])
@pytest.mark.parametrize("name", ["x", "namespace", "it's", 'a "b" at', "\\"])
def test_reprs_of_both_come_to_the_same(name: str, default: tuple[Any, ...], used: bool) -> None:
    """T1, T2: ours is the stdlib's, of variable and token, with any name and default."""

    def texts(system: System, **options: str) -> list[str]:
        declared = dict(zip(("default",), default, strict=False))
        var = system.cv.ContextVar(name, **declared, **options)
        token = var.set(1)
        if used:
            var.reset(token)
        return [repr(var), repr(token)]

    def in_a_context(call: Callable[..., list[str]], *args: Any, **options: str) -> list[str]:
        return contextvars.Context().run(call, *args, **options)

    theirs = in_a_context(texts, THEIRS)
    ours = in_a_context(texts, OURS, namespace=f"tests{next(_numbers)}")

    assert ours != theirs
    assert list(map(normalise, ours)) == list(map(normalise, theirs))
