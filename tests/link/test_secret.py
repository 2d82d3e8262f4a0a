"""The secret of a pool: who does not know it is refused before anything that it sends is read."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from catena.errors import PeerRefused, VersionRefused
from catena.link.client import connect
from catena.link.link import Link
from catena.link.memory import make_pair
from catena.link.server import Server
from catena.targets import unix_target
from catena.wire import codec, versions
from catena.wire.frames import Hello
from tests.link.ends import Hand, Listener
from tests.support import run

SECRET = b"known to this pool only"


@pytest.mark.parametrize("theirs", [b"", b"another", SECRET[:-1], SECRET + b"x"])
@pytest.mark.parametrize("first", [True, False])
def test_a_peer_that_does_not_know_it_is_refused(first: bool, theirs: bytes) -> None:
    """R8: either end refuses the other; a caller that is refused does not learn the secret."""

    async def main() -> None:
        near, far = make_pair()
        link, hand = Link(near, "near", secret=SECRET), Hand(far)
        await far.write(codec.encode_message([versions.make_hello("stranger", theirs)]))
        with pytest.raises(PeerRefused, match=r"'stranger' .* does not know this pool's secret"):
            await link.exchange_hello(first=first)
        if not first:
            assert await hand.nothing()

    run(main())


def test_another_major_does_not_learn_it() -> None:
    """R8, V1: the version is sent to a peer that may not know the secret; the secret is not."""

    async def main() -> None:
        near, far = make_pair()
        hand = Hand(far)
        await far.write(
            codec.encode_message([versions.make_hello("old")._replace(major=versions.MAJOR + 1)])
        )
        with pytest.raises(VersionRefused):
            await Link(near, "near", secret=SECRET).exchange_hello(first=False)
        answer = await hand.frame()
        assert isinstance(answer, Hello)
        assert (answer.major, answer.secret) == (versions.MAJOR, b"")

    run(main())


def test_both_ends_that_know_it_meet() -> None:
    """R8: it stands in both Hellos, and is kept in neither link's peer."""

    async def main() -> None:
        one, other = make_pair()
        near, far = Link(one, "near", secret=SECRET), Link(other, "far", secret=SECRET)
        await asyncio.gather(near.exchange_hello(first=True), far.exchange_hello(first=False))
        assert near.peer is not None
        assert far.peer is not None
        assert near.peer.secret == far.peer.secret == b""
        assert near.peer.boot == far.peer.boot == versions.read_boot()

    run(main())


@pytest.mark.parametrize("theirs", [b"", b"another"])
def test_over_grpc_a_stranger_hears_why(
    tmp_path: Path, theirs: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """R8: the refusal reaches the caller as text, and nothing of it is accepted or logged."""
    caplog.set_level(logging.DEBUG)
    target, accepted = unix_target(tmp_path / "s"), list[Link]()

    def accept(link: Link) -> Listener:
        accepted.append(link)
        return Listener()

    async def main() -> None:
        server = Server(target, "worker", accept, SECRET)
        await server.start()
        with pytest.raises(ConnectionError, match="does not know this pool's secret"):
            await connect(target, "stranger", theirs)
        await server.stop(1)

    run(main())
    assert accepted == []
    assert "known to this pool only" not in caplog.text


def test_it_stands_in_no_representation() -> None:
    """R8: whoever prints a frame does not print the secret."""
    hello = versions.make_hello("here", SECRET)

    assert "secret" not in repr(hello)
    assert "peer='here'" in repr(hello)
    assert hello.secret == SECRET


def test_the_boot_of_a_machine_that_does_not_name_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """P14: it is empty where it is not known."""
    monkeypatch.setattr(versions, "_BOOT", tmp_path / "none")
    versions.read_boot.cache_clear()

    assert versions.make_hello("here").boot == ""
    versions.read_boot.cache_clear()
