"""Tokens that cross, again and again: dispatches, or the steps of one stream.

All of them are on one chain, whose ledger has to be empty in the end. The sizes of a stream's
frames are compared from period to period: each period does the same.
"""

from __future__ import annotations

import contextvars
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any
from unittest.mock import patch

import catena
from catena.wire import codec
from catena.wire.frames import ExceptionFrame, Frame, Next, Result, Send
from tests.integration.halves import Left, counted, halves, no_growth, unchanged
from tests.integration.pools import pooled
from tests.integration.routines import Carrying

__all__ = ["PERIOD", "ROUND", "dispatch", "prepare", "step"]

ROUND = 8
"""How many dispatches one round makes."""

PERIOD = 10
"""After so many steps a stream begins anew with what it does; it takes these for the warm-up."""

Token = catena.Token[Any]
color: catena.ContextVar[Any] = catena.ContextVar(
    "color", namespace="tests.token_counts", default="none"
)


@catena.routine
async def reset_there(token: Token) -> str:
    """Reset a token; return the value after it."""
    color.reset(token)
    return color.get()


@catena.routine
async def set_there(value: str) -> Token:
    """Return the token of a set."""
    return color.set(value)


@catena.routine
async def raise_there(value: str) -> None:
    """Raise the token of a set."""
    raise Carrying(color.set(value))


@catena.routine
async def same(token: Token) -> Token:
    """Return a token as it came."""
    return token


@catena.routine
async def suspended() -> AsyncGenerator[Token, Token]:
    """Yield a token, and reset the one that is sent."""
    sent = yield color.set("in a step")
    color.reset(sent)
    yield sent


@catena.routine
async def stepping() -> AsyncGenerator[Token | None, Token | None]:
    """Set in each step; yield the token of the steps that ask for it; reset what is sent."""
    number = 0
    sent: Token | None = None
    while True:
        if sent is not None:
            color.reset(sent)
        token = color.set(f"step {number:09}")
        sent = yield token if number % PERIOD in (2, 4, 6) else None
        number += 1


async def prepare() -> None:
    """Run in the pool before anything else; planted faults stand in its place."""


async def _prepared() -> None:
    await prepare()


async def one_round(number: int, met: Counter[str]) -> None:
    """Make the dispatches of one round; each token is reset once, by one side, or never."""
    base = f"{number:09}"
    color.set(base)

    token = color.set("minted here, reset there")
    assert await reset_there(token) == base
    assert token.used

    token = await set_there("minted there, reset here")
    color.reset(token)
    assert color.get() == base

    await set_there("minted there, never reset")

    token = color.set("there and back, reset here")
    assert await same(token) is token
    color.reset(token)

    token = color.set("minted here, never reset")
    await same(token)

    try:
        await raise_there("in an exception")
    except Carrying as error:
        token = error.token
    assert await reset_there(token) == "minted here, never reset"

    stream = suspended()
    token = await anext(stream)
    assert await stream.asend(token) is token
    assert token.used
    await stream.aclose()
    met.update(dispatches=ROUND, **{"reset here": 2, "reset there": 3, "never reset": 2})


def dispatch(count: int, seed: int, progress: Callable[[int], None] | None = None) -> Counter[str]:
    """Make so many dispatches of crossing tokens after the warm-up; return what was met.

    Raises AssertionError when live objects are more than before, a ledger has ids, or memory has
    grown.
    """
    met, before = halves(
        one_round, size=ROUND, count=count, seed=seed, prepare=_prepared, progress=progress
    )
    _empty(before)
    return met


class Sizes:
    """How many bytes the drives and answers of a stream take, by the step's place in its period."""

    def __init__(self) -> None:
        self.place = -1
        self.known: dict[tuple[str, int], int] = {}
        self.met: Counter[str] = Counter()
        # Told by the steps: what is raised while a message is read ends the link.
        self.differing: list[str] = []
        self._encode = codec.encode_message
        self._decode = codec.decode_message

    def watched(self) -> Any:
        """Watch the frames that this process sends and gets, while a step is open."""
        return patch.multiple(codec, encode_message=self._sent, decode_message=self._got)

    def _sent(self, batch: list[Frame], sent_at_ns: int = 0) -> bytes:
        for frame in batch:
            self._note(frame, Next, Send)
        return self._encode(batch, sent_at_ns)

    def _got(self, data: bytes) -> codec.Batch:
        batch = self._decode(data)
        for frame in batch.frames:
            self._note(frame, Result, ExceptionFrame)
        return batch

    def _note(self, frame: Frame, *kinds: type) -> None:
        if self.place < 0 or not isinstance(frame, kinds):
            return
        size = len(self._encode([frame]))
        way = "sent" if Next in kinds else "answered"
        before = self.known.setdefault((way, self.place), size)
        self.met.update({f"bytes {way}": size, f"frames {way}": 1})
        if size != before:
            self.differing.append(f"{way}: {before} bytes have become {size}, place {self.place}")


async def _one_step(stream: Any, number: int, held: Token | None, met: Counter[str]) -> Any:
    """Take a step: what is held is reset here, sent, or dropped; return the token of the step."""
    match number % PERIOD:
        case 3:
            assert held is not None
            color.reset(held)
            met["reset here"] += 1
        case 5:
            met["reset there"] += 1
            met["steps"] += 1
            return await stream.asend(held)
        case 7:
            assert held is not None
            met["never reset"] += 1
        case _:
            assert held is None
    met["steps"] += 1
    return await anext(stream)


def step(count: int, seed: int, progress: Callable[[int], None] | None = None) -> Counter[str]:
    """Take so many steps of one stream after the warm-up; return what was met, bytes included.

    Raises AssertionError when a frame has another size than that of one period earlier, live
    objects are more than before, a ledger has ids, or memory has grown.
    """
    met: Counter[str] = Counter()
    sizes = Sizes()
    half = max(1, count // PERIOD // 2) * PERIOD

    async def steps(stream: Any, many: int) -> None:
        held: Token | None = None
        for number in range(many):
            sizes.place = number % PERIOD
            held = await _one_step(stream, number, held, met)
            assert sizes.differing == []
            if progress is not None:
                progress(met["steps"])
        sizes.place = -1

    async def work(_: catena.WorkerPool) -> None:
        outside = contextvars.copy_context()
        await _prepared()
        color.set(f"from {seed:09}")
        stream = stepping()
        await steps(stream, PERIOD)
        sizes.known.clear()
        await steps(stream, 2 * PERIOD)
        met.clear()
        sizes.met.clear()
        left = [await counted(outside)]
        for _half in range(2):
            await steps(stream, half)
            left.append(await counted(outside))
        unchanged(left[0], left[1])
        unchanged(left[0], left[2])
        _empty(left[2])
        no_growth(left[1], left[2], met, counts=count >= 10_000)
        await stream.aclose()
        del stream
        ended = await counted(outside)
        _empty(ended)
        assert ended.here[1]["CallLedger"] == ended.there[1]["CallLedger"] == 0

    with sizes.watched():
        pooled(work, spawn=1, seconds=60 + count / 50)
    return met + sizes.met


def _empty(left: Left) -> None:
    for side in (left.here, left.there):
        assert side[2] == {"ids in ledgers": 0, "crossed tokens": 0}, side[2]
