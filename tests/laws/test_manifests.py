"""Laws of capture and mount: whatever is set and reset, the other end sees what dicts hold."""

from __future__ import annotations

import contextvars
import copy
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from catena.dispatch.payloads import LENIENT
from catena.transfer.capture import capture_answer, capture_drive
from catena.transfer.manifest import ChainManifest
from catena.wire import codec, manifests as closed
from catena.wire.frames import ExceptionFrame, Next, Result, Send, Task, Throw
from catena.wire.v1 import catena_pb2 as pb
from tests.laws.chains import run_program
from tests.laws.law import Seen, law
from tests.laws.programs import PROGRAMS, VALUES, Step
from tests.support import variable

# What every program is about, for each hundred of them.
FLOORS = {
    "set": 400,
    "reset to a value": 20,
    "reset to nothing": 20,
    "changed in place": 60,
    "a change in place there": 15,
    "a change in place back": 30,
    "equal but not the same there": 5,
    "equal but not the same back": 5,
    "unchanged there": 80,
    "unchanged back": 200,
    "gone back": 5,
    "forward sent": 50,
    "forked": 40,
    "fork left": 30,
    "unarmed": 10,
    "sent whole": 100,
    "driven whole": 25,
    "driven by another chain": 10,
    "looked at a chain": 50,
}
# What deltas and named states are for.
NAMED = {
    "driven by a delta": 300,
    "driven by an earlier chain again": 20,
    "sent nothing back": 200,
    "a state given a name": 500,
    "sent without a name": 50,
    "a name alone": 50,
    "a bare name": 100,
    "a bare name that nobody touched": 80,
    "a bare name of what can change": 60,
    "a bare name that somebody read": 30,
    "a name with differences": 300,
    "as it was seen": 80,
    "changed since it was seen": 12,
    "a base that was forgotten": 30,
    "kept as bytes": 200,
    "values unread": 500,
    "gone there": 5,
}


@law(PROGRAMS, examples=300, floors={what: 3 * n for what, n in FLOORS.items()} | NAMED)
def test_a_chain_of_calls_goes_as_in_one_process(seen: Seen, program: list[Step]) -> None:
    """M3, M9, C5, C13, C15: sets, resets and changes in place cross as a plain dict would."""
    run_program(seen, program, deltas=True)


@law(PROGRAMS, examples=100, floors=FLOORS)
def test_without_deltas_a_chain_of_calls_goes_the_same_way(seen: Seen, program: list[Step]) -> None:
    """M9, V1: a peer that keeps no states and knows no deltas is sent everything each time."""
    run_program(seen, program, deltas=False)


NAMES = st.sampled_from([chr(ord("a") + n) for n in range(8)])


@law(
    st.lists(st.tuples(NAMES, VALUES), max_size=12),
    st.randoms(use_true_random=False),
    examples=60,
    floors={"another order": 15, "several variables": 10},
)
def test_the_order_of_sets_leaves_no_trace(
    seen: Seen, sets: list[tuple[str, Any]], random: Any
) -> None:
    """M1: the same state captured makes the same bytes, keys sorted, however it came about."""
    final = dict(sets)
    variables = {name: variable(name) for name in final}
    shuffled = list(final.items())
    random.shuffle(shuffled)
    seen["another order"] += shuffled != list(final.items())
    seen["several variables"] += len(final) > 3

    def state(order: list[tuple[str, Any]], to_worker: bool) -> bytes:
        for name, value in order:
            variables[name].set(copy.deepcopy(value))
        if to_worker:
            captured = capture_drive(LENIENT, None)
            return b"" if captured is None else captured.manifest.entries
        manifest, _ = capture_answer(LENIENT, None)
        return b"" if manifest is None else manifest.entries

    for to_worker in (True, False):
        one = contextvars.Context().run(state, list(final.items()), to_worker)
        two = contextvars.Context().run(state, shuffled, to_worker)
        assert one == two
        assert [entry.key for entry in closed.unpack_entries(one)] == sorted(
            var.key for var in variables.values()
        )


IDS = st.lists(st.binary(min_size=16, max_size=16), unique=True, max_size=5)


@law(
    IDS,
    IDS,
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=5),
    st.randoms(use_true_random=False),
    floors={"another order": 20, "several ids": 20, "several fields": 20},
)
def test_the_order_of_ledgers_and_carriers_leaves_no_trace(
    seen: Seen, spent: list[bytes], live: list[bytes], carrier: dict[str, str], random: Any
) -> None:
    """M1: ids and maps are written sorted, and what is read is what was written."""
    seen["several ids"] += len(spent) > 1 and len(live) > 1
    seen["several fields"] += len(carrier) > 1

    def written() -> bytes:
        for ledger in (spent, live):
            random.shuffle(ledger)
        items = list(carrier.items())
        random.shuffle(items)
        manifest = ChainManifest(
            bytes(16), spent=tuple(spent), live=tuple(live), carrier=dict(items)
        )
        return closed.encode_manifest(manifest)

    data = written()
    order = (list(spent), list(live))
    again = written()
    seen["another order"] += order != (spent, live)

    assert again == data
    read = closed.decode_manifest(data)
    assert (read.spent, read.live) == (tuple(sorted(spent)), tuple(sorted(live)))
    assert dict(read.carrier) == carrier


TEXTS = st.text(max_size=70)
CARRIERS = st.dictionaries(st.just("traceparent") | TEXTS, TEXTS, max_size=3)
CHAIN_IDS = st.just(b"") | st.binary(min_size=16, max_size=16)
BARE = st.tuples(
    CHAIN_IDS,
    CHAIN_IDS,
    st.sampled_from([b"", b"", b"entries"]),
    st.booleans(),
    st.just(0) | st.integers(0, 2**31 - 1),
    st.sampled_from([0, 0, 1]),
).map(lambda fields: ChainManifest(*fields))
KINDS: tuple[Callable[[ChainManifest], Any], ...] = (
    lambda manifest: Task(1, 2, b"x", drive=Next(1, manifest)),
    lambda manifest: Task(1, 2, b"x", stream=True, drive=Next(1, manifest)),
    lambda manifest: Next(1, manifest),
    lambda manifest: Send(1, b"x", manifest),
    lambda manifest: Throw(1, b"x", manifest),
    lambda manifest: Result(1, b"x", manifest),
    lambda manifest: ExceptionFrame(1, b"x", manifest),
)


@law(
    st.sampled_from(KINDS),
    BARE | st.just(ChainManifest(b"")),
    CARRIERS,
    st.none() | CARRIERS,
    examples=300,
    floors={
        "alone": 40,
        "beside a chain": 50,
        "none": 20,
        "inside alone": 15,
        "in both places": 40,
        "several fields": 60,
        "a text of the frame": 15,
    },
)
def test_a_carrier_beside_its_manifest_means_the_same_as_inside(
    seen: Seen,
    kind: Callable[[ChainManifest], Any],
    bare: ChainManifest,
    carrier: dict[str, str],
    inside: dict[str, str] | None,
) -> None:
    """M1, V1: the manifest of a frame is encoded without its carrier and comes back with it."""
    frame, untraced = kind(bare._replace(carrier=carrier)), kind(bare)
    seen["several fields"] += len(carrier) > 1
    if not carrier:
        seen["none"] += 1
    else:
        seen["alone" if bare == ChainManifest(b"") else "beside a chain"] += 1
    message = pb.Frame.FromString(codec.encode_frame(frame))

    assert codec.decode_message(codec.encode_message([frame, untraced])).frames == [frame, untraced]
    assert message.manifest == pb.Frame.FromString(codec.encode_frame(untraced)).manifest
    text = carrier.keys() == {"traceparent"} and bool(carrier["traceparent"])
    seen["a text of the frame"] += text
    assert message.HasField("carrier") == (bool(carrier) and not text)
    assert bool(message.trace) == text
    if inside is None:
        return
    # As a foreign writer may have it: the text counts only where there is no carrier.
    if message.HasField("carrier"):
        message.trace = "another"
    message.manifest = closed.encode_manifest(bare._replace(carrier=inside))
    seen["in both places" if carrier else "inside alone"] += bool(inside)
    read = codec.decode_frame(message.SerializeToString())
    assert read == kind(bare._replace(carrier=carrier or inside))
