"""Tokens within one process: what they carry, what they equal, where they open."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import pkgutil

import pytest

import catena
from catena.context.chain import current
from catena.events import TokenReset
from catena.pickling import pickler
from catena.testing import recording
from tests.support import isolated, run, variable


@isolated
def test_a_token_carries_its_variable_and_the_old_value() -> None:
    """T1: var is the variable, old_value what was there, MISSING when nothing was."""
    var = variable(default="d")

    first, second = var.set(1), var.set(2)

    assert first.var is second.var is var
    assert first.old_value is catena.Token.MISSING is contextvars.Token.MISSING
    assert second.old_value == 1


@isolated
def test_tokens_equal_by_id() -> None:
    """T1: equality and hash follow the id, which 16 bytes hold and no other token has."""
    var = variable()

    one, two = var.set(1), var.set(1)

    assert one == one  # noqa: PLR0124 - equality with itself is the point
    assert one != two
    assert len({one, two, one}) == 2
    assert len(one.id) == 16
    assert one.id == one.id != two.id
    assert one != "token"


@isolated
def test_a_stdlib_token_is_no_token() -> None:
    """T1: reset refuses a token of contextvars with a TypeError, and nothing changes."""
    var = variable()
    var.set(1)
    foreign = contextvars.ContextVar("native").set(2)

    with pytest.raises(TypeError, match="expected an instance of Token, got <Token var="):
        var.reset(foreign)  # type: ignore[arg-type]
    assert var.get() == 1


@isolated
def test_a_token_keeps_its_variable_alive() -> None:
    """T1: the reference to the variable is strong."""
    token = variable("kept").set(1)

    assert token.var.name.startswith("kept")
    token.var.reset(token)
    assert token.var.get(None) is None


@isolated
def test_a_reset_to_nothing_unbinds() -> None:
    """T2, C3: the chain's index follows the value: bound after set, unbound after its reset."""
    var = variable()
    token = var.set(1)
    assert var in current.get().state  # type: ignore[union-attr]

    var.reset(token)

    assert var not in current.get().state  # type: ignore[union-attr]


def test_a_childs_reset_of_its_parents_token_is_refused_and_leaves_it_good() -> None:
    """T2, T6: across a fork the token is of another Context; the parent can still use it."""
    var = variable(default=0)

    async def child(token: catena.Token[int]) -> int:
        with pytest.raises(ValueError, match="was created in a different Context"):
            var.reset(token)
        return var.get()

    async def main() -> None:
        token = var.set(1)
        assert await asyncio.create_task(child(token)) == 1
        assert not token.used
        var.reset(token)
        assert var.get() == 0

    run(main())


@isolated
def test_each_reset_is_announced_with_its_outcome() -> None:
    """The audit: ok, used, foreign and orphan are distinguished, with the token's id."""
    var, other = variable(), variable()
    token = var.set(1)
    elsewhere = contextvars.copy_context().run(var.set, 2)

    with recording(TokenReset) as recorded:
        for tried in (elsewhere, other.set(1), token):
            try:
                var.reset(tried)
            except ValueError:
                continue
        with pytest.raises(RuntimeError):
            var.reset(token)

    resets = recorded.of(TokenReset)
    assert [one.outcome for one in resets] == ["orphan", "foreign", "ok", "used"]
    assert {one.key for one in resets} == {var.key}
    assert resets[2].token_id == resets[3].token_id == token.id


@isolated
@pytest.mark.parametrize(
    "channel",
    ["pickle.dumps", "cloudpickle.dumps", "copy.copy", "copy.deepcopy"],
)
def test_only_a_dispatch_takes_a_token_along(channel: str) -> None:
    """T3: every other way is a TypeError that names the right one."""
    token = variable().set(1)

    with pytest.raises(TypeError, match="exceptions of a dispatched routine"):
        pkgutil.resolve_name(channel)(token)


@isolated
def test_a_token_is_written_and_read_as_itself() -> None:
    """T3: while the token is alive here, its bytes are this very object; later an equal one."""
    var = variable()
    token = var.set(1)
    data, id = pickler.dumps(token), token.id

    assert pickler.loads(data) is token
    del token
    gc.collect()
    again = pickler.loads(data)
    assert (again.id, again.var) == (id, var)
    assert again.old_value is catena.Token.MISSING
