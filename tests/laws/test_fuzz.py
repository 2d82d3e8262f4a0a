"""The fuzzer as a law: 600 cases here, the long count by ``make long NAME=fuzz-manifests``."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import strategies as st

from catena.pickling import pickler
from catena.wire import codec, manifests as closed
from tests.laws import fuzz, fuzz_corpus
from tests.laws.law import Random, Seen, law

CASES = 600


@law(
    st.randoms(use_true_random=True),
    examples=CASES,
    floors={
        "parsed": CASES * 30 // 100,
        "mounted": CASES // 10,
        "compared": CASES // 2,
        "worker: mounted whole": 50,
        "worker: mounted in part, with a warning": 20,
        "worker: the link was ended": 20,
        "worker: nack UNKNOWN": 20,
        "worker: nack UNLOADABLE": 1,
        "worker: ChainSerializationError": 3,
        "worker: SerializationError": 3,
        "worker: ProtocolError": 3,
        "caller: mounted whole": 20,
        "caller: mounted in part, with a warning": 5,
        "caller: the link was ended": 10,
        "caller: ChainSerializationError": 2,
        "caller: SerializationError": 2,
        "caller: ProtocolError": 5,
        "caller: WorkerLost": 10,
    },
)
def test_whatever_arrives_has_an_outcome_of_a_type(seen: Seen, random: Random) -> None:
    """M2, M6, M7: real frames made wrong end in typed outcomes, and a call is served afterwards."""
    fuzz.case(seen, random)


def test_the_corpus_has_frames_and_manifests_of_every_kind() -> None:
    """M7, M9: wholes, deltas, names and what builds on them, in both directions."""
    frames = [
        (message.to_worker, frame, frame.drive if frame.symbol in ("task", "stream") else frame)
        for messages in fuzz_corpus.corpus().values()
        for message in messages
        for frame in codec.decode_message(message.data).frames
    ]
    manifests = [
        (to_worker, drive.manifest)
        for to_worker, _, drive in frames
        if getattr(drive, "manifest", None) is not None
    ]

    assert {frame.symbol for _, frame, _ in frames} >= {
        *("task", "stream", "next", "send", "throw", "ack", "return", "yield", "exception")
    }
    assert len({(to_worker, it.whole) for to_worker, it in manifests}) == 4
    assert sum(bool(it.name) for _, it in manifests) > 5
    assert sum(bool(it.base) for _, it in manifests) > 5
    kinds = {one.kind.name for _, it in manifests for one in closed.unpack_entries(it.entries)}
    assert kinds == {"VALUE", "RESET", "LOST"}


def test_nothing_that_was_drawn_is_unpickled() -> None:
    """While it is guarded, only prepared pickles and beginnings of them are opened."""
    own = fuzz_corpus.harmless(pickler.dumps(["mine"]), passing=True)
    with fuzz_corpus.guarded():
        fuzz_corpus.harmless(own, passing=True)
        assert pickler.loads(own) == ["mine"]
        for data in (b"cos\nsystem\n(S'true'\ntR.", own + b"x", own[1:], pickler.dumps({1: 2})):
            with pytest.raises(Exception, match="not one of the fuzzer's"):
                pickler.loads(data)
        for data in fuzz_corpus.failing():
            with pytest.raises((Exception, asyncio.CancelledError)):
                pickler.loads(data)
    assert pickler.loads(pickler.dumps({1: 2})) == {1: 2}
