"""The chain is an immutable index in one stdlib variable; values live in their own."""

from __future__ import annotations

import contextvars
import gc
from weakref import ref

import pytest

from catena.context.chain import EMPTY, Chain, State, current
from catena.context.home import Home
from catena.context.ownership import fork_here, place_chain
from catena.context.registry import find
from tests.support import isolated, variable

ID = bytes(range(16))


def fresh_chain() -> Chain:
    """Put a chain into the current Context, which no task owns."""
    return place_chain(ID, b"", EMPTY, None)


@isolated
def test_a_value_lives_in_its_backing_variable() -> None:
    """C3: there is one context system, so a copy of the Context holds the value."""
    var = variable()
    var.set("here")

    assert contextvars.copy_context()[var.backing] == "here"
    assert contextvars.copy_context()[current] is current.get()


@isolated
def test_every_set_and_reset_makes_another_chain() -> None:
    """C3: a chain never changes; the one from before still says what was bound before."""
    var = variable()
    empty = fresh_chain()

    token = var.set(1)
    bound = current.get()
    var.reset(token)
    unbound = current.get()

    assert set(empty.state) == set()
    assert bound is not None
    assert set(bound.state) == {var}
    assert unbound is not None
    assert set(unbound.state) == set()
    assert empty.id == bound.id == unbound.id == ID


@isolated
def test_a_chain_is_immutable() -> None:
    """C3: no field can be assigned."""
    with pytest.raises(AttributeError):
        fresh_chain().state = State()  # type: ignore[misc]


@isolated
def test_chains_are_equal_only_when_identical() -> None:
    """C3: identity equality, and a hash that agrees with it."""
    chain = fresh_chain()
    twin = Chain(*chain)

    assert chain == chain  # noqa: PLR0124 - equality with itself is the point
    assert chain != twin
    assert len({chain, twin}) == 2


@isolated
def test_every_set_makes_another_binding_and_a_reset_brings_the_old_one_back() -> None:
    """C3, M9: the same binding means the same object, so states are compared without values."""
    var = variable()
    chain = current.get

    var.set([])
    first = chain().state[var]  # type: ignore[union-attr]
    token = var.set([])
    second = chain().state[var]  # type: ignore[union-attr]
    var.reset(token)

    assert first is not second
    assert chain().state[var] is first  # type: ignore[union-attr]


@isolated
def test_home_is_the_context_it_was_made_in() -> None:
    """T5: a copy of the Context is not home, and asking there leaves home what it was."""
    chain = fresh_chain()
    home = chain.home

    assert home.is_here()
    assert current.get() is chain
    assert not Home().is_here()
    assert not contextvars.copy_context().run(home.is_here)
    assert not contextvars.Context().run(home.is_here)
    assert home.is_here()
    home.give_up_proof()
    assert not home.is_here()


@isolated
def test_the_proof_keeps_no_context() -> None:
    """T5: a Context that was home to a chain goes with its last reference, values and all."""

    class Held:
        """What can be referred to weakly."""

    var, gone = variable(), []

    def forked(chain: Chain) -> None:
        home = fork_here(chain).home
        var.set(Held())
        assert home.is_here()
        gone.append(ref(var.get()))

    gc.disable()
    try:
        for _ in range(3):
            contextvars.copy_context().run(lambda: forked(fresh_chain()))
        assert [one() for one in gone] == [None] * 3
    finally:
        gc.enable()


@isolated
def test_an_unbound_key_is_not_found() -> None:
    """C2: a declared key is found, and of any other the registry says None."""
    var = variable()

    assert find(var.key) is var
    assert find(("nobody", "declared")) is None
