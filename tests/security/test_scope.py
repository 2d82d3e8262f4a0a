"""The scope of credentials: who calls under which."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import catena
from catena.security.credentials import Credentials, scope
from tests.support import isolated, run

ONE, TWO = Credentials("/certs/one"), Credentials("/certs/two")


@isolated
def test_a_scope_nests_and_ends() -> None:
    """Inside they are the innermost ones, outside none; None is the pool's own."""
    assert scope.get() is None
    with catena.credentials("/certs/one"):
        assert scope.get() == ONE
        with catena.credentials(Path("/certs/two")):
            assert scope.get() == TWO
            with catena.credentials(None):
                assert scope.get() is None
            assert scope.get() == TWO
        assert scope.get() == ONE
    assert scope.get() is None


@isolated
def test_a_scope_ends_with_an_exception_too() -> None:
    """And may be entered again, also within itself."""
    block = catena.credentials(ONE)
    for _ in range(2):
        with pytest.raises(LookupError), block, block:
            raise LookupError
        assert scope.get() is None


def test_tasks_and_threads_are_inside() -> None:
    """What takes a copy of the context takes them along; another task's are not touched."""

    async def main() -> None:
        async def look() -> Credentials | None:
            return scope.get()

        outside = asyncio.create_task(look())
        with catena.credentials(ONE):
            inside = asyncio.create_task(look())
            assert await catena.to_thread(scope.get) == ONE
        assert await inside == ONE
        assert await outside is None

    run(main())


def test_what_is_no_path_is_refused() -> None:
    """A mistake fails where it is made."""
    with pytest.raises(TypeError):
        catena.credentials(7)  # pyright: ignore[reportArgumentType]
