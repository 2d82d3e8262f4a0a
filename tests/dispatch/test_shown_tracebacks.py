"""What pytest and IPython show of an exception from a worker: the user's frames and the note."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from IPython.core.ultratb import VerboseTB

import catena
from catena.events import Dispatch
from catena.testing.record import recording
from tests.dispatch.ends import connected
from tests.support import run


@catena.routine
async def fail(number: int) -> None:
    """Raise what no builtin raises."""
    raise KeyError(f"number {number}")


@catena.routine(timeout=20)
async def fail_in_time(number: int) -> None:
    """As fail, with a bound."""
    raise KeyError(f"number {number}")


@catena.routine
async def steps() -> AsyncGenerator[int, Any]:
    """Yield once, and raise."""
    yield 1
    raise KeyError("after a step")


async def _second(send: str, *args: Any) -> None:
    stream = steps()
    await anext(stream)
    await getattr(stream, send)(*args)


WAYS: dict[str, Callable[[], Awaitable[None]]] = {
    "call": lambda: fail(4),
    "call in time": lambda: fail_in_time(4),
    "anext": lambda: _second("__anext__"),
    "asend": lambda: _second("asend", 1),
    "athrow": lambda: _second("athrow", KeyError("thrown")),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("heard", [False, True], ids=["silent", "heard"])
def test_only_the_frames_of_the_user_are_shown(way: str, heard: bool) -> None:
    """D5: of the frames between the line that called and where it is raised none is shown."""

    async def main() -> None:
        async with connected():
            with pytest.raises(KeyError) as raised:
                await WAYS[way]()
        shown = {
            "pytest": str(raised.getrepr(style="long")),
            "ipython": VerboseTB("nocolor").text(raised.type, raised.value, raised.tb),
        }
        # IPython shows the innermost frame whatever that wants.
        frames = {name: text.count("catena/dispatch") for name, text in shown.items()}
        assert frames == {"pytest": 0, "ipython": 1}
        for name, text in shown.items():
            assert "Remote traceback (most recent call last):" in text, name
            assert "on worker w1, in routine" in text, name
            assert "test_shown_tracebacks.py" in text, name

    with recording(Dispatch) if heard else contextlib.nullcontext():
        run(main())
