"""Describing objects that are not Catena's, for texts of errors: nothing here ever raises.

A class is named without asking its metaclass. When a text cannot be had because that raises, the
name of the exception stands in its place.
"""

from __future__ import annotations

from typing import Any

TEXT_LIMIT = 4096
"""The most characters of a text that is quoted in an error of ours."""

# Past every metaclass: these read what the class was made with.
_name: Any = type.__dict__["__name__"].__get__
_qualname: Any = type.__dict__["__qualname__"].__get__
_module: Any = type.__dict__["__module__"].__get__


def class_name(thing: object) -> str:
    """Return the name of an object's class."""
    return str.__str__(_name(type(thing)))


def full_name(thing: object) -> str:
    """Return the module and the qualified name of an object's class."""
    kind = type(thing)
    try:
        module = str.__str__(_module(kind))
    except (AttributeError, TypeError):
        # Somebody has put something else there.
        module = "?"
    return f"{module}.{str.__str__(_qualname(kind))}"


def text_of(thing: object) -> str:
    """Return ``str(thing)``, cut where it is too long to quote, or why there is none."""
    try:
        text = str.__str__(str(thing))
    except BaseException as raised:
        # SystemExit as well: it is not meant for us.
        return f"<no text: {class_name(raised)} was raised>"
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}…"


def reason(error: BaseException) -> str:
    """Return an exception as the cause that an error of ours gives: its class and its text."""
    return f"{class_name(error)}: {text_of(error)}"
