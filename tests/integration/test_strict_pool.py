"""A strict pool refuses a bad chain wherever it is met: here, on workers, and between workers."""

from __future__ import annotations

import os
import threading
import warnings
from typing import Any

import pytest

import catena
from catena.errors import ChainSerializationError, SerializationWarning
from tests.integration.pools import pooled

good: catena.ContextVar[str] = catena.ContextVar("strict_good", default="-")
bad: catena.ContextVar[Any] = catena.ContextVar("strict_bad", default="-")


class AtHome:
    """A value that can be written anywhere and read only in the process that wrote it."""

    def __reduce__(self) -> Any:
        return _at_home, (os.getpid(),)


def _at_home(home: int) -> AtHome:
    if os.getpid() != home:
        raise RuntimeError("not at home")
    return AtHome()


@catena.routine
async def look() -> tuple[str, str]:
    """Return the good value, and the kind of the bad one."""
    return good.get(), type(bad.get()).__name__


@catena.routine
async def leave_at_home(fail: bool) -> str:
    """Bind what only this worker can read; return or raise."""
    good.set("there")
    bad.set(AtHome())
    if fail:
        raise KeyError("mine")
    return "the result"


@catena.routine
async def nest(lock: bool) -> tuple[str, str]:
    """Bind what cannot go on to the next worker, and dispatch."""
    bad.set(threading.Lock() if lock else AtHome())
    return await look()


async def _refused(call: Any) -> ChainSerializationError:
    with pytest.raises(ChainSerializationError) as refused:
        await call
    (one,) = refused.value.warnings
    assert type(one) is SerializationWarning
    assert one.key == bad.key
    return refused.value


async def _both_ways() -> None:
    """Meet what cannot be read at either end; the caller's values stay as they are."""
    good.set("here")
    bad.set(AtHome())
    error = await _refused(look())
    assert "not at home" in error.warnings[0].cause
    bad.set("mine")
    assert await look() == ("here", "str")
    error = await _refused(leave_at_home(fail=False))
    assert error.value == "the result"
    with pytest.raises(KeyError, match="mine") as raised:
        await leave_at_home(fail=True)
    assert type(raised.value.__context__) is ChainSerializationError
    assert (good.get(), bad.get()) == ("here", "mine")
    assert await look() == ("here", "str")


def test_the_option_reaches_both_ends() -> None:
    """M5, M6: one error, with all warnings; on an exception it is the tail of the context."""

    async def work(pool: catena.WorkerPool) -> None:
        with warnings.catch_warnings():
            # Pytest's own filter makes errors of warnings; the option needs none.
            warnings.simplefilter("ignore")
            bad.set(threading.Lock())
            assert (await _refused(look())).doing == "sent"
            await _both_ways()

    pooled(work, strict=True)


@pytest.mark.parametrize("lock", [True, False], ids=["unwritable", "unreadable"])
def test_the_option_reaches_from_worker_to_worker(lock: bool) -> None:
    """M5: a worker that dispatches is as strict a caller, and the next worker as strict as it."""

    async def work(pool: catena.WorkerPool) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            error = await _refused(nest(lock))
            assert error.doing == ("sent" if lock else "read")
            assert bad.get() == "-"
            assert await look() == ("-", "str")

    pooled(work, strict=True)


def test_a_filter_is_strict_at_the_caller_alone() -> None:
    """M5: ``error::catena.SerializationWarning`` here refuses what this side meets."""

    async def work(pool: catena.WorkerPool) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", category=catena.SerializationWarning)
            good.set("here")
            bad.set(threading.Lock())
            assert (await _refused(look())).doing == "sent"
            bad.set(AtHome())
            assert await look() == ("here", "str")
            bad.set("mine")
            assert (await _refused(leave_at_home(fail=False))).value == "the result"
            assert (good.get(), bad.get()) == ("here", "mine")

    pooled(work, spawn=1)


def test_a_lenient_pool_warns_and_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    """M2: a bad entry costs that entry, with a warning where it is met, be it on the worker."""

    async def work(pool: catena.WorkerPool) -> None:
        good.set("here")
        bad.set(threading.Lock())
        with pytest.warns(SerializationWarning, match="strict_bad could not be sent"):
            assert await look() == ("here", "str")
        bad.set(AtHome())
        assert await look() == ("here", "str")
        bad.set("mine")
        with pytest.warns(SerializationWarning, match="strict_bad could not be read"):
            assert await leave_at_home(fail=False) == "the result"
        assert (good.get(), bad.get()) == ("there", "mine")

    pooled(work, spawn=1)
    assert "strict_bad could not be read: RuntimeError: not at home" in capfd.readouterr().err
