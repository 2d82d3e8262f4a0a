"""Manifests are inert, and the same chain makes the same bytes wherever it is captured."""

from __future__ import annotations

import contextvars
import os
import subprocess
import sys

from catena.context.current import current
from catena.context.manifest import ChainManifest, Entry, EntryKind
from catena.context.mount import capture, mount
from catena.dispatch.values import WIRE
from catena.wire.codec import decode_manifest, encode_manifest
from tests.support import isolated, variable

ID = bytes(range(16))

PROGRAM = """
import catena
from catena.context.manifest import ChainManifest
from catena.context.mount import capture, mount
from catena.dispatch.values import WIRE
from catena.wire.codec import encode_manifest

names = {"delta", "alpha", "charlie", "bravo", "echo", "foxtrot"}
variables = [
    catena.ContextVar(name, namespace=space, default=name, propagate=policy)
    for name in names
    for space, policy in {("one", "both"), ("two", "forward")}
]
mount(ChainManifest(bytes(range(16))), WIRE, to_worker=True)
for var in variables:
    token = var.set([var.name, {"n": 1, "none": None}])
    if var.name == "echo":
        var.reset(token)
for to_worker in (True, False):
    captured = capture(WIRE, to_worker=to_worker)._replace(
        carrier={name: "x" for name in names},
        spent=tuple({name.encode() for name in names}),
        live=tuple({name.encode() for name in names}),
    )
    print(encode_manifest(captured).hex())
"""


def test_bytes_do_not_depend_on_the_process_or_its_hash_seed() -> None:
    """M1: same entries, same bytes, in any process and under any hash seed."""
    written = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("0", "1", "7")
    }

    assert len(written) == 1
    there, back = written.pop().split()
    assert len(there) > len(back) > 100


@isolated
def test_entries_are_sorted_by_key() -> None:
    """M1: the order of sets leaves no trace."""
    mount(ChainManifest(ID), WIRE, to_worker=True)
    variables = [variable(name) for name in ("z", "a", "m")]
    for var in variables:
        var.set(1)

    captured = capture(WIRE, to_worker=True)

    assert captured is not None
    keys = [entry.key for entry in WIRE.unpack(captured.entries)]
    assert keys == sorted(var.key for var in variables)


def test_reading_a_manifest_touches_no_context_and_unpickles_nothing() -> None:
    """M2: values stay bytes until they are mounted."""
    opened: list[str] = []
    RECORDERS["read"] = opened
    var = variable()
    entry = Entry(var.key, EntryKind.VALUE, WIRE.dumps(Recorder()), False, WIRE.dumps(Recorder()))
    opened.clear()
    written = encode_manifest(ChainManifest(ID, entries=WIRE.pack([entry])))
    context = contextvars.Context()

    manifest = context.run(decode_manifest, written)
    entries = context.run(WIRE.unpack, manifest.entries)

    assert (opened, entries, len(context)) == ([], (entry,), 0)
    context.run(mount, manifest, WIRE, to_worker=True)
    assert opened == ["opened"]
    assert isinstance(context[var.backing], Recorder)


RECORDERS: dict[str, list[str]] = {}


class Recorder:
    """Tells when it is unpickled."""

    def __setstate__(self, state: object) -> None:
        RECORDERS["read"].append("opened")

    def __getstate__(self) -> object:
        return {"some": "state"}


@isolated
def test_capturing_names_the_chain_and_its_parent() -> None:
    """M1: a whole manifest with the chain's id and its parent's."""
    var = variable()
    mount(ChainManifest(ID, parent_id=bytes(16)), WIRE, to_worker=True)
    var.set(1)

    captured = capture(WIRE, to_worker=True)

    assert captured is not None
    assert (captured.chain_id, captured.parent_id, captured.whole) == (ID, bytes(16), True)
    assert (captured.spent, captured.live, dict(captured.carrier)) == ((), (), {})
    assert current.get().id == ID  # type: ignore[union-attr]
