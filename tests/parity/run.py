"""The same script against ``contextvars`` and ``asyncio``, and against Catena.

A script is a text. It is executed twice, each time in a fresh loop and an empty Context, and only
what the names ``cv`` and ``aio`` stand for is another module. What it notes is all that counts.
"""

from __future__ import annotations

import ast
import asyncio
import contextvars
import inspect
import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, SimpleNamespace
from typing import Any, NamedTuple

import catena
from tests.support import LOOPS, new_loop, run
from tests.texts import normalise

__all__ = ["OURS", "THEIRS", "Notes", "Script", "System", "loops", "observe", "script"]

NO_LOOP = "no loop"

_modules = itertools.count(1)


class System(NamedTuple):
    """One of the two: its context variables, and its asyncio."""

    cv: Any
    aio: Any


THEIRS = System(contextvars, asyncio)
OURS = System(
    SimpleNamespace(
        **{
            **vars(contextvars),
            "ContextVar": catena.ContextVar,
            "Token": catena.Token,
        }
    ),
    SimpleNamespace(**{**vars(asyncio), "to_thread": catena.to_thread}),
)


class Script(NamedTuple):
    """A program as text: its title begins with its clause, ``notes`` is how many notes it makes."""

    title: str
    notes: int
    text: str

    def code(self) -> CodeType:
        """Return the compiled text, in which ``await`` may stand at the top."""
        return compile(self.text, self.title, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    def awaits(self) -> bool:
        """Say whether the script runs in a loop, which it does when it awaits."""
        return bool(self.code().co_flags & inspect.CO_COROUTINE)


def script(title: str, notes: int, text: str) -> Script:
    """Return a script whose text is indented as the source around it is."""
    return Script(title, notes, textwrap.dedent(text).strip("\n") + "\n")


def loops(one: Script) -> tuple[str, ...]:
    """Return what a script is run on: both loops, or none if it does not care."""
    if not (one.awaits() or "new_loop" in one.text):
        return (NO_LOOP,)
    # uvloop hands over eager_start on 3.13, which eager_task_factory takes from 3.13.3 on.
    lacking = (3, 13) <= sys.version_info < (3, 13, 3) and "eager_task_factory" in one.text
    return LOOPS[:1] if lacking else LOOPS


def said(error: BaseException) -> str:
    """Return what an error says; of a contention its kind, for the rest of it is ids and tasks."""
    if isinstance(error, catena.ChainContention):
        return f"{error.kind} of another"
    return normalise(str(error))


class Notes:
    """What a script observed, one line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, label: str, value: Any = None) -> None:
        """Write down what a value looks like."""
        self.lines.append(f"{label}: {normalise(repr(value))}")

    @contextmanager
    def noting(self, label: str, *, text: bool = True) -> Iterator[None]:
        """Write down the error that ends the block: its type, and its text where that counts."""
        try:
            yield
        except (Exception, asyncio.CancelledError, GeneratorExit) as error:
            self.lines.append(f"{label}! {type(error).__name__}" + f": {said(error)}" * text)
        else:
            self.lines.append(f"{label}: no error")

    def trying(self, label: str, call: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Write down what a call returns, or the error that it raises."""
        try:
            value = call(*args, **options)
        except Exception as error:
            self.lines.append(f"{label}! {type(error).__name__}: {said(error)}")
        else:
            self.note(label, value)

    def of_the_loop(self, loop: Any, facts: dict[str, Any]) -> None:
        """Write down what a loop's exception handler is told; nothing a callback raises is lost."""
        error = facts.get("exception") or RuntimeError(facts["message"])
        self.lines.append(f"loop! {type(error).__name__}: {said(error)}")


def observe(one: Script, system: System, loop: str = NO_LOOP) -> list[str]:
    """Execute a script in an empty Context, on a fresh loop if it awaits; return what it noted."""
    notes = Notes()
    names: dict[str, Any] = {
        # Catena's variables are named after the module that declares them: a new one each time.
        "__name__": f"parity{next(_modules)}",
        **system._asdict(),
        "note": notes.note,
        "noting": notes.noting,
        "trying": notes.trying,
        "new_loop": lambda: new_loop(loop),
    }
    code = one.code()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(notes.of_the_loop)
        await eval(code, names)

    def execute() -> None:
        if one.awaits():
            run(main(), 10, loop=loop)
        else:
            exec(code, names)

    contextvars.Context().run(execute)
    return notes.lines


def compare(one: Script, loop: str = NO_LOOP) -> None:
    """Assert that a script notes the same with either system, and as much as it says."""
    theirs, ours = observe(one, THEIRS, loop), observe(one, OURS, loop)

    assert ours == theirs, f"{one.title}: with Catena {ours}, with the stdlib {theirs}"
    looked(one, theirs)


def looked(one: Script, lines: list[str]) -> None:
    """Assert that a script made the notes that it says it makes."""
    assert len(lines) == one.notes, f"{one.title}: {len(lines)} of {one.notes} notes: {lines}"
