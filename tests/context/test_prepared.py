"""Prepared Contexts: the values that cannot change are opened once, all others for each call."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest

import catena
from catena.context.current import current
from catena.context.manifest import ChainManifest
from catena.context.mount import adopt, prepared, unmount
from catena.dispatch.values import WIRE
from tests.context.ends import (
    ID,
    OTHER,
    Scope,
    entries_of,
    manifest_of,
    value_of,
)
from tests.support import variable


def test_a_mutable_value_is_never_shared_by_two_mounts() -> None:
    """M2: each mount opens a mutable value anew, and nothing is prepared with one."""
    var = variable()
    manifest = manifest_of(value_of(var, {"list": []}))
    one, two = Scope(), Scope()
    one.mount(manifest, to_worker=True)
    assert one.run(prepared, contextvars.Context()) is None
    one.get(var)["list"].append("mine")

    two.mount(manifest, to_worker=True)
    one.mount(manifest, to_worker=True)

    assert two.get(var) == one.get(var) == {"list": []}
    assert two.get(var)["list"] is not one.get(var)["list"]


@pytest.mark.parametrize("value", [[], {}, set(), ([],), bytearray(), object, Scope, frozenset()])
def test_only_what_cannot_change_is_prepared(value: Any) -> None:
    """M2: exact str, bytes, int, float, bool, None and tuples of them; nothing else is trusted."""
    fixed = variable()
    worker = Scope()
    worker.mount(
        manifest_of(value_of(fixed, ("s", b"b", 1, 1.0, True, None, ((),)))), to_worker=True
    )
    assert worker.run(prepared, contextvars.Context()) is not None

    worker.mount(manifest_of(value_of(fixed, 1), value_of(variable(), value)), to_worker=True)
    assert worker.run(prepared, contextvars.Context()) is None


def test_a_prepared_context_is_copied_for_each_call() -> None:
    """M2: two calls that adopt one preparation have its values and each a chain of its own."""
    var, base_var = variable(), contextvars.ContextVar[str]("base")
    base = contextvars.Context()
    base.run(base_var.set, "base")
    first = Scope(base.copy())
    first.mount(manifest_of(value_of(var, 1)), to_worker=True)
    state = first.run(prepared, base)
    assert state is not None
    first.set(var, "mine")
    first.run(unmount)

    one, two = Scope(state.context.copy()), Scope(state.context.copy())
    one.run(adopt, manifest_of(value_of(var, 1)), state)
    two.run(adopt, manifest_of(value_of(var, 1), id=OTHER), state)
    one.set(var, 2)

    assert (one.get(var), two.get(var), two.run(base_var.get)) == (2, 1, "base")
    assert one.chain is not None
    assert two.chain is not None
    assert (one.chain.id, two.chain.id) == (ID, OTHER)
    assert one.run(one.chain.home.is_here)
    assert not two.run(one.chain.home.is_here)
    assert WIRE.loads(entries_of(two.capture(to_worker=False))[var.key].value) == 1
    assert WIRE.loads(entries_of(one.capture(to_worker=False))[var.key].value) == 2
    assert state.context.get(current) is None


def test_an_unarmed_context_is_not_prepared() -> None:
    """C4: where no chain is there is nothing to prepare."""
    assert contextvars.Context().run(prepared, contextvars.Context()) is None


@pytest.mark.parametrize(("id", "parent"), [(b"short", b""), (bytes(17), b""), (ID, b"parent")])
def test_a_malformed_id_is_not_adopted(id: bytes, parent: bytes) -> None:
    """M2: a known block does not excuse a malformed id."""
    first = Scope()
    first.mount(manifest_of(), to_worker=True)
    state = first.run(prepared, contextvars.Context())
    assert state is not None
    worker = Scope(state.context.copy())

    with pytest.raises(catena.ChainSerializationError):
        worker.run(adopt, ChainManifest(id, parent), state)
    assert worker.chain is None
