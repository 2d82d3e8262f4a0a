"""What waits to be sent, and how it is cut; what arrives in pieces, put together."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import strategies as st

from catena.errors import ProtocolError
from catena.link import outbox
from catena.link.outbox import (
    MESSAGE_BYTES,
    MESSAGE_FRAMES,
    PIECE_BYTES,
    SHARED_MESSAGES,
    WHOLE_BYTES,
    Joiner,
    Outbox,
)
from catena.link.service import OPTIONS
from catena.transfer.manifest import ChainManifest
from catena.wire import codec
from catena.wire.frames import Cancel, Frame, Nack, NackCode, Next, Piece, Result
from tests.laws.law import Seen, law


def _filled(*frames: Frame) -> Outbox:
    box = Outbox()
    for frame in frames:
        box.put(frame)
    return box


def _messages(box: Outbox) -> list[list[Frame]]:
    messages: list[list[Frame]] = []
    while box.bytes:
        messages.append(box.take())
        assert messages[-1], "a message of nothing"
    return messages


def _arrived(messages: list[list[Frame]]) -> list[Frame]:
    joiner, frames = Joiner(), []
    for message in messages:
        for frame in codec.decode_message(codec.encode_message(message)).frames:
            whole = joiner.add(frame) if isinstance(frame, Piece) else frame
            if whole is not None:
                frames.append(whole)
    assert len(joiner) == joiner.bytes == 0
    return frames


def test_small_frames_leave_in_order_in_one_message() -> None:
    """M7: what fits goes out together and in order."""
    frames = [Next(1), Cancel(1), Next(2), Result(3, b"x")]
    box = _filled(*frames)
    assert box.bytes == sum(frame.weight for frame in frames)
    assert _messages(box) == [frames]
    assert box.bytes == 0


def test_a_message_has_at_most_so_many_frames() -> None:
    """M7: messages are cut by frames."""
    sizes = [len(one) for one in _messages(_filled(*map(Cancel, range(1, MESSAGE_FRAMES * 3))))]
    assert max(sizes) <= MESSAGE_FRAMES
    assert sum(sizes) == MESSAGE_FRAMES * 3 - 1


def test_a_message_has_about_so_many_bytes() -> None:
    """M7: messages are cut by bytes, well below what gRPC takes."""
    frames = [Result(call, b"x" * 60_000) for call in range(1, 40)]
    messages = _messages(_filled(*frames))
    sizes = [len(codec.encode_message(one)) for one in messages]
    assert max(sizes) < MESSAGE_BYTES + PIECE_BYTES + 1000
    assert max(sizes) < dict(OPTIONS)["grpc.max_receive_message_length"]
    assert [frame for message in messages for frame in message] == frames


@pytest.mark.parametrize(
    "frame",
    [Result(7, b"x" * 9_000_000), Result(7, b"x" * (WHOLE_BYTES - 100)), Next(7)],
    ids=["long", "just whole", "small"],
)
def test_no_message_exceeds_what_grpc_takes(frame: Frame) -> None:
    """M7: however long a frame is, each message stays below the limit of the transport."""
    long_text = Nack(8, NackCode.UNLOADABLE, "t" * 5_000_000)
    small = [Result(7, b"x" * (PIECE_BYTES - 100))] * 8
    limit = dict(OPTIONS)["grpc.max_send_message_length"]
    for frames in ([frame], [*small, frame], [frame, long_text], [frame] * 3):
        messages = _messages(_filled(*frames))
        assert all(len(codec.encode_message(one)) < limit for one in messages)


def test_a_long_frame_leaves_in_pieces() -> None:
    """M7: pieces name their call, their transfer and the whole's size; the last one says so."""
    frame = Result(7, b"x" * (PIECE_BYTES * 3))
    pieces: list[Any] = [one for message in _messages(_filled(frame, Cancel(8))) for one in message]
    assert pieces.pop(0) == Cancel(8)
    assert all(type(one) is Piece for one in pieces)
    assert {one.call for one in pieces} == {7}
    assert len({one.transfer for one in pieces}) == 1
    assert {one.total for one in pieces} == {len(codec.encode_frame(frame))}
    assert [one.last for one in pieces] == [False] * (len(pieces) - 1) + [True]
    assert max(len(one.data) for one in pieces) <= PIECE_BYTES


@pytest.mark.parametrize("size", [PIECE_BYTES + 1, 1_000_000, WHOLE_BYTES - 100])
def test_whoever_is_alone_sends_a_long_frame_whole(size: int) -> None:
    """M7: where nobody waits for it, nothing is cut; one call after the other is alone."""
    box = Outbox()
    for call in (1, 2, 3):
        frames = [Result(call, b"x" * size), Next(call)]
        for frame in frames:
            box.put(frame)
        assert [one for message in _messages(box) for one in message] == frames


def test_whoever_is_alone_cuts_what_is_longer_coarsely() -> None:
    """M7: a message has one piece of it, as long as a whole frame may be."""
    messages = _messages(_filled(Result(1, b"x" * (WHOLE_BYTES * 3))))
    assert _sizes(messages) == [[WHOLE_BYTES]] * 3 + [[_sizes(messages)[-1][0]]]
    assert _arrived(messages) == [Result(1, b"x" * (WHOLE_BYTES * 3))]


def _sizes(messages: list[list[Frame]]) -> list[list[int]]:
    return [[len(one.data) for one in message if type(one) is Piece] for message in messages]


def test_the_next_piece_is_small_when_somebody_else_comes() -> None:
    """M7: a transfer that has begun in long pieces goes on in short ones beside another call."""
    frame = Result(1, b"x" * (WHOLE_BYTES * 3))
    box = _filled(frame)
    messages = [box.take()]
    box.put(Cancel(2))
    messages.append(box.take())
    assert messages[1][0] == Cancel(2)
    assert _sizes(messages) == [[WHOLE_BYTES], [PIECE_BYTES] * (MESSAGE_BYTES // PIECE_BYTES)]
    messages += _messages(box)
    assert [one for one in _arrived(messages) if one.call == 1] == [frame]


@pytest.mark.parametrize("first", [True, False], ids=["before it", "behind it"])
def test_a_long_frame_beside_another_call_is_cut(first: bool) -> None:
    """M7: whoever comes in the same turn of the loop counts, whatever the order."""
    frames = [Cancel(1), Result(2, b"x" * 1_000_000)]
    messages = _messages(_filled(*(frames if first else frames[::-1])))
    assert messages[0][0] == Cancel(1)
    assert {size for sizes in _sizes(messages)[:-1] for size in sizes} == {PIECE_BYTES}
    assert _arrived(messages) == frames


def test_frames_of_the_same_call_do_not_cut_it() -> None:
    """M7: what waits behind a long frame anyway is no reason to cut it."""
    frames = [Result(1, b"x" * 1_000_000), Next(1), Result(1, b"y" * 1_000_000)]
    assert [one for message in _messages(_filled(*frames)) for one in message] == frames


def test_a_link_is_shared_for_so_many_messages_more() -> None:
    """M7: between two frames of others a transfer is not cut coarsely; afterwards it is again."""
    box = _filled(Cancel(1), Cancel(2))
    for _ in range(SHARED_MESSAGES - 1):
        box.put(Cancel(3))
        assert box.take()[-1] == Cancel(3)
    for whole in (False, True):
        box.put(Result(3, b"x" * (MESSAGE_BYTES - 1000)))
        assert (type(box.take()[0]) is Result) is whole
    while box.bytes:
        box.take()


def test_a_frame_that_cannot_be_encoded_is_not_lost_when_it_is_cut() -> None:
    """R1: the link learns it from the message, as of any other frame."""
    odd = Result(1, b"x" * 200_000, ChainManifest(b"", carrier={"a": "\udce9"}))
    box = _filled(odd, Cancel(2))
    assert _messages(box) == [[Cancel(2), odd]]


def test_transfers_take_turns() -> None:
    """M7: two long frames of two calls share the stream piece by piece."""
    box = _filled(*(Result(call, b"x" * (PIECE_BYTES * 4)) for call in (1, 2, 3)))
    calls = [frame.call for message in _messages(box) for frame in message]
    assert calls[:9] == [1, 2, 3] * 3


def test_a_small_frame_overtakes_the_transfers_of_others() -> None:
    """M7: a large payload delays nobody else."""
    box = _filled(Result(1, b"x" * 2_000_000), Cancel(2))
    assert box.take()[0] == Cancel(2)


def test_the_frames_of_one_call_stay_behind_its_transfer() -> None:
    """M7: a Next never overtakes the Task it belongs to."""
    frames = [Result(1, b"x" * 200_000), Next(1), Result(1, b"y" * 100_000), Cancel(1)]
    assert _arrived(_messages(_filled(*frames))) == frames


def test_transfers_move_on_while_small_frames_keep_coming() -> None:
    """M7: a stream of small frames that fills every message starves no transfer."""
    box = _filled(Result(1, b"x" * (PIECE_BYTES * 2)))
    pieces = 0
    for turn in range(20):
        for n in range(MESSAGE_FRAMES):
            box.put(Cancel(2 + turn * MESSAGE_FRAMES + n))
        pieces += sum(type(frame) is Piece for frame in box.take())
    assert pieces > 0


sizes = st.one_of(st.integers(0, 300), st.integers(50_000, 400_000), st.just(WHOLE_BYTES))
work = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 4), sizes),
        st.tuples(st.just("take"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@law(
    work,
    examples=150,
    floors={
        "messages": 100,
        "small frames": 100,
        "pieces": 200,
        "transfers": 60,
        "long frames that left whole": 30,
        "transfers of several calls": 10,
        "a frame behind a transfer of its call": 15,
        "a transfer over several messages": 1,
    },
)
def test_every_frame_arrives_equal_and_in_its_calls_order(
    seen: Seen, steps: list[tuple[str, int, int]]
) -> None:
    """M7: whatever is cut and interleaved, each call's frames arrive whole and in order."""
    box, sent, messages = Outbox(), [], []
    for n, (what, call, size) in enumerate(steps):
        if what == "put":
            sent.append(Result(call, n.to_bytes(4, "big") + b"x" * size))
            box.put(sent[-1])
        elif box.bytes:
            messages.append(box.take())
    messages += _messages(box)
    _count(seen, sent, messages)
    arrived = _arrived(messages)
    assert box.bytes == 0
    assert sorted(arrived, key=lambda one: one.payload[:4]) == sent  # type: ignore[union-attr]
    for call in range(1, 5):
        assert [one for one in arrived if one.call == call] == [
            one for one in sent if one.call == call
        ]


def _count(seen: Seen, sent: list[Frame], messages: list[list[Frame]]) -> None:
    """Count what became of frames on their way."""
    pieces = [frame for message in messages for frame in message if type(frame) is Piece]
    long = {one.call: n for n, one in reversed([*enumerate(sent)]) if one.weight > PIECE_BYTES}
    seen["messages"] += len(messages)
    flat = [frame for message in messages for frame in message if type(frame) is not Piece]
    whole = sum(frame.weight > PIECE_BYTES for frame in flat)
    seen["small frames"] += len(flat) - whole
    seen["long frames that left whole"] += whole
    seen["pieces"] += len(pieces)
    seen["transfers"] += len({piece.transfer for piece in pieces})
    seen["transfers of several calls"] += len(long) > 1
    seen["a frame behind a transfer of its call"] += any(
        n > long.get(one.call, n) for n, one in enumerate(sent)
    )
    seen["a transfer over several messages"] += any(
        type(one[-1]) is Piece and type(two[0]) is Piece and not one[-1].last
        for one, two in itertools.pairwise(messages)
    )


# ---- limits


def test_a_frame_beyond_the_limit_is_refused_at_its_first_piece() -> None:
    """M7: the announced size is checked before anything is kept."""
    joiner = Joiner()
    with pytest.raises(ProtocolError, match=f"exceeds {outbox.FRAME_LIMIT}"):
        joiner.add(Piece(1, 1, b"x", False, outbox.FRAME_LIMIT + 1))
    assert len(joiner) == joiner.bytes == 0


def test_what_one_link_keeps_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """M7: many frames under way at once are limited together, by what they announce."""
    monkeypatch.setattr(outbox, "LINK_LIMIT", 1000)
    joiner = Joiner()
    for transfer in range(5):
        joiner.add(Piece(1, transfer, b"x" * 100, False, 200))
    assert (len(joiner), joiner.bytes, joiner.announced) == (5, 500, 1000)
    with pytest.raises(ProtocolError, match="under way exceed 1000"):
        joiner.add(Piece(1, 11, b"x", False, 200))
    joiner.clear()
    assert (len(joiner), joiner.bytes, joiner.announced) == (0, 0, 0)


def test_how_many_frames_are_under_way_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """M7: transfers of nothing, begun by the million, are stopped before they are kept."""
    monkeypatch.setattr(outbox, "TRANSFER_LIMIT", 5)
    joiner = Joiner()
    for transfer in range(5):
        joiner.add(Piece(0, transfer, b"", False, 1))
    with pytest.raises(ProtocolError, match="more than 5 frames are under way"):
        joiner.add(Piece(0, 6, b"", False, 1))


def test_a_transfer_announces_one_size() -> None:
    """M7: what is announced counts from the first piece on, so no later one may say otherwise."""
    joiner = Joiner()
    joiner.add(Piece(1, 1, b"x" * 10, False, 100))
    with pytest.raises(ProtocolError, match="100 bytes were announced"):
        joiner.add(Piece(1, 1, b"x" * 10, False, 1 << 20))


def _under_way(box: Outbox) -> list[int]:
    """Take all messages; return what the other side's transfers announce after each."""
    joiner, announced = Joiner(), []
    for message in _messages(box):
        for frame in message:
            if isinstance(frame, Piece):
                joiner.add(frame)
        announced.append(joiner.announced)
    return announced


@pytest.mark.parametrize("size", [80_000, 300_000, 1_000_000])
def test_legal_frames_together_never_exceed_the_other_sides_limit(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """M7: transfers wait at the sender while others have begun, whatever their size."""
    monkeypatch.setattr(outbox, "TOGETHER_BYTES", 400_000)
    box = _filled(*(Result(call, b"x" * size) for call in range(1, 20)))
    assert max(_under_way(box)) <= max(400_000, size + 1000)


def test_a_long_transfer_keeps_no_shorter_one_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """M7: those that go alone wait for each other, and the others have room of their own."""
    monkeypatch.setattr(outbox, "TOGETHER_BYTES", 400_000)
    long = [Result(call, b"x" * 3_000_000) for call in (1, 2)]
    box = _filled(*long, Result(3, b"y" * 100_000), Result(4, b"z" * 100_000))
    assert {frame.call for frame in box.take()} == {1, 3, 4}
    ends = [one.call for message in _messages(box) for one in message if one.last]  # type: ignore[union-attr]
    assert ends[-2:] == [1, 2]


@pytest.mark.parametrize("over", [0, 1], ids=["its payload", "all that it carries"])
def test_a_frame_that_is_too_long_is_refused_before_it_is_queued(
    monkeypatch: pytest.MonkeyPatch, over: int
) -> None:
    """R2, M7: the sender looks at sizes before it works, and nothing has changed then."""
    monkeypatch.setattr(outbox, "FRAME_LIMIT", 100_000)
    box = _filled(Next(1))
    frame = Result(2, b"x" * 200_000) if over else Result(2, b"x" * 99_990)
    with pytest.raises(outbox.FrameTooLong, match=r"bytes, and the limit is 100,000"):
        box.put(frame)
    assert _messages(box) == [[Next(1)]]


def test_a_box_that_is_cleared_holds_nothing() -> None:
    """M7: what a dead link would have sent is let go of."""
    box = _filled(Next(1), *(Result(call, b"x" * 200_000) for call in range(2, 9)))
    box.take()
    box.clear()
    assert box.bytes == 0
    box.put(Result(20, b"x" * 200_000))
    assert _arrived(_messages(box)) == [Result(20, b"x" * 200_000)]


def test_a_frame_of_another_size_than_announced_is_refused() -> None:
    """M7: fewer bytes than announced are an error at the last piece."""
    joiner = Joiner()
    joiner.add(Piece(1, 1, b"x" * 10, False, 100))
    with pytest.raises(ProtocolError, match="100 bytes were announced, 20 came"):
        joiner.add(Piece(1, 1, b"x" * 10, True, 100))


def test_more_than_was_announced_is_refused_when_it_comes() -> None:
    """M7: a peer that announces little and sends much is stopped before that is kept."""
    joiner = Joiner()
    joiner.add(Piece(1, 1, b"x" * 60, False, 100))
    with pytest.raises(ProtocolError):
        joiner.add(Piece(1, 1, b"x" * 60, False, 100))


def test_pieces_that_make_no_frame_are_refused() -> None:
    """M7: what is put together is decoded like any frame."""
    with pytest.raises(ProtocolError, match="does not parse"):
        Joiner().add(Piece(1, 1, b"\xff\xff\xff", True, 3))
