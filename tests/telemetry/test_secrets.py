"""Nothing that a user's code holds is told: planted secrets are sought in every signal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import catena
from catena import events
from catena.events.bus import announce
from tests.dispatch.ends import connected
from tests.support import isolated, run
from tests.telemetry.sdk import Told, telling

SECRET = "hunter2-do-not-tell"

kept: catena.ContextVar[Any] = catena.ContextVar("kept", namespace="tests.secrets")


@catena.routine
async def secretive(argument: str, *, credential: str) -> str:
    """Take, hold and return secrets, and raise with one when told to."""
    kept.reset(kept.set([argument, SECRET]))
    kept.set({SECRET: credential})
    if argument.endswith("raise"):
        raise LookupError(f"not found: {SECRET}")
    return argument + SECRET


class Unpicklable:
    """Refuses to be written, and says a secret."""

    def __reduce__(self) -> Any:
        raise TypeError(f"cannot write {SECRET}")


async def planted() -> None:
    """Plant secrets in variables, arguments, results, errors, and what cannot be written."""
    kept.set(SECRET)
    async with connected():
        assert (await secretive(SECRET, credential=SECRET)).endswith(SECRET)
        with pytest.raises(LookupError, match=SECRET):
            await secretive("raise", credential=SECRET)
        with pytest.raises(catena.SerializationError):
            await secretive(Unpicklable(), credential=SECRET)
        kept.set(Unpicklable())
        with pytest.warns(catena.SerializationWarning):
            await asyncio.create_task(secretive("x", credential=SECRET))
    announce(events.LinkClosed("them", ConnectionError(SECRET), "1.0", "1.0"))


def everything(told: Told) -> str:
    """Return all that was exported, as one text."""
    spans = [(one.to_json(), one.name) for one in told.spans]
    records = [(vars(one), one.getMessage()) for one in told.records]
    return repr((spans, told.reader.get_metrics_data(), records))


@isolated
def test_no_signal_holds_a_secret() -> None:
    """Values: variables, arguments, results, credentials and error texts appear nowhere."""
    with telling(audit=True) as told:
        run(planted())
        exported = everything(told)

    assert "tests.telemetry.test_secrets.secretive" in exported
    assert "catena.entry.lost" in exported
    assert SECRET not in exported


@isolated
def test_the_search_finds_them_when_messages_are_recorded() -> None:
    """Values: the same search finds what `record_messages` lets in, in spans and in records."""
    with telling(audit=True, record_messages=True) as told:
        run(planted())
        exported = everything(told)
        spans = repr([one.to_json() for one in told.spans])
        records = repr([vars(one) for one in told.records])

    assert SECRET in exported
    assert SECRET in spans
    assert SECRET in records
