"""The link over memory: hello, frames, goodbye and every way in which it ends."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from typing import Any

import pytest

from catena.dispatch.statistics import statistics
from catena.errors import ProtocolError, VersionRefused
from catena.events import FrameDropped, LinkClosed, LinkOpened, PeerVersionRefused
from catena.link import link as link_module
from catena.link.link import Link, links
from catena.link.memory import make_pair
from catena.testing import recording
from catena.wire import codec, versions
from catena.wire.frames import (
    Cancel,
    Frame,
    Goodbye,
    Next,
    Piece,
    Result,
    Unknown,
)
from tests.link.ends import Hand, Listener, link_and_hand, linked, settle
from tests.support import run

# ---- hello


def test_both_sides_learn_who_the_other_is() -> None:
    """V1: Hello is exchanged before anything else, and an event names the peer and its version."""

    async def main() -> None:
        near, far = await linked()
        assert near.peer is not None
        assert far.peer is not None
        assert (near.peer.peer, far.peer.peer) == ("far", "near")
        assert not near.up
        with recording(LinkOpened) as recorded:
            near.start(Listener())
        assert recorded.events == [
            LinkOpened("far", versions.PROTOCOL, versions.SOFTWARE, versions.PROTOCOL)
        ]
        assert near.up
        assert near in links
        await near.close()
        assert near not in links

    run(main())


def test_hello_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """V1: a peer that says nothing is given up."""
    monkeypatch.setattr(link_module, "HELLO_SECONDS", 0.02)

    async def main() -> None:
        for first in (True, False):
            near, _ = make_pair()
            with pytest.raises(TimeoutError):
                await Link(near, "near").exchange_hello(first=first)

    run(main())


@pytest.mark.parametrize(
    "frames",
    [
        [Next(1)],
        [],
        [Goodbye(0, "")],
        [versions.make_hello("x"), Next(1)],
        [versions.make_hello("x"), versions.make_hello("x")],
        [Unknown(0)._replace(call=3)],
    ],
    ids=["another frame", "nothing", "goodbye", "not alone", "twice", "unknown"],
)
def test_the_first_message_must_be_hello_alone(frames: list[Frame]) -> None:
    """V1: nothing is read before Hello, and Hello stands alone in its message."""

    async def main() -> None:
        near, far = make_pair()
        sent = [Cancel(3) if isinstance(one, Unknown) else one for one in frames]
        await far.write(codec.encode_message(sent))
        with pytest.raises(ProtocolError, match="first frame must be hello"):
            await Link(near, "near").exchange_hello(first=False)

    run(main())


def test_bytes_that_do_not_parse_instead_of_hello() -> None:
    """V1: a peer of another kind is a ProtocolError."""

    async def main() -> None:
        near, far = make_pair()
        await far.write(b"GET / HTTP/1.1\r\n")
        with pytest.raises(ProtocolError, match="does not parse"):
            await Link(near, "near").exchange_hello(first=False)

    run(main())


def test_a_stream_that_ends_before_hello() -> None:
    """V1: a peer that leaves before it said hello is a ConnectionError."""

    async def main() -> None:
        near, far = make_pair()
        await far.close()
        with pytest.raises(ConnectionError):
            await Link(near, "near").exchange_hello(first=False)

    run(main())


@pytest.mark.parametrize("first", [True, False])
def test_another_major_is_refused_and_both_sides_can_tell(first: bool) -> None:
    """V1: the refusing side has said its own version before, so that the other can refuse too."""

    async def main() -> None:
        near, far = make_pair()
        await far.write(codec.encode_message([versions.make_hello("old")._replace(major=9)]))
        with pytest.raises(VersionRefused, match=r"upgrade the local side"):
            await Link(near, "near").exchange_hello(first=first)
        assert await Hand(far).frame() == versions.make_hello("near")

    run(main())


def test_a_refusal_is_told_when_the_peer_has_gone() -> None:
    """V1: a peer that refuses us too may have cut the stream before it got our answer."""

    class Cut:
        """A stream that can be read and not be written."""

        async def read(self) -> bytes:
            return codec.encode_message([versions.make_hello("new")._replace(major=9)])

        async def write(self, message: bytes) -> None:
            raise ConnectionError("cut")

    async def main() -> None:
        transport: Any = Cut()
        with recording(PeerVersionRefused) as heard, pytest.raises(ConnectionError):
            await Link(transport, "near").exchange_hello(first=False)
        assert [one.error.remote for one in heard.of(PeerVersionRefused)] == [f"9.{versions.MINOR}"]

    run(main())


# ---- frames


def test_frames_arrive_in_order_whatever_their_size() -> None:
    """M7: small frames and frames in pieces arrive once each, per call in order."""

    async def main() -> None:
        near, far = await linked()
        listener = Listener()
        near.start(Listener())
        far.start(listener)
        sent: list[Frame] = [Result(1, b"x" * 300_000), *map(Cancel, range(2, 600)), Next(1)]
        for frame in sent:
            near.send(frame)
        await listener.until(lambda one: len(one.frames) == len(sent))
        assert sorted(map(repr, listener.frames)) == sorted(map(repr, sent))
        assert [one for one in listener.frames if one.call == 1] == [sent[0], sent[-1]]
        assert statistics().transfers == 0
        await near.close()

    run(main())


def test_what_one_turn_sends_leaves_in_one_message() -> None:
    """M7: frames are gathered per turn of the event loop."""

    async def main() -> None:
        link, hand = await link_and_hand()
        link.start(Listener())
        await settle()

        async def one(call: int) -> None:
            link.send(Next(call))
            link.send(Cancel(call))

        await asyncio.gather(*map(one, range(1, 6)))
        message = await hand.transport.read()
        assert message is not None
        assert len(codec.decode_message(message).frames) == 10
        await link.close()

    run(main())


def test_the_links_tasks_hold_nobodys_context() -> None:
    """C4: reader and writer run in an empty Context, whoever starts the link."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("held")
    seen: list[Any] = []

    class Looking(Listener):
        def receive(self, frame: Frame) -> None:
            seen.append(variable.get(None))
            super().receive(frame)

    async def main() -> None:
        variable.set("mine")
        link, hand = await link_and_hand()
        link.start(Looking())
        await hand.send(Next(1))
        assert seen == [None]
        await link.close()

    run(main())


# ---- the end


def test_goodbye_reaches_the_receiver_and_ends_nothing() -> None:
    """M7: after Goodbye the link stays up for what is under way."""

    async def main() -> None:
        link, hand = await link_and_hand()
        listener = Listener()
        link.start(listener)
        await hand.send(Goodbye(0, "tired"), Next(4))
        assert listener.goodbyes == ["tired"]
        assert listener.frames == [Next(4)]
        assert link.up
        await link.close()

    run(main())


def test_close_sends_what_is_queued_says_goodbye_and_ends() -> None:
    """M7: closing loses nothing that was sent before, and informs the receiver once."""

    async def main() -> None:
        near, far = await linked()
        here, there = Listener(), Listener()
        near.start(here)
        far.start(there)
        sent = [Result(1, b"x" * 1_000_000), Cancel(2)]
        for frame in sent:
            near.send(frame)
        with recording(LinkClosed) as recorded:
            await near.close("done")
            await there.until(lambda one: bool(one.ends))
        assert sorted(map(repr, there.frames)) == sorted(map(repr, sent))
        assert there.goodbyes == ["done"]
        assert here.ends == there.ends == [None]
        assert {one.error for one in recorded.of(LinkClosed)} == {None}
        await near.close()
        assert here.ends == [None]
        near.send(Cancel(3))
        assert not near.up
        await asyncio.wait_for(near.wait_ended(), 1)

    run(main())


def test_fail_ends_a_link_once() -> None:
    """M7: the receiver is given the first reason and no other; the peer gets no more frames.

    Its stream ends, so that it does not take the link for up.
    """

    async def main() -> None:
        link, hand = await link_and_hand()
        listener = Listener()
        link.start(listener)
        first = ConnectionError("first")
        with recording(LinkClosed) as recorded:
            link.fail(first)
            link.fail(ConnectionError("second"))
        assert listener.ends == [first]
        assert recorded.events == [LinkClosed("there", first, versions.PROTOCOL, versions.PROTOCOL)]
        link.send(Cancel(1))
        with pytest.raises(ConnectionError, match="the stream ended"):
            await hand.frame()
        assert "down" in repr(link)
        await link.close()

    run(main())


def test_the_end_of_the_stream_ends_the_link() -> None:
    """D7: the other side's close is an end without an error, and wakes who waits for it."""

    async def main() -> None:
        link, hand = await link_and_hand()
        listener = Listener()
        link.start(listener)
        ended = asyncio.ensure_future(link.wait_ended())
        await hand.transport.close()
        await asyncio.wait_for(ended, 5)
        assert listener.ends == [None]
        await link.close()

    run(main())


def test_an_unparsable_message_ends_the_link() -> None:
    """M7: a message that is none ends the link with a ProtocolError."""

    async def main() -> None:
        link, hand = await link_and_hand()
        listener = Listener()
        link.start(listener)
        hand.message(b"\xff\xff\xff")
        await listener.until(lambda one: bool(one.ends))
        assert isinstance(listener.ends[0], ProtocolError)
        assert not link.up
        await link.close()

    run(main())


@pytest.mark.parametrize(
    "frame",
    [
        versions.make_hello("again"),
        Next(0),
        Piece(1, 1, b"", False, 1 << 40),
        Piece(1, 1, b"\xff\xff", True, 2),
    ],
    ids=["hello again", "a call's frame without a call", "too long", "no frame"],
)
def test_an_illegal_frame_of_the_link_ends_it(frame: Frame) -> None:
    """M7: what the link itself may not hear ends it with a ProtocolError."""

    async def main() -> None:
        link, hand = await link_and_hand()
        listener = Listener()
        link.start(listener)
        await hand.send(frame)
        assert [type(one) for one in listener.ends] == [ProtocolError]
        await link.close()

    run(main())


def test_an_unknown_frame_of_the_link_is_dropped_and_told() -> None:
    """V1: a frame of a later minor version that belongs to no call ends nothing."""

    async def main() -> None:
        link, hand = await link_and_hand()
        listener = Listener()
        link.start(listener)
        with recording(FrameDropped) as recorded:
            hand.message(b"\n\x02\x10\x63")
            await hand.send(Next(1))
        assert recorded.events == [FrameDropped(0, "unknown")]
        assert listener.frames == [Next(1)]
        await link.close()

    run(main())


def test_a_peer_that_broke_the_rules_hears_the_reason() -> None:
    """R11, M7: Goodbye says why before the stream is cut."""

    async def main() -> None:
        link, hand = await link_and_hand()
        link.start(Listener())
        await hand.send(Piece(1, 1, b"", False, 1 << 40))
        last = await hand.frame()
        assert isinstance(last, Goodbye)
        assert "a frame of 1099511627776 bytes exceeds" in last.reason
        with pytest.raises(ConnectionError, match="the stream ended"):
            await hand.frame()
        await link.close()

    run(main())


def test_a_reason_to_end_the_link_is_logged_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """R11: why the peer ends it stands in the log, in one line whatever it holds."""

    async def main() -> None:
        link, hand = await link_and_hand()
        listener = Listener()
        link.start(listener)
        await hand.send(Goodbye(0, "you broke\n\x1b[2Jit"))
        assert listener.goodbyes == [r"you broke\n\x1b[2Jit"]
        await link.close()

    run(main())
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().endswith(r"the peer ends it: you broke\n\x1b[2Jit")


def test_a_peers_name_is_fit_for_a_line_of_ours() -> None:
    """R10: what a terminal would obey is escaped, and what is long is cut."""

    async def main() -> None:
        link, _ = await link_and_hand(peer="\x1b]0;owned\x07\nforged\u202e" + "A" * 5000)
        assert link.peer is not None
        assert link.peer.peer.startswith(r"\x1b]0;owned\x07\nforged\u202eAAA")
        assert len(repr(link)) < 400
        assert repr(link).isprintable()

    run(main())


@pytest.mark.parametrize("error", [ProtocolError(reason="no"), ValueError("a bug")], ids=repr)
def test_a_receiver_that_raises_ends_the_link(error: Exception) -> None:
    """M7: whatever the receiver raises, the link ends and says why; it never falls silent."""

    class Raising(Listener):
        def receive(self, frame: Frame) -> None:
            raise error

    async def main() -> None:
        link, hand = await link_and_hand()
        listener = Raising()
        link.start(listener)
        await hand.send(Next(1))
        assert listener.ends == [error]
        assert not link.up
        await link.close()

    run(main())
    gc.collect()


def test_sending_into_a_link_whose_loop_shuts_down_is_quiet() -> None:
    """D6: when the loop cancels all its tasks, a caller's last Cancel raises nothing."""

    async def main() -> None:
        link, _ = await link_and_hand()
        link.start(Listener())
        await settle()
        for task in link._tasks:
            task.cancel()
        link.send(Cancel(1))
        await asyncio.sleep(0)
        await link.close(timeout=0.05)

    run(main())
