"""What is said of strange objects: always something, and no code of a metaclass runs."""

from __future__ import annotations

from typing import Any

import pytest

from catena.wording import TEXT_LIMIT, class_name, full_name, reason, text_of


class Naming(type):
    """Answers to no name."""

    def __getattribute__(cls, name: str) -> Any:
        raise SystemExit(name)


def silent() -> Exception:
    """Make an exception of a class that tells neither name nor text, out of pytest's sight."""

    class Silent(Exception, metaclass=Naming):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    return Silent()


class Text(str):
    """A text with a mind of its own."""

    __slots__ = ()

    def __format__(self, spec: str, /) -> str:
        raise SystemExit


class Talkative(Exception):
    """Says a text that is of another class than ``str``."""

    def __str__(self) -> str:
        return Text("some words")


def test_an_exception_is_told_by_class_and_text() -> None:
    """The usual case reads as the last line of a traceback."""
    assert reason(KeyError("key")) == "KeyError: 'key'"
    assert full_name(ValueError()) == "builtins.ValueError"


def test_a_name_is_had_past_the_metaclass() -> None:
    """A class that answers to no name still has one."""
    assert class_name(silent()) == "Silent"
    assert full_name(silent()) == f"{__name__}.silent.<locals>.Silent"


def test_a_text_that_cannot_be_had_names_what_was_raised_instead() -> None:
    """Not even KeyboardInterrupt gets out of a text."""
    assert reason(silent()) == "Silent: <no text: KeyboardInterrupt was raised>"


def test_a_text_is_a_plain_one() -> None:
    """What ``__str__`` returns may be of a class whose formatting raises."""
    assert type(text_of(Talkative())) is str
    assert reason(Talkative()) == "Talkative: some words"


def test_a_long_text_is_cut() -> None:
    """A cause is quoted in an error, so it has a sensible length."""
    assert text_of("x" * (TEXT_LIMIT + 1)) == "x" * TEXT_LIMIT + "…"
    assert text_of("x" * TEXT_LIMIT) == "x" * TEXT_LIMIT


@pytest.mark.parametrize("module", [None, 7])
def test_a_module_that_is_no_text_is_left_open(module: Any) -> None:
    """Somebody may have put anything into ``__module__``."""
    kind = type("Odd", (Exception,), {"__module__": module})
    assert full_name(kind()) == "?.Odd"
