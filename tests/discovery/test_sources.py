"""What all sources promise, with each medium: a first set at once, changes, an end by close."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from catena.discovery import MemberSource, announce
from catena.discovery.dns_names import DnsMedium
from catena.discovery.folder import FolderMedium
from catena.discovery.listed import ListedMembers
from catena.discovery.looking import LookingSource
from tests.discovery.name_server import serving
from tests.discovery.reading import NOBODY, Script, member, read_until, settle
from tests.support import LOOPS, run


class Ends(NamedTuple):
    """A source, and how a worker comes where it looks, and goes."""

    source: MemberSource
    join: Callable[[], object]
    leave: Callable[[], object]


@asynccontextmanager
async def by_script(_: Path) -> AsyncIterator[Ends]:
    """The fake."""
    medium = Script()
    yield Ends(
        LookingSource(medium),
        lambda: medium.change(frozenset({member(1)})),
        lambda: medium.change(NOBODY),
    )


@asynccontextmanager
async def by_list(_: Path) -> AsyncIterator[Ends]:
    """A list that is replaced."""
    listed = ListedMembers([])
    source = LookingSource(listed)
    yield Ends(source, lambda: listed.replace([member(1)]), lambda: listed.replace([]))


@asynccontextmanager
async def by_folder(path: Path) -> AsyncIterator[Ends]:
    """A folder."""
    source = LookingSource(FolderMedium(path))
    yield Ends(source, lambda: announce(path, member(1)), (path / "w1.json").unlink)


@asynccontextmanager
async def by_name(_: Path) -> AsyncIterator[Ends]:
    """A name server."""
    async with serving() as server:
        source = LookingSource(DnsMedium("workers.ns", 7800, make_resolver=server.resolver))
        yield Ends(
            source,
            lambda: server.zone.setdefault("workers.ns.", {"A": (1, ["10.0.0.1"])}),
            server.zone.clear,
        )


MEDIA: list[Callable[[Path], AbstractAsyncContextManager[Ends]]] = [
    *(by_script, by_list, by_folder, by_name)
]

each = pytest.mark.parametrize("medium", MEDIA, ids=lambda one: one.__name__)


def playing(scenario: Callable[[Ends], Coroutine[Any, Any, None]], medium: Any, path: Path) -> Any:
    """Return a coroutine that plays a scenario with a source, and closes that at its end."""

    async def play() -> None:
        async with medium(path) as ends:
            try:
                await scenario(ends)
            finally:
                await ends.source.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    return play()


@each
@pytest.mark.parametrize("loop", LOOPS)
def test_a_worker_comes_and_goes(medium: Any, loop: str, tmp_path: Path) -> None:
    """Nobody, somebody, nobody: three sets, each different from the one before."""

    async def scenario(ends: Ends) -> None:
        found = ends.source.members()
        assert await anext(found) == NOBODY
        ends.join()
        (one,) = await anext(found)
        assert one.target == "10.0.0.1:7800"
        ends.leave()
        assert await anext(found) == NOBODY

    run(playing(scenario, medium, tmp_path), timeout=40, loop=loop)


@each
def test_waiting_can_be_given_up_at_any_await(medium: Any, tmp_path: Path) -> None:
    """A reader that stops waiting, early or late, gets the next set later."""

    async def scenario(ends: Ends) -> None:
        found = ends.source.members()
        for turns in range(8):
            waiting = asyncio.ensure_future(anext(found))
            await settle(turns)
            waiting.cancel()
            await asyncio.wait({waiting})
        ends.join()
        came = await read_until(found, lambda one: len(one) == 1)
        assert len(came) <= 2

    run(playing(scenario, medium, tmp_path), timeout=40)


@each
def test_closing_ends_readers(medium: Any, tmp_path: Path) -> None:
    """Before the first look, during it and after it, from one task or another."""

    async def scenario(ends: Ends) -> None:
        readers = [
            asyncio.ensure_future(read_until(ends.source.members(), lambda _: False))
            for _ in range(3)
        ]
        await settle(3)
        await asyncio.gather(ends.source.close(), ends.source.close())
        for reader in readers:
            with pytest.raises(AssertionError, match="the source ended"):
                await reader

    run(playing(scenario, medium, tmp_path), timeout=40)
