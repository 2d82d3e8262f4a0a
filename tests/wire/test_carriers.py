"""Carriers: they travel beside the manifest that they belong to, which stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from catena.errors import ProtocolError
from catena.events.carrier import CARRIER_LIMIT, OVERSIZED
from catena.transfer.manifest import NO_CHAIN, ChainManifest
from catena.wire import codec
from catena.wire.frames import ExceptionFrame, Frame, Next, Result, Send, Task, Throw
from catena.wire.manifests import decode_manifest, encode_manifest
from catena.wire.v1 import catena_pb2 as pb

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADER = {"traceparent": PARENT}
SENT = {"traceparent": PARENT, "catena-sent": "1" * 19}
CHAIN = ChainManifest(b"c" * 16, b"p" * 16, base=300)

FRAMES: dict[str, Callable[[ChainManifest | None], Any]] = {
    "task": lambda manifest: Task(1, 2, b"payload", drive=Next(1, manifest)),
    "stream": lambda manifest: Task(
        1, 2, b"payload", "name", True, b"body", drive=Next(1, manifest)
    ),
    "next": lambda manifest: Next(1, manifest),
    "send": lambda manifest: Send(1, b"payload", manifest),
    "throw": lambda manifest: Throw(1, b"payload", manifest),
    "return": lambda manifest: Result(1, b"payload", manifest),
    "yield": lambda manifest: Result(1, b"payload", manifest, "yield"),
    "exception": lambda manifest: ExceptionFrame(1, b"payload", manifest),
}
every_kind = pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
CARRIERS = [HEADER, SENT, {"": ""}, {"é": "ü"}, {"a": "x" * 8000}]
CHAINS = [
    NO_CHAIN,
    ChainManifest(b"c" * 16),
    CHAIN,
    ChainManifest(b"c" * 16, b"p" * 16, whole=False),
    ChainManifest(b"", whole=False),
    ChainManifest(b"", base=1),
    ChainManifest(b"", b"p" * 16),
    ChainManifest(b"", b"", b"e" * 20),
    ChainManifest(b"c" * 16, b"p" * 16, b"e" * 200, base=300, name=7),
    ChainManifest(b"c" * 16, spent=(b"s" * 16,), live=(b"l" * 16,)),
]


def manifest_of(frame: Any) -> ChainManifest | None:
    """Return the manifest of a frame, or of the drive inside it."""
    return frame.drive.manifest if isinstance(frame, Task) and frame.drive else frame.manifest


def message(frame: Frame) -> pb.Frame:
    """Return a frame as protobuf has it."""
    return pb.Frame.FromString(codec.encode_frame(frame))


def read(frame: pb.Frame) -> ChainManifest:
    """Return the manifest that the codec finds in a frame."""
    manifest = manifest_of(codec.decode_frame(frame.SerializeToString()))
    assert manifest is not None
    return manifest


@every_kind
@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda one: str(one)[:30])
@pytest.mark.parametrize("chain", CHAINS, ids=range(len(CHAINS)))
def test_a_carrier_arrives_with_its_manifest(
    make: Callable[[ChainManifest | None], Frame], chain: ChainManifest, carrier: dict[str, str]
) -> None:
    """M1, M9: every kind of frame brings both, and its manifest has the bytes of the untraced."""
    frame, bare = make(chain.carrying(carrier)), make(chain)

    assert codec.decode_message(codec.encode_message([frame, bare])).frames == [frame, bare]
    assert codec.decode_frame(codec.encode_frame(frame)) == frame
    assert message(frame).manifest == message(bare).manifest
    assert not pb.Manifest.FromString(message(frame).manifest).HasField("carrier")


@every_kind
def test_a_frame_without_a_carrier_has_no_field_of_it(
    make: Callable[[ChainManifest | None], Frame],
) -> None:
    """C4: who is not traced sends nothing more, with a chain, without one, and unarmed."""
    for manifest in (None, NO_CHAIN, CHAIN, CHAIN.carrying(OVERSIZED)):
        frame = make(manifest)
        assert not message(frame).HasField("carrier")
        assert not message(frame).trace
        assert message(frame).HasField("manifest") == (manifest is not None)
        assert codec.decode_frame(codec.encode_frame(frame)) == frame


@every_kind
def test_a_carrier_alone_stands_beside_an_empty_manifest(
    make: Callable[[ChainManifest | None], Frame],
) -> None:
    """C4: an unarmed call that is traced brings its carrier and nothing else."""
    frame = make(ChainManifest(b"", carrier=HEADER))

    assert message(frame).HasField("manifest")
    assert message(frame).manifest == b""
    assert codec.decode_frame(codec.encode_frame(frame)) == frame


@every_kind
@pytest.mark.parametrize("chain", [NO_CHAIN, CHAIN], ids=["alone", "beside a chain"])
def test_a_carrier_beyond_the_limit_costs_itself_alone(
    make: Callable[[ChainManifest | None], Frame], chain: ChainManifest
) -> None:
    """Trust: a frame's carrier has the limit of a manifest's."""
    text = "x" * (CARRIER_LIMIT - 9)
    fits = chain.carrying({"a": text})
    assert message(make(fits)).carrier.ByteSize() == CARRIER_LIMIT
    assert read(message(make(fits))) == fits
    for long in ({"a": text + "x"}, {str(n): "x" * 100 for n in range(2000)}):
        manifest = read(message(make(chain.carrying(long))))
        assert manifest.carrier is OVERSIZED
        assert manifest == chain


@every_kind
def test_the_frames_own_carrier_wins(make: Callable[[ChainManifest | None], Frame]) -> None:
    """V1: a carrier inside a frame's manifest is read, unless the frame has one itself."""
    for chain in CHAINS:
        frame = message(make(CHAIN))
        frame.manifest = encode_manifest(chain.carrying({"inside": "x"}))
        assert read(frame) == chain.carrying({"inside": "x"})
        frame.carrier.fields.update(HEADER)
        assert read(frame) == chain.carrying(HEADER)
        frame.carrier.fields["long"] = "x" * CARRIER_LIMIT
        assert read(frame).carrier is OVERSIZED


def test_a_manifest_that_is_none_keeps_the_carrier() -> None:
    """M6: a call whose chain cannot be read is traced all the same."""
    frame = message(Next(1, CHAIN.carrying(HEADER)))
    frame.manifest = b"\xff" * 40

    manifest = read(frame)

    assert "does not parse" in manifest.flaw
    assert manifest.carrier == HEADER


def test_a_carrier_without_a_manifest_says_nothing() -> None:
    """V1: it is the manifest's, and a frame without one changes nothing."""
    frame = pb.Frame(call=1, kind=pb.Frame.NEXT)
    frame.carrier.fields.update(HEADER)
    assert codec.decode_frame(frame.SerializeToString()) == Next(1)


def test_a_carrier_of_no_fields_is_none() -> None:
    """V1: a carrier that is there and empty says as little as none."""
    frame = pb.Frame(call=1, kind=pb.Frame.NEXT, manifest=b"", carrier=pb.Carrier())
    assert frame.HasField("carrier")
    assert read(frame) == NO_CHAIN


def test_what_a_trace_costs_in_bytes() -> None:
    """Carrier: a traceparent takes itself and three bytes; others their names, and two a field."""
    others = sum(len(name) + len(text) for name, text in SENT.items())
    for chain in (NO_CHAIN, CHAIN):
        bare = len(codec.encode_frame(Next(1, chain)))
        assert len(codec.encode_frame(Next(1, chain.carrying(HEADER)))) - bare == len(PARENT) + 3
        assert len(codec.encode_frame(Next(1, chain.carrying(SENT)))) - bare == others + 14


@every_kind
def test_a_traceparent_alone_is_a_text_of_the_frame(
    make: Callable[[ChainManifest | None], Frame],
) -> None:
    """V1: it says the same as a carrier of one field, which counts where both are there."""
    frame = make(CHAIN.carrying(HEADER))
    alone = message(frame)
    assert alone.trace == PARENT
    assert not alone.HasField("carrier")
    beside = message(make(CHAIN))
    beside.carrier.fields.update(HEADER)
    assert codec.decode_frame(beside.SerializeToString()) == frame
    beside.trace = "another"
    assert codec.decode_frame(beside.SerializeToString()) == frame


@every_kind
def test_a_traceparent_that_is_none_is_a_field_like_any_other(
    make: Callable[[ChainManifest | None], Frame],
) -> None:
    """V1: empty, or longer than such a header can be; a frame's own text has its limit too."""
    for text in ("", "x" * 257):
        frame = make(CHAIN.carrying({"traceparent": text}))
        assert message(frame).HasField("carrier")
        assert codec.decode_frame(codec.encode_frame(frame)) == frame
    for length in (256, 257, 100_000):
        odd = message(make(CHAIN))
        odd.trace = "x" * length
        assert (read(odd).carrier is OVERSIZED) == (length > 256)


@every_kind
@pytest.mark.parametrize("chain", [NO_CHAIN, CHAIN], ids=["alone", "beside a chain"])
@pytest.mark.parametrize(
    ("carrier", "error"),
    [
        ({"a": "\ud800"}, UnicodeEncodeError),
        ({"\ud800": "a"}, UnicodeEncodeError),
        ({"a": 1}, TypeError),
        ({"traceparent": "\ud800"}, UnicodeEncodeError),
        ({"traceparent": 1}, TypeError),
    ],
    ids=["a surrogate", "a surrogate's name", "a number", "a header's surrogate", "no header"],
)
def test_what_is_no_text_is_not_written(
    make: Callable[[ChainManifest | None], Frame],
    chain: ChainManifest,
    carrier: Any,
    error: type[Exception],
) -> None:
    """Carrier: who traces looks for that first; the codec lets nothing of it out."""
    frame = make(chain.carrying(carrier))
    for write in (lambda: codec.encode_message([frame]), lambda: codec.encode_frame(frame)):
        with pytest.raises(error):
            write()


def test_a_carrier_that_is_no_text_is_a_protocol_error() -> None:
    """M7: it is a field of the frame, and a frame that does not parse is refused."""
    data = codec.encode_frame(Next(1, ChainManifest(b"", carrier={"a": "xyz"})))
    with pytest.raises(ProtocolError, match="does not parse"):
        codec.decode_frame(data.replace(b"xyz", b"x\xffz"))


# ---- what is encoded


@pytest.mark.parametrize("chain", CHAINS, ids=range(len(CHAINS)))
def test_a_chain_makes_the_same_bytes_whatever_carrier_goes_along(chain: ChainManifest) -> None:
    """M9: the same chain makes the same bytes in each call, and whoever met them knows them."""
    frame = message(Next(1, chain))
    traced = message(Next(1, chain.carrying(HEADER)))
    assert (traced.manifest, traced.base) == (frame.manifest, frame.base)
    alone = decode_manifest(frame.manifest)
    # The base stands beside a manifest that says nothing else.
    assert alone._replace(base=alone.base or frame.base) == chain


@pytest.mark.parametrize("carrier", [*CARRIERS, {"a": "x" * CARRIER_LIMIT}], ids=range(6))
@pytest.mark.parametrize("chain", CHAINS, ids=range(len(CHAINS)))
def test_a_manifest_alone_has_its_carrier_inside(
    chain: ChainManifest, carrier: dict[str, str]
) -> None:
    """M1: what is stored beside a task is one message; what exceeds the limit is left out."""
    manifest = chain.carrying(carrier)
    data = encode_manifest(manifest)
    if len(carrier.get("a", "")) < CARRIER_LIMIT:
        assert decode_manifest(data) == manifest
    else:
        assert decode_manifest(data).carrier is OVERSIZED
