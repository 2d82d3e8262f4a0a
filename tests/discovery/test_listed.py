"""The list: it gives what was stated, and what is stated later."""

from __future__ import annotations

import pytest

from catena.discovery import source_of
from catena.discovery.listed import ListedMembers
from catena.discovery.looking import LookingSource
from catena.ids import MemberRecord
from tests.discovery.reading import NOBODY, member, members
from tests.support import run


def test_targets_and_records_become_members() -> None:
    """A target alone is the record of a worker whose id is not known yet."""

    async def scenario() -> None:
        source = source_of(["host:80", "unix:/run/w.sock", member(1), member(1)])
        expected = {MemberRecord("", "host:80"), MemberRecord("", "unix:/run/w.sock"), member(1)}
        assert await anext(source.members()) == expected
        await source.close()

    run(scenario())


def test_a_list_can_be_replaced() -> None:
    """Who knows the workers states others, and readers get them."""

    async def scenario() -> None:
        listed = ListedMembers([])
        source = LookingSource(listed)
        found = source.members()
        assert await anext(found) == NOBODY
        listed.replace([member(1)])
        assert await anext(found) == members(1)
        with pytest.raises(ValueError, match="neither"):
            listed.replace(["nothing"])
        listed.replace(iter([member(1), member(2)]))
        assert await anext(found) == members(1, 2)
        await source.close()

    run(scenario())
