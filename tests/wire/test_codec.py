"""The codec: examples of what the laws do not say."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from catena.errors import ChainSerializationError, ProtocolError
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from catena.wire import codec, frames, manifests as closed, versions
from catena.wire.frames import Nack, NackCode, Next, Result, Task, Unknown
from catena.wire.v1 import catena_pb2 as pb

NOT_PROTOBUF = b"\xff\xff\xff\xff"


def test_bytes_that_do_not_parse_are_a_protocol_error() -> None:
    """M7: an unparsable message, frame, manifest or proxy is a ProtocolError."""
    with pytest.raises(ProtocolError, match="message of 4 bytes does not parse"):
        codec.decode_message(NOT_PROTOBUF)
    with pytest.raises(ProtocolError, match="frame of 4 bytes does not parse"):
        codec.decode_frame(NOT_PROTOBUF)
    with pytest.raises(ProtocolError, match="manifest does not parse"):
        closed.decode_manifest(NOT_PROTOBUF)
    with pytest.raises(ProtocolError, match="proxy does not parse"):
        codec.decode_proxy(NOT_PROTOBUF)


def test_text_that_is_not_utf8_is_a_protocol_error() -> None:
    """M7: a string field of arbitrary bytes does not reach anybody as text."""
    goodbye = b"\x62\x03\x0a\x01\xff"
    with pytest.raises(ProtocolError):
        codec.decode_frame(goodbye)


def test_entries_that_do_not_parse_are_a_chain_error() -> None:
    """M2: a block that is no block is a ChainSerializationError, found when it is opened."""
    with pytest.raises(ChainSerializationError, match="do not parse"):
        closed.unpack_entries(NOT_PROTOBUF)
    drive = Next(1, ChainManifest(b"", b"", NOT_PROTOBUF))
    assert codec.decode_message(codec.encode_message([drive])).frames == [drive]


def test_a_message_says_when_it_left() -> None:
    """P14: it stands in the message as a field of its own, wherever the sender put it."""
    message = codec.encode_message([Next(1)], 5_000_000_000)
    assert codec.decode_message(message) == codec.Batch([Next(1)], 5_000_000_000)
    ahead = pb.Batch(sent_at_ns=5_000_000_000).SerializeToString() + codec.encode_message([Next(1)])
    assert codec.decode_message(ahead) == codec.decode_message(message)


def test_a_message_need_not_say_when_it_left() -> None:
    """P14: time counts from reading where the sender's clock is not known."""
    assert codec.decode_message(codec.encode_message([Next(1)])).sent_at_ns == 0
    assert codec.decode_message(b"") == codec.Batch([], 0)


SURROGATE = "caf\udce9"


@pytest.mark.parametrize(
    "frame",
    [
        Task(1, 1, b"", SURROGATE, callable=b"c"),
        frames.Nack(1, NackCode.UNLOADABLE, SURROGATE),
        frames.Cancel(1, SURROGATE),
        frames.Goodbye(0, SURROGATE),
        versions.make_hello(SURROGATE),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_a_text_for_people_is_written_with_its_surrogates_escaped(frame: frames.Frame) -> None:
    """M7: what UTF-8 cannot say is no reason to lose a frame, or those that leave with it."""
    (read,) = codec.decode_message(codec.encode_message([frame])).frames
    assert type(read) is type(frame)
    assert "caf\\udce9" in read


@pytest.mark.parametrize(
    "kind",
    [b"", b"\xf2\x06\x03new", b"\xa8\x06\x01"],
    ids=["no kind", "a message", "a number"],
)
def test_a_frame_of_an_unknown_kind_is_unknown(kind: bytes) -> None:
    """V2: a kind that this version does not know keeps its call and is named unknown."""
    data = b"\x08\x05" + kind
    assert codec.decode_frame(data) == Unknown(5)
    assert codec.decode_frame(data).symbol == "unknown"
    message = b"\x0a" + bytes([len(data)]) + data
    assert codec.decode_message(message + codec.encode_message([Next(6)])).frames == [
        Unknown(5),
        Next(6),
    ]


def test_an_unknown_code_or_kind_reads_as_the_weakest() -> None:
    """V2: a later version's nack is unspecified here, its entry kind is a lost value."""
    nack = pb.Frame(call=1, kind=pb.Frame.NACK)
    nack.nack.MergeFromString(b"\x08\x63")
    assert codec.decode_frame(nack.SerializeToString()) == Nack(1, NackCode.UNSPECIFIED)

    block = pb.Entries()
    block.entries.add(namespace="a", name="b").MergeFromString(b"\x18\x63")
    assert closed.unpack_entries(block.SerializeToString())[0].kind is EntryKind.LOST


def test_no_manifest_and_an_empty_one_are_two_things() -> None:
    """M1: absent says nothing; present with an empty chain id says that the sender is unarmed."""
    nothing, empty = Result(1, b"x"), Result(1, b"x", ChainManifest(b""))
    assert codec.decode_message(codec.encode_message([nothing, empty])).frames == [nothing, empty]
    assert codec.encode_message([nothing]) != codec.encode_message([empty])


def test_a_default_of_no_bytes_is_not_no_default() -> None:
    """C12: whether a variable has a default travels, even when its encoding is empty."""
    key = ("a", "b")
    some = (Entry(key, EntryKind.VALUE, b"", False, b""), Entry(key, EntryKind.VALUE))
    assert closed.unpack_entries(closed.pack_entries(some)) == some


def test_a_manifest_has_the_same_bytes_under_any_hash_seed() -> None:
    """M1: same entries, same bytes, in any process."""
    program = (
        "from catena.transfer.manifest import *\n"
        "from catena.wire import manifests as closed\n"
        "entries = [Entry(('a', str(n)), EntryKind.VALUE, b'v') for n in range(5)]\n"
        "carrier = {str(n): str(n) for n in set('abcdefgh')}\n"
        "m = ChainManifest(b'i' * 16, b'', closed.pack_entries(entries), carrier=carrier)\n"
        "print(closed.encode_manifest(m).hex())\n"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=30,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(made) == 1
    assert len(made.pop()) > 100


def test_every_kind_of_the_proto_has_its_row() -> None:
    """M7: no kind of the proto is left out of the table, no other is in it, and no class is."""
    # Ack stands beside the kinds, packed.
    assert pb.Batch.DESCRIPTOR.fields_by_name["acks"].type
    kinds = {number: name for name, number in pb.Frame.Kind.items() if number}
    classes = {
        one
        for one in vars(frames).values()
        if isinstance(one, type) and issubclass(one, tuple) and one.__module__ == frames.__name__
        if one not in (Unknown, frames.Ack)
    }
    rows = {row.kind: row.frame for row in codec._TABLE}
    assert [*rows] == [*kinds]
    assert {*rows.values()} == classes
    for number, frame in rows.items():
        name = "TASK" if kinds[number] == "STREAM" else kinds[number]
        assert frame.__name__.removesuffix("Frame").upper() == name


@pytest.mark.parametrize(
    "frame",
    [
        Task(1, 1, b"p" * 5000, "name", False, b"c" * 500, b"x" * 300, b"i" * 16),
        Next(1, ChainManifest(b"i" * 16, b"p" * 16, b"e" * 5000)),
        Result(1, b"p" * 5000, ChainManifest(b"i" * 16, b"", b"e" * 500)),
        frames.Send(1, b"p" * 5000),
        frames.Throw(1, b"p" * 5000),
        frames.ExceptionFrame(1, b"p" * 5000),
        frames.Piece(1, 1, b"p" * 5000, True, 5000),
        frames.Nack(1, NackCode.UNLOADABLE, "t" * 5000),
        frames.Cancel(1),
        frames.Ack(1),
        Next(1, ChainManifest(b"i" * 16, live=tuple([b"t" * 16] * 3000))),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_the_weight_is_about_the_size(frame: frames.Frame) -> None:
    """M7: messages are cut by weights, so a weight is close to the bytes it stands for."""
    assert abs(len(codec.encode_message([frame])) - frame.weight) < 100


@pytest.mark.parametrize("symbol", ["return", "return+", "yield", "yield+"])
def test_a_result_is_one_of_four_symbols(symbol: str) -> None:
    """M7: return and yield, each before and after a Cancel, are two flags on the wire."""
    result = Result(1, b"", None, symbol)
    message = pb.Frame.FromString(codec.encode_frame(result))
    assert (message.more, message.after_cancel) == (result.more, result.after_cancel)
    assert (result.more, result.after_cancel) == ("yield" in symbol, "+" in symbol)
    assert codec.decode_frame(codec.encode_frame(result)) == result


def test_the_symbol_of_a_task_says_what_it_opens() -> None:
    """M7: a coroutine or a generator, with a table of legal frames each."""
    assert [Task(1, 1, b"", stream=stream).symbol for stream in (False, True)] == ["task", "stream"]
