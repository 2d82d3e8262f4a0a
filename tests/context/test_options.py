"""RuntimeContext: options that hold in a block, and nowhere else."""

from __future__ import annotations

import asyncio
import contextvars
import math
from contextlib import suppress

import pytest

import catena
from catena.context.options import Options, options
from tests.support import LOOPS, isolated, run


@isolated
def test_options_hold_in_the_block_and_are_restored() -> None:
    """D8: options are block-scoped and restored on exit, by an exception too."""
    assert options.get() is None
    with catena.RuntimeContext(timeout=5):
        assert options.get() == Options(timeout=5)
        with suppress(KeyError), catena.RuntimeContext(timeout=1):
            assert options.get() == Options(timeout=1)
            raise KeyError
        assert options.get() == Options(timeout=5)
    assert options.get() is None


@isolated
def test_what_a_block_leaves_out_it_inherits() -> None:
    """D8: an option that is not set is that of the block around; zero and infinity are values."""
    with catena.RuntimeContext(timeout=5), catena.RuntimeContext(dispatch_timeout=0):
        assert options.get() == Options(timeout=5, dispatch_timeout=0)
        with catena.RuntimeContext():
            assert options.get() == Options(timeout=5, dispatch_timeout=0)
        with catena.RuntimeContext(timeout=math.inf):
            assert options.get() == Options(timeout=math.inf, dispatch_timeout=0)


@isolated
def test_a_block_keeps_the_deadline_it_finds() -> None:
    """D8: a deadline that was inherited stays, whatever the block sets."""
    options.set(Options(deadline=7.0))
    with catena.RuntimeContext(timeout=100):
        assert options.get() == Options(timeout=100, deadline=7.0)


@isolated
def test_entering_twice_raises() -> None:
    """D8: a RuntimeContext is entered once, nested or one after the other; nothing changes then."""
    once = catena.RuntimeContext(timeout=1)
    with once:
        with pytest.raises(RuntimeError, match="entered once"):
            once.__enter__()
        assert options.get() == Options(timeout=1)
    with pytest.raises(RuntimeError, match="entered once"):
        once.__enter__()
    assert options.get() is None


@pytest.mark.parametrize("value", [-1, -0.001, math.nan, -math.inf])
@pytest.mark.parametrize("name", ["timeout", "dispatch_timeout"])
def test_senseless_seconds_are_refused(name: str, value: float) -> None:
    """D8: a negative number, or none at all, fails where it is written, with the option's name."""
    with pytest.raises(ValueError, match=f"^{name} must not be negative"):
        catena.RuntimeContext(**{name: value})
    with pytest.raises(ValueError, match=f"^{name} must not be negative"):
        catena.routine(**{name: value})  # type: ignore[call-overload]


@pytest.mark.parametrize("loop", LOOPS)
@isolated
def test_tasks_and_threads_take_it_along(loop: str) -> None:
    """D8: what is started in the block has its options, and keeps them when the block is left."""

    async def later(gate: asyncio.Event) -> Options | None:
        await gate.wait()
        return options.get()

    async def main() -> None:
        gate = asyncio.Event()
        with catena.RuntimeContext(timeout=3):
            started = asyncio.create_task(later(gate))
            assert await catena.to_thread(options.get) == Options(timeout=3)
        gate.set()
        assert await started == Options(timeout=3)
        assert options.get() is None

    run(main(), loop=loop)


@isolated
def test_leaving_in_another_context_changes_nothing_there() -> None:
    """D8: a block whose end runs elsewhere, as a generator's may, leaves that Context alone."""
    block = catena.RuntimeContext(timeout=3)
    contextvars.copy_context().run(block.__enter__)
    with catena.RuntimeContext(timeout=9):
        block.__exit__(None, None, None)
        assert options.get() == Options(timeout=9)


def test_its_text_shows_what_was_set() -> None:
    """D8: the representation is how it is written, with what was left out left out."""
    assert repr(catena.RuntimeContext(timeout=1.5)) == "RuntimeContext(timeout=1.5)"
    assert repr(catena.RuntimeContext()) == "RuntimeContext()"
