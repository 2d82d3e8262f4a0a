"""Bad context, each kind with its typed outcome, after which the same worker answers."""

from __future__ import annotations

import importlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.dispatch.payloads import Wire
from catena.errors import ChainSerializationError, SerializationWarning
from catena.events import EntryLost, KeysUndeclared
from catena.events.bus import subscribe
from catena.pickling import pickler
from catena.remote_exceptions.pickled import unpickle_exception
from catena.transfer import decode, diff
from catena.transfer.manifest import ENTRY_LIMIT, ChainManifest, Entry, EntryKind
from catena.wire import manifests as closed
from catena.wire.frames import Ack, ExceptionFrame, Nack, NackCode, Result
from tests.dispatch.ends import hand_and_sessions, opening
from tests.integration.pools import pooled
from tests.link.ends import Hand
from tests.support import isolated, run, variable

good: catena.ContextVar[str] = catena.ContextVar("bad_context_good", default="-")
bad: catena.ContextVar[Any] = catena.ContextVar("bad_context_bad", default="-")
told: list[Any] = []
"""What the worker's core announced; filled there."""

CHAIN = b"c" * 16


class AtHome:
    """A value that can be read only in the process that wrote it."""

    def __reduce__(self) -> Any:
        return _at_home, (os.getpid(),)


def _at_home(home: int) -> AtHome:
    if os.getpid() != home:
        raise RuntimeError("not at home")
    return AtHome()


@catena.routine
async def listen() -> int:
    """Let the worker note what it announces of bad entries; return its process."""
    if not told:
        told.append(subscribe(told.append, EntryLost, KeysUndeclared))
    return os.getpid()


@catena.routine
async def announced() -> list[Any]:
    """Return what was announced since the last time."""
    news = told[1:]
    del told[1:]
    return news


@catena.routine
async def look() -> tuple[str, Any]:
    """Return the good value and the bad one."""
    return good.get(), bad.get()


@catena.routine
async def nested() -> tuple[int, int]:
    """Return the process of this call and that of one made from here."""
    return os.getpid(), await listen()


async def _fresh(routine: Any) -> Any:
    """Call a routine with nothing bound but what is good."""
    with bad.set("well"):
        return await routine()


# ---- through a real pool, with one worker


def test_values_that_do_not_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """M2: each costs its own entry; the worker says which and why, and answers the next call."""
    (tmp_path / "catena_tests_gone.py").write_text("class Gone: pass")

    async def work(pool: catena.WorkerPool) -> None:
        # Workers have the path that there was when they were started.
        monkeypatch.syspath_prepend(tmp_path)
        gone = importlib.import_module("catena_tests_gone")
        good.set("here")
        worker = await _fresh(listen)
        bad.set(threading.Lock())
        with pytest.warns(SerializationWarning, match="bad_context_bad could not be sent"):
            assert await look() == ("here", "-")
        for value, cause in ((AtHome(), "RuntimeError"), (gone.Gone(), "ModuleNotFoundError")):
            bad.set(value)
            assert await look() == ("here", "-")
            assert bad.get() is value
            (lost,) = await _fresh(announced)
            assert (type(lost), lost.key, lost.sending) == (EntryLost, bad.key, False)
            assert lost.cause.startswith(cause)
        assert await _fresh(listen) == worker

    pooled(work, spawn=1)


def test_a_key_that_nobody_declares_there() -> None:
    """C12: it is dropped with its chain, one event says so, and the caller keeps the value."""

    async def work(pool: catena.WorkerPool) -> None:
        good.set("here")
        await _fresh(listen)
        unknown = variable("undeclared")
        unknown.set([1])
        for _ in range(3):
            assert await _fresh(look) == ("here", "well")
        assert unknown.get() == [1]
        events = await _fresh(announced)
        assert [(type(one), one.keys) for one in events] == [(KeysUndeclared, (unknown.key,))]

    pooled(work, spawn=1)


def test_too_much_is_refused_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """M2, C16: too many variables are an error before anything is sent; a large value is lost."""

    async def work(pool: catena.WorkerPool) -> None:
        good.set("here")
        worker = await _fresh(listen)
        with monkeypatch.context() as patch:
            patch.setattr(diff, "VALUE_LIMIT", 1000)
            bad.set("x" * 2000)
            with pytest.warns(SerializationWarning, match="exceed 1000"):
                assert await look() == ("here", "-")
        crowd = [variable("crowd") for _ in range(10_000)]
        tokens = [var.set(1) for var in crowd]
        with pytest.raises(ChainSerializationError, match=f"at most {ENTRY_LIMIT} travel") as error:
            await look()
        assert error.value.doing == "sent"
        for var, token in zip(crowd, tokens, strict=True):
            var.reset(token)
        assert await look() == ("here", "x" * 2000)
        assert await _fresh(listen) == worker

    pooled(work, spawn=1)


def test_entries_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """M2: a block that does not parse is an error of its call alone."""

    async def work(pool: catena.WorkerPool) -> None:
        good.set("here")
        worker = await _fresh(listen)
        bad.set("more")
        with monkeypatch.context() as patch:
            cut = staticmethod(lambda entries: closed.pack_entries(entries)[:-3])
            patch.setattr(Wire, "pack", cut)
            with pytest.raises(ChainSerializationError, match="do not parse") as error:
                await look()
            assert error.value.doing == "read"
        assert await _fresh(listen) == worker
        assert await look() == ("here", "more")

    pooled(work, spawn=1)


def test_a_manifest_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """M6: a manifest that does not parse fails its call with a typed error and harms no other."""

    async def work(pool: catena.WorkerPool) -> None:
        good.set("here")
        worker = await _fresh(listen)
        with monkeypatch.context() as patch:
            patch.setattr(closed, "_encode_chain", lambda _: b"\xff" * 40)
            with pytest.raises(ChainSerializationError, match="a manifest does not parse"):
                await look()
        assert await _fresh(listen) == worker

    pooled(work, spawn=1)


# ---- by hand, frame by frame


async def _answer(hand: Hand, call: int, manifest: ChainManifest) -> Any:
    """Call with a manifest; return the result, the error or the refusal."""
    await hand.send(*opening(call, look, manifest=manifest))
    frame = await hand.frame()
    if isinstance(frame, Nack):
        return frame.code
    assert frame == Ack(call)
    answer = await hand.frame()
    if isinstance(answer, ExceptionFrame):
        return unpickle_exception(answer.payload)
    assert isinstance(answer, Result)
    return pickler.loads(answer.payload)


def _entry(var: catena.ContextVar[Any], value: Any) -> Entry:
    return Entry(var.key, EntryKind.VALUE, pickler.dumps(value))


def _whole(*entries: Entry) -> ChainManifest:
    return ChainManifest(CHAIN, b"", closed.pack_entries(entries))


@isolated
def test_a_key_that_occurs_twice() -> None:
    """M2: the first one counts, with a warning."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            twice = _whole(_entry(good, "first"), _entry(good, "second"), _entry(bad, 1))
            with pytest.warns(SerializationWarning, match="occurs twice"):
                assert await _answer(hand, 1, twice) == ("first", 1)
            assert await _answer(hand, 2, _whole(_entry(good, "well"))) == ("well", "-")

    run(main())


@isolated
def test_a_large_value_from_a_peer_without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """M2: the receiver holds the limit by itself, before anything is unpickled."""
    monkeypatch.setattr(decode, "VALUE_LIMIT", 100)

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            large = _whole(_entry(good, "well"), Entry(bad.key, EntryKind.VALUE, b"x" * 200))
            with pytest.warns(SerializationWarning, match="exceed 100"):
                assert await _answer(hand, 1, large) == ("well", "-")
            assert await _answer(hand, 2, _whole(_entry(good, "well"))) == ("well", "-")

    run(main())


@isolated
def test_ten_thousand_entries_from_a_peer_without_limits() -> None:
    """M2: the receiver refuses them by itself, in one short error."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            names = [("elsewhere", f"v{number}") for number in range(10_000)]
            value = pickler.dumps(1)
            many = _whole(*(Entry(name, EntryKind.VALUE, value) for name in names))
            error = await _answer(hand, 1, many)
            assert type(error) is ChainSerializationError
            assert f"at most {ENTRY_LIMIT}" in str(error)
            assert await _answer(hand, 2, _whole(_entry(good, "well"))) == ("well", "-")

    run(main())


@isolated
def test_manifests_that_no_peer_of_ours_would_send() -> None:
    """M2, move 8: a chain id of another length, a number that was never told."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            short = await _answer(hand, 1, ChainManifest(b"short"))
            assert type(short) is ChainSerializationError
            odd = await _answer(hand, 2, ChainManifest(CHAIN, b"parent"))
            assert type(odd) is ChainSerializationError
            assert await _answer(hand, 3, ChainManifest(CHAIN, base=77)) is NackCode.UNKNOWN
            assert await _answer(hand, 4, _whole(_entry(good, "well"))) == ("well", "-")

    run(main())


@isolated
def test_truncated_entries() -> None:
    """M2: every cut is a result or a ChainSerializationError, never silence."""

    async def main() -> None:
        real = closed.pack_entries([_entry(bad, [1, 2]), _entry(good, "well")])
        blocks = [real[:cut] for cut in range(len(real))]
        outcomes: list[Any] = []
        async with hand_and_sessions() as (hand, sessions):
            for call, block in enumerate(blocks, 1):
                outcomes.append(await _answer(hand, call, ChainManifest(CHAIN, b"", block)))
            last = await _answer(hand, len(blocks) + 1, ChainManifest(CHAIN, b"", real))
            assert last == ("well", [1, 2])
            assert sessions.open_calls == 0
        kinds = [type(one) for one in outcomes]
        assert set(kinds) == {tuple, ChainSerializationError}
        # Cut between two entries a block is whole: nothing, or the first one alone.
        assert [one for one in outcomes[: len(real)] if isinstance(one, tuple)] == [
            ("-", "-"),
            ("-", [1, 2]),
        ]
        assert kinds.count(ChainSerializationError) == len(real) - 2

    run(main())
