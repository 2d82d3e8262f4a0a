"""What two peers make of each other's versions."""

from __future__ import annotations

import os

import pytest

import catena
from catena.errors import VersionRefused
from catena.events import PeerVersionRefused
from catena.testing import recording
from catena.wire import versions

MINE = f"{versions.MAJOR}.{versions.MINOR}"


def test_hello_says_who_speaks_what() -> None:
    """V1: the first frame carries protocol and software version, capabilities, name and pid."""
    hello = versions.make_hello("me")
    assert (hello.call, hello.major, hello.minor) == (0, versions.MAJOR, versions.MINOR)
    assert (hello.peer, hello.pid, hello.software) == ("me", os.getpid(), catena.__version__)
    assert versions.agree_on_capabilities(hello) == frozenset(versions.CAPABILITIES)


@pytest.mark.parametrize(("step", "side"), [(-1, "remote"), (1, "local"), (9, "local")])
def test_another_major_is_refused_with_both_versions_and_a_remedy(step: int, side: str) -> None:
    """V1: the refusal names both versions and which side to upgrade, and is announced once."""
    theirs = versions.make_hello("old")._replace(major=versions.MAJOR + step, minor=7)

    with recording(PeerVersionRefused) as recorded, pytest.raises(VersionRefused) as refused:
        versions.agree_on_capabilities(theirs)

    remote = f"{versions.MAJOR + step}.7"
    assert (refused.value.local, refused.value.remote) == (MINE, remote)
    assert f"protocol {MINE} here and {remote} there" in str(refused.value)
    assert f"upgrade the {side} side" in str(refused.value)
    assert [one.error for one in recorded.of(PeerVersionRefused)] == [refused.value]


def test_versions_are_compared_as_numbers() -> None:
    """V1: 10 is newer than 9."""
    assert "upgrade the local side" in str(VersionRefused(local="9.0", remote="10.0"))


@pytest.mark.parametrize("minor", [0, 1, 99])
def test_any_minor_of_the_same_major_is_accepted(minor: int) -> None:
    """V1: within one major version old and new work together."""
    theirs = versions.make_hello("new")._replace(minor=minor)
    assert versions.agree_on_capabilities(theirs) == frozenset(versions.CAPABILITIES)


def test_a_peer_that_is_capable_of_nothing_is_accepted() -> None:
    """V1: it gets whole manifests and no names, for it has asked for neither."""
    theirs = versions.make_hello("old")._replace(capabilities=())
    assert versions.agree_on_capabilities(theirs) == frozenset()


def test_what_is_used_is_what_both_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """V1: capabilities are intersected; one that is unknown here is no error."""
    monkeypatch.setattr(versions, "CAPABILITIES", ("delta", "named"))
    theirs = versions.make_hello("new")._replace(capabilities=("named", "teleport"))
    assert versions.agree_on_capabilities(theirs) == {"named"}
