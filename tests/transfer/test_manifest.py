"""Manifests are inert, and the same chain makes the same bytes wherever it is captured."""

from __future__ import annotations

import contextvars
import os
import subprocess
import sys

from catena.context.chain import current
from catena.dispatch.payloads import LENIENT
from catena.transfer.capture import capture_drive
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from catena.transfer.mount import mount
from catena.wire.manifests import decode_manifest, encode_manifest
from tests.support import isolated, variable

ID = bytes(range(16))

PROGRAM = """
import catena
from catena.transfer.manifest import ChainManifest
from catena.transfer.capture import capture_answer, capture_drive
from catena.transfer.mount import mount
from catena.transfer.states.plain import PLAIN
from catena.dispatch.payloads import LENIENT
from catena.wire.manifests import encode_manifest

names = {"delta", "alpha", "charlie", "bravo", "echo", "foxtrot"}
variables = [
    catena.ContextVar(name, namespace=space, default=name, propagate=policy)
    for name in names
    for space, policy in {("one", "both"), ("two", "forward")}
]
mount(ChainManifest(bytes(range(16))), LENIENT, to_worker=True)
for var in variables:
    token = var.set([var.name, {"n": 1, "none": None}])
    if var.name == "echo":
        var.reset(token)
for captured in (capture_drive(LENIENT, None).manifest, capture_answer(LENIENT, None)[0]):
    captured = captured._replace(
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
    mount(ChainManifest(ID), LENIENT, to_worker=True)
    variables = [variable(name) for name in ("z", "a", "m")]
    for var in variables:
        var.set(1)

    captured = capture_drive(LENIENT, None)

    assert captured is not None
    keys = [entry.key for entry in LENIENT.unpack(captured.manifest.entries)]
    assert keys == sorted(var.key for var in variables)


def test_reading_a_manifest_touches_no_context_and_unpickles_nothing() -> None:
    """M2: values stay bytes until they are mounted."""
    opened: list[str] = []
    RECORDERS["read"] = opened
    var = variable()
    entry = Entry(
        var.key, EntryKind.VALUE, LENIENT.dumps(Recorder()), False, LENIENT.dumps(Recorder())
    )
    opened.clear()
    written = encode_manifest(ChainManifest(ID, entries=LENIENT.pack([entry])))
    context = contextvars.Context()

    manifest = context.run(decode_manifest, written)
    entries = context.run(LENIENT.unpack, manifest.entries)

    assert (opened, entries, len(context)) == ([], (entry,), 0)
    context.run(mount, manifest, LENIENT, to_worker=True)
    assert opened == ["opened"]
    assert isinstance(context[var.backing], Recorder)


RECORDERS: dict[str, list[str]] = {}


class Recorder:
    """Notes when it is unpickled."""

    def __setstate__(self, state: object) -> None:
        RECORDERS["read"].append("opened")

    def __getstate__(self) -> object:
        return {"some": "state"}


@isolated
def test_capturing_names_the_chain_and_its_parent() -> None:
    """M1: a whole manifest with the chain's id and its parent's."""
    var = variable()
    mount(ChainManifest(ID, parent_id=bytes(16)), LENIENT, to_worker=True)
    var.set(1)

    captured = capture_drive(LENIENT, None)

    assert captured is not None
    manifest = captured.manifest
    assert (manifest.chain_id, manifest.parent_id, manifest.whole) == (ID, bytes(16), True)
    assert (manifest.base, manifest.name) == (0, 0)
    assert (manifest.spent, manifest.live, dict(manifest.carrier)) == ((), (), {})
    assert current.get().id == ID  # type: ignore[union-attr]
