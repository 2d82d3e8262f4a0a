"""Laws of the codec, for frames and manifests of any content."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import strategies as st

from catena.errors import ProtocolError
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from catena.wire import codec, manifests as closed
from catena.wire.frames import (
    Ack,
    Cancel,
    Decline,
    ExceptionFrame,
    Frame,
    Goodbye,
    Hello,
    Members,
    Nack,
    NackCode,
    Next,
    Offer,
    Piece,
    Ping,
    Pong,
    Result,
    Send,
    Task,
    Throw,
    Unknown,
    Want,
)
from catena.wire.v1 import catena_pb2 as pb
from tests.laws.law import Seen, law

# What UTF-8 can say: protobuf strings hold no lone surrogates.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
data = st.binary(max_size=40)
tags = st.frozensets(st.sampled_from(["eu", "gpu", "größer als 8 GB"]))
calls = st.integers(0, 2**64 - 1)
small = st.integers(0, 2**32 - 1)
numbers = st.just(0) | st.integers(1, 2**64 - 1)
ids = st.just(b"") | st.binary(min_size=16, max_size=16)
ledgers = st.lists(st.binary(min_size=16, max_size=16), max_size=3, unique=True).map(
    lambda some: tuple(sorted(some))
)

entries = st.builds(
    Entry,
    st.tuples(text, text),
    st.sampled_from(EntryKind),
    data,
    st.booleans(),
    st.none() | data,
)
manifests = st.builds(
    ChainManifest,
    ids,
    ids,
    st.lists(entries, max_size=3).map(closed.pack_entries),
    st.booleans(),
    numbers,
    numbers,
    ledgers,
    ledgers,
    st.dictionaries(text, text, max_size=3),
    # What was found wrong on reading is not written.
    flaw=st.just(""),
)
carried = st.none() | manifests

# The routine's name stands beside the body of a callable, not beside its number alone.
bodies = st.just(("", b"")) | st.tuples(text, st.binary(min_size=1, max_size=40))
tasks = st.builds(
    lambda call, function, payload, stream, body, proxy, proxy_id, drives, slots: Task(
        call,
        function,
        payload,
        body[0],
        stream,
        body[1],
        proxy,
        proxy_id,
        # Its first drive is one of the same call.
        next((Next(call, manifest) for manifest in drives), None),
        slots=slots,
        offered=slots % 2 == 1,
    ),
    calls,
    small,
    data,
    st.booleans(),
    bodies,
    data,
    data,
    st.lists(carried, max_size=1),
    st.just(0) | small,
)
frames: st.SearchStrategy[Frame] = st.one_of(
    tasks,
    st.builds(Next, calls, carried),
    st.builds(Send, calls, data, carried),
    st.builds(Throw, calls, data, carried),
    st.builds(Cancel, calls, st.none() | text),
    st.builds(Nack, calls, st.sampled_from(NackCode), text, small),
    st.builds(Result, calls, data, carried, st.sampled_from(("return", "return+"))),
    st.builds(Result, calls, data, carried, st.sampled_from(("yield", "yield+"))),
    st.builds(ExceptionFrame, calls, data, carried),
    st.builds(
        Hello,
        calls,
        small,
        small,
        text,
        st.lists(text, max_size=3).map(tuple),
        text,
        st.integers(0, 2**63),
        text,
        st.lists(text, max_size=3).map(tuple),
        data,
        small,
    ),
    st.builds(Goodbye, calls, text),
    st.builds(Piece, calls, calls, data, st.booleans(), calls),
    st.builds(Ping, calls, calls),
    st.builds(Pong, calls, calls),
    st.builds(Members, calls, data),
    st.builds(Want, calls, small),
    st.builds(Offer, calls, small),
    st.builds(Decline, calls, small),
)

# Acks are packed: a message has them before all of its other frames.
acks = st.builds(Ack, calls)
with_acks = st.booleans().flatmap(lambda ack: acks if ack else frames)

# A field that no message has: number 1000, a string of three bytes.
NEWS = b"\xc2\x3e\x03new"


_PARTS = ("task", "nack", "hello", "goodbye", "piece", "carrier", "cancel", "ping", "slots")


# One frame of each kind comes before the random ones.
ONE_OF_EACH: tuple[Frame, ...] = (
    Task(1, 2, b"arguments", "routine", True, b"callable", b"proxy", b"id"),
    Task(1, 2, b"arguments", drive=Next(1)),
    Task(1, 2, b"arguments", drive=Next(1, ChainManifest(bytes(16), base=2**64 - 1, name=1))),
    Next(1, ChainManifest(b"")),
    Send(1, b"value"),
    Throw(1, b"error"),
    Task(1, 2, b"arguments", timeout_ns=3, dispatch_timeout_ns=4, sent_at_ns=0),
    Task(1, 2, b"arguments", timeout_ns=3, kill_after_ns=0),
    Cancel(1),
    Cancel(1, ""),
    Cancel(1, "the reason"),
    Nack(1, NackCode.BUSY, "text", 2),
    Task(1, 2, b"arguments", slots=3, offered=True),
    Result(1, b"value", None, "yield"),
    ExceptionFrame(1, b"error"),
    Hello(0, 1, 2, "software", ("one", "two"), "peer", 3, "boot", ("gpu",), b"secret"),
    Goodbye(0, "reason"),
    Piece(1, 2, b"data", True, 4),
    Ping(0, 7),
    Pong(0, 7),
    Members(0, b"proxy"),
    Want(0, 1),
    Offer(0, 2),
    Decline(0, 3),
)
EVERY_KIND = dict.fromkeys((type(one).__name__ for one in ONE_OF_EACH), 1) | {
    "a large call id": 5,
    "with a manifest": 20,
    "without a manifest": 5,
    "yield": 1,
    "a Cancel with a text": 2,
    "a Task alone": 1,
    "a Task that drives": 2,
}

FRAMES = tuple((one,) for one in ONE_OF_EACH)


def count_frames(seen: Seen, batch: list[Frame]) -> None:
    """Count the kinds of frames, and what of them is easily lost."""
    for one in batch:
        frame: Any = one
        seen[type(frame).__name__] += 1
        seen["a large call id"] += frame.call >= 2**32
        seen["a Cancel with a text"] += isinstance(one, Cancel) and one.text is not None
        match frame:
            case Result(symbol="yield" | "yield+"):
                seen["yield"] += 1
            case Task(drive=None):
                seen["a Task alone"] += 1
                continue
            case Task(drive=drive):
                seen["a Task that drives"] += 1
                frame = drive
            case Nack() | Hello() | Goodbye() | Piece() | Ping() | Pong() | Ack():
                continue
            case Cancel() | Members():
                continue
            case Want() | Offer() | Decline():
                continue
            case _:
                pass
        manifest = getattr(frame, "manifest", None)
        seen["without a manifest"] += manifest is None
        seen["with a manifest"] += manifest is not None


def count_manifest(seen: Seen, manifest: ChainManifest) -> None:
    """Count what a manifest may have and may lack."""
    seen["without a chain id"] += not manifest.chain_id
    seen["a parent"] += bool(manifest.parent_id)
    seen["delta"] += not manifest.whole
    seen["a base"] += manifest.base > 0
    seen["a name"] += manifest.name > 0
    seen["several ids"] += len(manifest.spent) > 1 or len(manifest.live) > 1
    seen["several fields"] += len(manifest.carrier) > 1


@law(
    st.lists(with_acks, max_size=8),
    first=(([*ONE_OF_EACH, Ack(1)],),),
    examples=150,
    floors={**EVERY_KIND, "Ack": 60, "an Ack to be moved": 20},
)
def test_a_message_returns_its_frames_in_order(seen: Seen, batch: list[Frame]) -> None:
    """M7: what is written is what is read, Acks first, class and order included."""
    count_frames(seen, batch)
    again = codec.decode_message(codec.encode_message(batch)).frames
    first = sorted(batch, key=lambda frame: type(frame) is not Ack)
    seen["an Ack to be moved"] += first != batch

    assert again == first
    assert [type(one) for one in again] == [type(one) for one in first]


@law(frames, first=FRAMES, examples=200, floors=EVERY_KIND)
def test_a_frame_alone_is_the_frame_in_a_message(seen: Seen, frame: Frame) -> None:
    """M7: a frame that leaves in pieces is the same frame."""
    count_frames(seen, [frame])
    assert codec.decode_frame(codec.encode_frame(frame)) == frame
    assert codec.decode_message(codec.encode_message([frame])).frames == [frame]


@law(frames, first=FRAMES, examples=200, floors=EVERY_KIND)
def test_unknown_fields_are_tolerated_and_stop_there(seen: Seen, frame: Frame) -> None:
    """V2: a newer peer's fields, in the frame or inside its parts, change nothing here."""
    count_frames(seen, [frame])
    message = pb.Frame.FromString(codec.encode_frame(frame))
    parts = [name for name in _PARTS if message.HasField(name)]
    for name in parts:
        getattr(message, name).MergeFromString(NEWS)
    message.MergeFromString(NEWS)
    read = codec.decode_frame(message.SerializeToString())

    assert message.SerializeToString().count(NEWS) >= 1 + len(parts)
    assert read == frame
    message = pb.Frame.FromString(codec.encode_frame(read))
    # In an order of its own: the fields of a carrier have none.
    written = message.SerializeToString(deterministic=True)
    message.DiscardUnknownFields()
    assert message.SerializeToString(deterministic=True) == written


@law(
    manifests,
    floors={
        "without a chain id": 15,
        "a parent": 10,
        "delta": 15,
        "a base": 20,
        "a name": 20,
        "several ids": 15,
        "several fields": 5,
    },
)
def test_a_manifest_comes_back_and_makes_the_same_bytes(
    seen: Seen, manifest: ChainManifest
) -> None:
    """M1: the same manifest makes the same bytes, whatever the order of its maps and ledgers."""
    count_manifest(seen, manifest)
    bytes_ = closed.encode_manifest(manifest)
    turned = manifest._replace(
        spent=manifest.spent[::-1],
        live=manifest.live[::-1],
        carrier=dict(reversed(list(manifest.carrier.items()))),
    )

    assert closed.decode_manifest(bytes_) == manifest
    assert closed.encode_manifest(turned) == bytes_


@law(
    st.lists(entries, max_size=5),
    floors={
        "VALUE": 30,
        "RESET": 30,
        "LOST": 30,
        "forward": 50,
        "no default": 30,
        "an empty default": 2,
    },
)
def test_a_block_of_entries_comes_back_and_makes_the_same_bytes(
    seen: Seen, some: list[Entry]
) -> None:
    """M1: entries are packed deterministically and read as they were."""
    for entry in some:
        seen[entry.kind.name] += 1
        seen["forward"] += entry.forward
        seen["no default"] += entry.default is None
        seen["an empty default"] += entry.default == b""
    block = closed.pack_entries(some)

    assert closed.unpack_entries(block) == tuple(some)
    assert closed.pack_entries(closed.unpack_entries(block)) == block


@law(
    data,
    st.lists(
        st.builds(codec.MemberFacts, text, text, st.booleans(), st.booleans(), data, tags),
        max_size=3,
    ),
    st.integers(0, 2**64 - 1),
    floors={
        "an id": 30,
        "several members": 20,
        "a member that was found": 20,
        "a member with tags": 20,
        "a member with a certificate of its own": 20,
        "a later epoch": 30,
    },
)
def test_a_proxy_comes_back(
    seen: Seen, id: bytes, members: list[codec.MemberFacts], epoch: int
) -> None:
    """P1, P2: the entry of the proxy names the pool, its workers in order, and their epoch."""
    seen["a later epoch"] += epoch > 0
    seen["an id"] += bool(id)
    seen["several members"] += len(members) > 1
    seen["a member that was found"] += any(one.found for one in members)
    seen["a member with tags"] += any(one.tags for one in members)
    seen["a member with a certificate of its own"] += any(one.leaf for one in members)
    encoded = codec.encode_proxy(id, members, epoch)
    assert codec.decode_proxy(encoded) == (id, tuple(members), epoch, 0)


def damage(batch: list[Frame], at: int, byte: int) -> bytes:
    """Return a message with one byte exchanged."""
    message = bytearray(codec.encode_message(batch))
    if message:
        message[at % len(message)] = byte
    return bytes(message)


damaged = st.builds(
    damage, st.lists(with_acks, max_size=2), st.integers(0, 200), st.integers(0, 255)
)


# A frame of a kind that this version does not know.
newer = st.builds(
    lambda batch, call: (
        codec.encode_message(batch) + b"\n" + bytes([len(NEWS) + 2, 8, call]) + NEWS
    ),
    st.lists(with_acks, max_size=2),
    st.integers(0, 127),
)


def parses(junk: bytes) -> pb.Batch | None:
    """Return what protobuf itself makes of the bytes; what is wrong in a manifest costs that."""
    try:
        return pb.Batch.FromString(junk)
    except DecodeError:
        return None


def in_order(frame: Frame) -> Frame:
    """Return a frame whose ledgers are sorted, as we write them whoever sent them."""
    if type(frame) is Task:
        drive: Any = frame.drive and in_order(frame.drive)
        return frame._replace(drive=drive)
    manifest = getattr(frame, "manifest", None)
    if manifest is None:
        return frame
    spent, live = tuple(sorted(manifest.spent)), tuple(sorted(manifest.live))
    ordered: Any = manifest._replace(spent=spent, live=live, flaw="")
    return frame._replace(manifest=ordered)  # type: ignore[call-arg]


@law(
    st.binary(max_size=60) | damaged | newer,
    examples=300,
    floors={"refused": 60, "frames": 30, "unknown frames": 20},
)
def test_any_bytes_are_frames_or_a_protocol_error(seen: Seen, junk: bytes) -> None:
    """M7: decoding raises nothing but ProtocolError, whatever comes."""
    batch = parses(junk)
    if batch is None:
        seen["refused"] += 1
        with pytest.raises(ProtocolError, match="does not parse"):
            codec.decode_message(junk)
    else:
        read = codec.decode_message(junk).frames
        assert len(read) == len(batch.acks) + len(batch.frames)
        known = [one for one in read if type(one) is not Unknown]
        seen["frames"] += len(known)
        seen["unknown frames"] += len(read) - len(known)
        assert codec.decode_message(codec.encode_message(known)).frames == [
            in_order(one) for one in known
        ]


@law(
    st.lists(frames, min_size=1, max_size=4),
    floors={"refused": 2000, "a beginning": 50, "nothing": 50},
)
def test_a_message_cut_short_never_reads_as_another(seen: Seen, batch: list[Frame]) -> None:
    """M7: a truncated message is refused, or holds a beginning of what was sent."""
    whole = codec.encode_message(batch)
    for length in range(len(whole)):
        try:
            some = codec.decode_message(whole[:length]).frames
        except ProtocolError:
            seen["refused"] += 1
            continue
        seen["a beginning" if some else "nothing"] += 1
        assert some == batch[: len(some)]
        assert len(some) < len(batch)
