"""Laws of capture and mount: whatever is set and reset, the other end sees what dicts hold."""

from __future__ import annotations

import contextvars
import copy
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from catena.context.capture import capture_answer, capture_first
from catena.context.manifest import ChainManifest
from catena.dispatch.values import LENIENT
from catena.errors import ProtocolError
from catena.wire import manifests as closed
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
    "told whole": 100,
    "driven whole": 25,
    "driven by another chain": 10,
    "looked at a chain": 50,
}
# What deltas and named states are for.
NAMED = {
    "driven by a delta": 300,
    "driven by an earlier chain again": 20,
    "told nothing back": 200,
    "a state given a name": 500,
    "a name alone": 50,
    "a bare name": 100,
    "a bare name that nobody touched": 80,
    "a name with differences": 300,
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
    """M9, V1: a peer that keeps no states and knows no deltas is told everything each time."""
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
            captured = capture_first(LENIENT, None)
            return b"" if captured is None else captured.manifest.entries
        manifest, _ = capture_answer(LENIENT, None)
        return b"" if manifest is None else manifest.entries

    for to_worker in (True, False):
        one = contextvars.Context().run(state, list(final.items()), to_worker)
        two = contextvars.Context().run(state, shuffled, to_worker)
        assert one == two
        assert [entry.key for entry in closed.unpack(one)] == sorted(
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


NUMBERS = st.integers(0, 2**31 - 1) | st.integers(0, 200)
TEXTS = st.text(max_size=70)
LONG = st.text(min_size=60, max_size=150)
HEADER = st.just({"traceparent": "00-" + "0af7651916cd43dd" * 2 + "-b7ad6b7169203331-00"})


BARE = st.tuples(
    st.sampled_from([b"", bytes(range(16))]),
    st.sampled_from([b"", bytes(range(16, 32))]),
    st.just(b""),
    st.booleans(),
    NUMBERS,
).map(lambda fields: ChainManifest(*fields))


@law(
    BARE,
    HEADER | st.dictionaries(TEXTS, TEXTS, max_size=3) | st.dictionaries(LONG, LONG, min_size=1),
    st.binary(max_size=6),
    examples=300,
    floors={"short": 60, "long": 40, "none": 5, "followed by another field": 40, "refused": 20},
)
def test_a_short_carrier_means_the_same_by_either_way(
    seen: Seen, bare: ChainManifest, carrier: dict[str, str], more: bytes
) -> None:
    """M1, V1: what is written and read without protobuf is what protobuf would write and read."""
    manifest = bare._replace(carrier=carrier)

    data = closed.seal(manifest)
    long = closed.encode_manifest(manifest)

    size = len(data) - len(closed.seal(manifest._replace(carrier={})))
    seen["none" if not carrier else "short" if size < 130 else "long"] += 1
    assert closed.seal(manifest) == data
    for one in (data, long):
        assert closed.unseal(one) == closed.decode_manifest(one) == manifest
    seen["followed by another field"] += bool(more)
    _agree(seen, data + more)
    _agree(seen, data[: len(data) - len(more)])


def _agree(seen: Seen, data: bytes) -> None:
    """Both ways of reading say the same of bytes that may be no manifest."""
    expected, found = _read(closed.decode_manifest, data), _read(closed.unseal, data)
    seen["refused"] += expected is None
    assert found == expected


def _read(read: Callable[[bytes], ChainManifest], data: bytes) -> ChainManifest | None:
    try:
        return read(data)
    except ProtocolError:
        return None
