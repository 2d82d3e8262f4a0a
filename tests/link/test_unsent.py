"""Frames that cannot leave: each fails its own call, and nobody else minds."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from catena.link import outbox
from catena.transfer.manifest import ChainManifest
from catena.wire import codec
from catena.wire.frames import Cancel, Frame, Next, Result
from tests.link.ends import Listener, link_and_hand, settle
from tests.support import run

ODD = Next(2, ChainManifest(b"", carrier={"a": "\udce9"}))
"""A frame that UTF-8 cannot say."""


def test_a_frame_that_cannot_be_encoded_is_taken_out_of_its_message() -> None:
    """R1, M7: the receiver learns which frame did not leave and why; the others of it do."""

    async def main() -> None:
        link, hand = await link_and_hand()
        listener = Listener()
        link.start(listener)
        for frame in (Next(1), ODD, Cancel(3)):
            link.send(frame)
        assert [await hand.frame(), await hand.frame()] == [Next(1), Cancel(3)]
        ((frame, error),) = listener.unsents
        assert frame is ODD
        assert isinstance(error, UnicodeEncodeError)
        assert link.up
        link.send(ODD)
        link.send(Cancel(4))
        assert await hand.frame() == Cancel(4)
        await link.close()

    run(main())
    gc.collect()


def test_a_frame_that_is_too_long_is_told_to_the_receiver_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R2: sending raises nothing, and nothing of the frame leaves."""
    monkeypatch.setattr(outbox, "FRAME_LIMIT", 100_000)

    async def main() -> None:
        link, hand = await link_and_hand()
        listener = Listener()
        link.start(listener)
        long = Result(1, b"x" * 200_000)
        link.send(long)
        assert [frame for frame, _ in listener.unsents] == [long]
        link.send(Cancel(2))
        assert await hand.frame() == Cancel(2)
        await link.close()

    run(main())


def test_a_long_frame_that_cannot_be_cut_fails_its_call_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R1: where memory does not suffice for the pieces, nothing has been queued of them."""

    def full(frame: Frame) -> bytes:
        raise MemoryError

    async def main() -> None:
        link, hand = await link_and_hand()
        listener = Listener()
        link.start(listener)
        with monkeypatch.context() as patch:
            patch.setattr(codec, "encode_frame", full)
            link.send(Result(1, b"x" * 3_000_000))
        link.send(Cancel(2))
        assert await hand.frame() == Cancel(2)
        assert [type(error) for _, error in listener.unsents] == [MemoryError]
        await link.close()

    run(main())


class _Raising(Listener):
    """Cannot end the call of a frame that did not leave."""

    def handle_unsent(self, frame: Frame, error: Exception) -> None:
        raise error


class _Repeating(Listener):
    """Sends in its place what cannot leave either."""

    link: Any = None

    def handle_unsent(self, frame: Frame, error: Exception) -> None:
        self.link.send(frame)


@pytest.mark.parametrize("receiver", [_Raising, _Repeating])
def test_a_link_ends_where_nobody_can_end_the_call(
    receiver: type[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1: the last way out is the link's end, never a call that waits for ever."""
    monkeypatch.setattr(outbox, "FRAME_LIMIT", 100_000)

    async def main() -> None:
        link, _ = await link_and_hand()
        listener: Any = receiver()
        listener.link = link
        link.start(listener)
        link.send(Result(1, b"x" * 200_000))
        await settle()
        assert [type(one) for one in listener.ends] == [outbox.FrameTooLong]
        assert not link.up
        await link.close()

    run(main())
    gc.collect()
