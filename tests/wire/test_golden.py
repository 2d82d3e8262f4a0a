"""Golden frames: the bytes of each kind of frame as they were when the wire was frozen.

A change of the codec may not change them: peers of another minor version read and write the same.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from catena.wire import codec, frames, manifests
from catena.wire.frames import Frame, NackCode, Next
from tests.release.kept import COMPAT

GOLDEN: dict[str, str] = tomllib.loads(
    (Path(__file__).parent / "golden" / "frames.toml").read_text(encoding="utf-8")
)
CHAIN = ChainManifest(
    bytes(range(16)),
    bytes(range(16, 32)),
    manifests.pack_entries(
        [
            Entry(("app", "user"), EntryKind.VALUE, b"\x80value", False, b"\x80default"),
            Entry(("app", "trace"), EntryKind.VALUE, b"\x80value", True),
            Entry(("app", "unset"), EntryKind.RESET),
            Entry(("app", "odd"), EntryKind.LOST, b"why"),
        ]
    ),
    False,
    7,
    8,
    (b"s" * 16,),
    (b"a" * 16, b"b" * 16),
)
TRACE = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
PROXY_ENTRY = manifests.pack_entries(
    [
        Entry(
            ("catena", "proxy"),
            EntryKind.VALUE,
            codec.encode_proxy(bytes(range(16)), [codec.MemberFacts("w1", "unix:/w1.sock")], 3),
            True,
        )
    ]
)
TRACED = CHAIN._replace(carrier={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"})
UNARMED = ChainManifest(b"", carrier={"baggage": "a=1"})

FRAMES: dict[str, Frame] = {
    "task": frames.Task(1, 2, b"arguments", proxy_id=b"pool", drive=Next(1)),
    "task_in_full": frames.Task(
        1,
        2,
        b"arguments",
        "app.routine",
        False,
        b"callable",
        b"proxy",
        b"pool",
        Next(1, TRACED),
        3_000_000_000,
        4_000_000_000,
        5_000_000_000,
    ),
    "task_without_time_left": frames.Task(1, 2, b"arguments", timeout_ns=0, sent_at_ns=0),
    "stream": frames.Task(1, 2, b"arguments", stream=True, drive=Next(1, UNARMED)),
    "task_with_slots": frames.Task(1, 2, b"arguments", drive=Next(1), slots=2, offered=True),
    "task_that_names_the_proxy": frames.Task(
        1, 2, b"arguments", drive=Next(1, ChainManifest(b"", base=1))
    ),
    "task_that_names_the_proxy_and_is_traced": frames.Task(
        1, 2, b"arguments", drive=Next(1, ChainManifest(b"", base=1, carrier=TRACE))
    ),
    "task_that_brings_the_proxy": frames.Task(
        1, 2, b"arguments", drive=Next(1, ChainManifest(b"", b"", PROXY_ENTRY, base=1))
    ),
    "task_undriven": frames.Task(2**64 - 1, 2**32 - 1, b"arguments"),
    "next": Next(1),
    "next_of_a_chain": Next(1, CHAIN),
    "next_of_a_bare_chain": Next(1, ChainManifest(bytes(16))),
    "send": frames.Send(1, b"value"),
    "send_with_a_chain": frames.Send(1, b"value", TRACED),
    "throw": frames.Throw(1, b"error", CHAIN),
    "cancel": frames.Cancel(1),
    "cancel_with_an_empty_text": frames.Cancel(1, ""),
    "cancel_with_a_text": frames.Cancel(1, "caf\udce9 é"),
    "ack": frames.Ack(1),
    "nack": frames.Nack(1, NackCode.UNKNOWN),
    "nack_with_a_text": frames.Nack(1, NackCode.UNLOADABLE, "no module"),
    "nack_of_a_full_worker": frames.Nack(1, NackCode.BUSY, "full", 1),
    "return": frames.Result(1, b"value"),
    "return_with_a_chain": frames.Result(1, b"value", TRACED),
    "return_after_cancel": frames.Result(1, b"value", None, "return+"),
    "yield": frames.Result(1, b"value", None, "yield"),
    "yield_after_cancel": frames.Result(1, b"value", CHAIN, "yield+"),
    "exception": frames.ExceptionFrame(1, b"error"),
    "exception_with_a_chain": frames.ExceptionFrame(1, b"error", UNARMED),
    "hello": frames.Hello(
        0, 1, 0, "0.1.0", ("delta", "names"), "w1", 4711, "boot", ("gpu",), b"secret"
    ),
    "hello_of_little": frames.Hello(0, 1, 0, "", (), "", 0),
    "hello_of_a_worker_with_slots": frames.Hello(0, 1, 0, "", (), "w1", 1, slots=4),
    "goodbye": frames.Goodbye(0, "done"),
    "goodbye_without_a_reason": frames.Goodbye(0, ""),
    "piece": frames.Piece(1, 2, b"part", False, 100),
    "last_piece": frames.Piece(1, 2, b"part", True, 100),
    "members": frames.Members(0, b"proxy"),
    "want": frames.Want(0, 1),
    "offer": frames.Offer(0, 1),
    "decline": frames.Decline(0, 2),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_makes_the_bytes_that_it_always_made(name: str) -> None:
    """V2: what a peer of an earlier release wrote is what this one writes."""
    assert codec.encode_message([FRAMES[name]]).hex() == GOLDEN[name]


@pytest.mark.parametrize("name", FRAMES)
def test_the_bytes_of_a_golden_frame_are_read_as_it(name: str) -> None:
    """V2: what was written by an earlier release means the same to this one."""
    frame = FRAMES[name]
    if name == "cancel_with_a_text":
        frame = frames.Cancel(1, "caf\\udce9 é")

    assert codec.decode_message(bytes.fromhex(GOLDEN[name])).frames == [frame]


@pytest.mark.parametrize("version", tomllib.loads((COMPAT / "releases.toml").read_text()))
def test_the_golden_frames_of_a_release_are_golden_still(version: str) -> None:
    """V2, V3: none of them has changed since, and none is gone."""
    of_release = tomllib.loads((COMPAT / version / "frames.toml").read_text())

    assert len(of_release) > 30
    assert of_release.items() <= GOLDEN.items()


def test_each_golden_frame_has_its_bytes_and_none_is_left_over() -> None:
    """V2: a frame cannot lose its row, and a row its frame."""
    assert [*GOLDEN] == [*FRAMES, "message"]


def test_a_message_of_several_frames_is_read_in_order() -> None:
    """V2: Acks stand beside the frames, and come first."""
    batch = [Next(1), frames.Ack(2), frames.Cancel(3), frames.Ack(4)]
    assert codec.encode_message(batch).hex() == GOLDEN["message"]
    assert codec.decode_message(bytes.fromhex(GOLDEN["message"])).frames == [
        batch[1],
        batch[3],
        batch[0],
        batch[2],
    ]
