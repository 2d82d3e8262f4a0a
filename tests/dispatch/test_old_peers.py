"""A peer that has never heard of deltas or of named states, on either side of a link."""

from __future__ import annotations

from typing import Any

import pytest

import catena
from catena.wire.frames import ExceptionFrame, Result
from catena.wire.versions import DELTA, NAMES
from tests.dispatch.changing import adding, other, set_and_fail, set_and_undo
from tests.dispatch.tapped import Tapped, changed, tapped
from tests.support import isolated, run

MANY = 50
many = [catena.ContextVar[Any](f"many{n}", namespace="tests.old") for n in range(MANY)]


def bind_many() -> None:
    """Bind fifty variables."""
    for number, var in enumerate(many):
        var.set(f"value {number}")


@catena.routine
async def append(item: int) -> list[int]:
    """Append to the list that the other variable holds."""
    other.get().append(item)
    return other.get()


@pytest.mark.parametrize("old", ["caller", "worker"])
@pytest.mark.parametrize("lacking", [(DELTA,), (NAMES,), (DELTA, NAMES)], ids="-".join)
@isolated
def test_an_old_peer_gets_whole_manifests(lacking: tuple[str, ...], old: str) -> None:
    """M9: a peer without the capability is told everything in each frame, and all else works."""

    async def main() -> None:
        async with tapped(lacking=lacking, old=old) as ends:
            bind_many()
            other.set([1])
            for number in (2, 3):
                assert await append(number) == list(range(1, number + 1))
                assert other.get() == list(range(1, number + 1))
            token = other.set("mine")
            stream = adding(5)
            assert [await anext(stream) for _ in range(3)] == [1, 2, 3]
            other.reset(token)
            assert await anext(stream) == 4
            assert other.get() == [1, 2, 3]
            await stream.aclose()
            stream = set_and_undo()
            assert await anext(stream) == "there"
            await anext(stream)
            assert other.get() == [1, 2, 3]
            await stream.aclose()
            with pytest.raises(KeyError):
                await set_and_fail()
            assert other.get() == "failed"
            _check_whole(lacking, ends)

    run(main())


def _check_whole(lacking: tuple[str, ...], ends: Tapped) -> None:
    """Assert that what the peer does not know was not said to it."""
    if NAMES in lacking:
        assert not any(one.base or one.name for one in ends.told)
    if DELTA in lacking:
        assert all(one.whole for one in ends.told)
        assert all(_is_whole(one) for one in ends.answers)


def _is_whole(answer: Result | ExceptionFrame) -> bool:
    return (
        answer.manifest is not None
        and answer.manifest.whole
        and len(changed(answer.manifest)) > MANY
    )
