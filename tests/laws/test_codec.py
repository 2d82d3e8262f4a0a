"""Laws of the codec, for frames and manifests of any content."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from catena.context.manifest import ChainManifest, Entry, EntryKind
from catena.errors import ProtocolError
from catena.link.service import parse
from catena.wire import codec
from catena.wire.frames import (
    Ack,
    Cancel,
    ExceptionFrame,
    Frame,
    Goodbye,
    Hello,
    Nack,
    NackCode,
    Next,
    Piece,
    Result,
    Send,
    Task,
    Throw,
    Unknown,
)
from catena.wire.v1 import catena_pb2 as pb

# What UTF-8 can say: protobuf strings hold no lone surrogates.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
data = st.binary(max_size=40)
calls = st.integers(0, 2**64 - 1)
small = st.integers(0, 2**32 - 1)
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
    st.lists(entries, max_size=3).map(codec.pack),
    st.booleans(),
    ledgers,
    ledgers,
    st.dictionaries(text, text, max_size=3),
)
carried = st.none() | manifests

# The routine's name stands beside the body of a callable, not beside its number alone.
bodies = st.just(("", b"")) | st.tuples(text, st.binary(min_size=1, max_size=40))
tasks = st.builds(
    lambda call, function, payload, stream, body, proxy, proxy_id: Task(
        call, function, payload, body[0], stream, body[1], proxy, proxy_id
    ),
    calls,
    small,
    data,
    st.booleans(),
    bodies,
    data,
    data,
)
frames: st.SearchStrategy[Frame] = st.one_of(
    tasks,
    st.builds(Next, calls, carried),
    st.builds(Send, calls, data, carried),
    st.builds(Throw, calls, data, carried),
    st.builds(Cancel, calls),
    st.builds(Nack, calls, st.sampled_from(NackCode), text),
    st.builds(Result, calls, data, carried, st.booleans(), st.booleans()),
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
    ),
    st.builds(Goodbye, calls, text),
    st.builds(Piece, calls, calls, data, st.booleans(), calls),
)

# Acks are packed: a message tells them before all of its other frames.
with_acks = frames | st.builds(Ack, calls)

# A field that no message has: number 1000, a string of three bytes.
NEWS = b"\xc2\x3e\x03new"


@given(st.lists(with_acks, max_size=6))
def test_a_message_returns_its_frames_in_order(batch: list[Frame]) -> None:
    """M7: what is written is what is read, Acks first, class and order included."""
    again = codec.decode(codec.encode(batch))
    first = sorted(batch, key=lambda frame: type(frame) is not Ack)

    assert again == first
    assert [type(one) for one in again] == [type(one) for one in first]


@given(frames)
def test_a_frame_alone_is_the_frame_in_a_message(frame: Frame) -> None:
    """M7: a frame that leaves in pieces is the same frame."""
    assert codec.decode_frame(codec.encode_frame(frame)) == frame
    assert codec.decode(codec.encode([frame])) == [frame]


@given(frames)
def test_unknown_fields_are_tolerated_and_stop_there(frame: Frame) -> None:
    """V2: a newer peer's fields, in the frame or inside its kind, change nothing here."""
    message = pb.Frame.FromString(codec.encode_frame(frame))
    kind = message.WhichOneof("kind")
    assert kind is not None
    getattr(message, kind).MergeFromString(NEWS)
    message.MergeFromString(NEWS)
    read = codec.decode_frame(message.SerializeToString())

    assert message.SerializeToString().count(b"\x03new") == 2
    assert read == frame
    assert b"\x03new" not in codec.encode_frame(read)


@given(manifests)
def test_a_manifest_comes_back_and_makes_the_same_bytes(manifest: ChainManifest) -> None:
    """M1: the same manifest makes the same bytes, whatever the order of its maps and ledgers."""
    bytes_ = codec.encode_manifest(manifest)
    turned = manifest._replace(
        spent=manifest.spent[::-1],
        live=manifest.live[::-1],
        carrier=dict(reversed(list(manifest.carrier.items()))),
    )

    assert codec.decode_manifest(bytes_) == manifest
    assert codec.encode_manifest(turned) == bytes_


@given(st.lists(entries, max_size=5))
def test_a_block_of_entries_comes_back_and_makes_the_same_bytes(some: list[Entry]) -> None:
    """M1: entries are packed deterministically and read as they were."""
    block = codec.pack(some)

    assert codec.unpack(block) == tuple(some)
    assert codec.pack(codec.unpack(block)) == block


@given(data, st.lists(st.tuples(text, text), max_size=3))
def test_a_proxy_comes_back(id: bytes, members: list[tuple[str, str]]) -> None:
    """P1: what Task.proxy holds names the pool and its workers in order."""
    assert codec.decode_proxy(codec.encode_proxy(id, members)) == (id, tuple(members))


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_frames_or_a_protocol_error(junk: bytes) -> None:
    """M7: decoding raises nothing but ProtocolError, whatever comes."""
    told = parse(junk)
    if isinstance(told, ProtocolError):
        assert f"a message of {len(junk)} bytes does not parse" in str(told)
    else:
        known = [one for one in told if type(one) is not Unknown]
        assert codec.decode(codec.encode(known)) == known


@given(st.lists(frames, min_size=1, max_size=3), st.data())
def test_a_message_cut_short_never_reads_as_another(
    batch: list[Frame], choose: st.DataObject
) -> None:
    """M7: a truncated message is refused, or holds a beginning of what was sent."""
    whole = codec.encode(batch)
    cut = whole[: choose.draw(st.integers(0, len(whole) - 1))]
    try:
        some = codec.decode(cut)
    except ProtocolError:
        return
    assert some == batch[: len(some)]
    assert len(some) < len(batch)
