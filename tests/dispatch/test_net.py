"""The nets under a call: what is raised where nobody reckoned with it ends that call alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from catena.dispatch.worker import (
    run_coroutine as running,
    run_generator as stepper,
    session,
)
from catena.dispatch.worker.session import Session
from catena.dispatch.worker.sessions import Sessions
from catena.errors import RemoteError, SerializationError, SerializationWarning
from tests.dispatch.ends import connected
from tests.support import run, variable

EXITS = [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit]

color = variable("color")


class Leaving:
    """Raises when it is written, or when it is opened."""

    def __init__(self, kind: type[BaseException], *, opening: bool = False) -> None:
        self.kind, self.opening = kind, opening

    def __reduce__(self) -> tuple[Any, ...]:
        if self.opening:
            return leave, (self.kind,)
        raise self.kind("from an object")


def leave(kind: type[BaseException]) -> None:
    """Raise it."""
    raise kind("from an object")


@catena.routine
async def echo(value: Any) -> Any:
    """Return what comes."""
    return value


@catena.routine
async def fail() -> None:
    """Raise."""
    raise ValueError("its own")


@catena.routine
async def give(kind: type[BaseException], opening: bool) -> Any:
    """Return what cannot be written, or not be opened."""
    return Leaving(kind, opening=opening)


@catena.routine
async def paint(kind: type[BaseException]) -> str:
    """Bind what cannot be written."""
    color.set(Leaving(kind))
    return "done"


@catena.routine
async def count(limit: int = 2) -> AsyncGenerator[Any, Any]:
    """Yield, and raise in the end."""
    for number in range(limit):
        yield number
    raise ValueError("its own")


def raising(*_: object, **__: object) -> None:
    """Raise what nobody may swallow, and everybody must survive."""
    raise SystemExit("from within")


def failing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no exception be written but those of ours."""
    dump = running.pickle_exception

    def resists(error: BaseException, **names: str) -> bytes:
        return dump(error, **names) if isinstance(error, RemoteError) else raising()  # type: ignore[return-value]

    for module in (running, session):
        monkeypatch.setattr(module, "pickle_exception", resists)


async def stands() -> None:
    """Assert that a plain call is served."""
    assert await echo(7) == 7


def test_an_exception_that_cannot_be_told_of_leaves_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D5: whatever telling of an end raises, a last frame has the class, the text and the cause."""
    failing_to_tell(monkeypatch)

    async def main() -> None:
        async with connected():
            with pytest.raises(RemoteError, match="ValueError: its own") as caught:
                await fail()
            assert caught.value.type_name == "builtins.ValueError"
            assert "writing it down raised SystemExit: from within" in caught.value.step
            await stands()

    run(main())


def test_a_step_that_cannot_be_told_of_leaves_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """D2, D5: the same holds for streams."""
    failing_to_tell(monkeypatch)

    async def main() -> None:
        async with connected():
            steps = count(1)
            assert await anext(steps) == 0
            with pytest.raises(RemoteError, match="ValueError: its own"):
                await anext(steps)
            with pytest.raises(StopAsyncIteration):
                await anext(steps)
            await stands()

    run(main())


@pytest.mark.parametrize("kind", EXITS)
@pytest.mark.parametrize("opening", [False, True])
def test_what_an_object_raises_ends_its_call_as_an_error(
    kind: type[BaseException],
    opening: bool,
) -> None:
    """D5: SystemExit and its like reach no event loop, from a result, an argument, a sent value."""

    async def main() -> None:
        async with connected():
            text = f"{kind.__name__}: from an object"
            with pytest.raises(SerializationError, match=text) as caught:
                await give(kind, opening)
            assert caught.value.what == "the result"
            assert caught.value.doing == ("read" if opening else "sent")
            with pytest.raises(SerializationError, match=text) as caught:
                await echo(Leaving(kind, opening=opening))
            assert caught.value.what == ("the arguments" if opening else "argument 'value'")
            steps = count()
            await anext(steps)
            with pytest.raises(SerializationError, match=text) as caught:
                await steps.asend(Leaving(kind, opening=opening))
            assert caught.value.what == "the sent value"
            await steps.aclose()
            await stands()

    run(main())


@pytest.mark.parametrize("kind", EXITS)
def test_what_a_value_of_a_variable_raises_costs_that_variable(kind: type[BaseException]) -> None:
    """M2: in both directions the entry is lost, with a warning, and the call goes on."""

    async def main() -> None:
        async with connected():
            with pytest.warns(SerializationWarning, match=f"sent: PicklingError: {kind.__name__}"):
                assert await paint(kind) == "done"
            color.set(Leaving(kind))
            with pytest.warns(SerializationWarning, match=f"sent: PicklingError: {kind.__name__}"):
                await stands()

    run(main())


def test_a_class_that_will_not_be_hashed_costs_its_variable() -> None:
    """M2: not even the question whether a value can change may end a call."""

    class Meta(type):
        def __hash__(cls) -> int:
            raise SystemExit("from a class")

    class Value(metaclass=Meta):
        pass

    async def main() -> None:
        async with connected():
            color.set(Value())
            with pytest.warns(SerializationWarning, match="could not be"):
                await stands()

    run(main())


@pytest.mark.parametrize("place", ["a call", "a stream"])
def test_what_is_raised_outside_of_the_routine_ends_the_call(
    place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """D5: the outer net answers, says so in the log, and the worker goes on."""

    async def main() -> None:
        async with connected() as ends:
            color.set("red")
            with monkeypatch.context() as planted:
                planted.setattr(running if place == "a call" else stepper, "unmount", raising)
                with pytest.raises(RemoteError, match="SystemExit: from within"):
                    # What is bound there has to be told, so the long way is taken.
                    await (paint(ValueError) if place == "a call" else anext(count(0)))
            await stands()
            assert ends.sessions.open_calls == 0

    with (
        caplog.at_level(logging.ERROR, logger="catena"),
        pytest.warns(SerializationWarning)
        if (place == "a call")
        else caplog.at_level(logging.ERROR),
    ):
        run(main())
    assert "could not go on: SystemExit: from within" in caplog.text


def test_what_is_raised_before_a_call_begins_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """D7: what one call brings is refused, and the link stays for all others."""

    async def main() -> None:
        async with connected():
            with monkeypatch.context() as planted:
                planted.setattr(Sessions, "admit_call", raising)
                with pytest.raises(SerializationError, match="SystemExit: from within"):
                    await echo(1)
            await stands()

    run(main())


def test_what_is_raised_as_a_call_is_started_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """D7: behind the Ack the call has begun, so an exception frame ends it."""

    async def main() -> None:
        async with connected():
            with monkeypatch.context() as planted:
                planted.setattr("catena.dispatch.worker.sessions.RunningCall", raising)
                with pytest.raises(RemoteError, match="SystemExit: from within"):
                    await echo(1)
            await stands()

    run(main())


def test_nothing_more_is_sent_for_a_call_that_has_ended(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M7: what is raised behind the last frame is only logged."""
    sessions: list[Session] = []
    reply = Session.send_answer

    def note(self: Session, frame: Any) -> None:
        sessions.append(self)
        reply(self, frame)

    async def main() -> None:
        async with connected():
            with monkeypatch.context() as noting:
                noting.setattr(Session, "send_answer", note)
                await stands()
            running.end_in_net(sessions[0], ValueError("too late"))
            await stands()

    with caplog.at_level(logging.ERROR, logger="catena"):
        run(main())
    assert "call 1 of routine" in caplog.text
    assert "could not go on: ValueError: too late" in caplog.text
