"""What is drawn for the token oracle: scripts of calls within calls, forks and streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.laws.oracle_scripts import (
    Body,
    Call,
    Drive,
    Drop,
    Fail,
    Fork,
    Gather,
    Get,
    Inside,
    Look,
    Mint,
    Open,
    Put,
    Reset,
    Set,
    Take,
)

__all__ = ["SCRIPTS"]

VAR = st.integers(0, 2)
SLOT = st.integers(0, 7)
WHICH = st.integers(0, 5)
VALUE: st.SearchStrategy[Any] = st.sampled_from([0, 1, "x", [2]])
OTHER = st.sampled_from([0, 0, 0, 1])
STREAM = st.integers(0, 1)


def _made(kind: Callable[..., Any], *draws: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return steps of a kind; unlike ``builds``, what is not drawn has its default."""
    return st.tuples(*draws).map(lambda drawn: kind(*drawn))


def _passing(*carriers: str) -> Any:
    return st.lists(st.tuples(WHICH, st.sampled_from(carriers)), max_size=3).map(tuple)


IN = _passing("argument", "keyword", "container")
OUT = _passing("result", "result", "container")
YIELDED = _passing("yield", "yield", "container")
SENT = _passing("send", "send", "container")

_SET = _made(Set, VAR, VALUE, SLOT)
_RESET = _made(Reset, WHICH, OTHER)
_MINT = _made(Mint, VAR, VALUE, SLOT)
_NEXT = _made(Drive, st.just(0), st.just("next"))
_DRIVE = _made(Drive, STREAM, st.sampled_from(["next", "send", "send", "throw", "close"]), SENT)
# The first is what a script shrinks to where a step does not matter.
_PLAIN = (
    *(_made(Get, VAR), _SET, _SET, _SET, _RESET, _RESET, _RESET),
    *(_made(Put, VAR, WHICH, SLOT), _made(Take, VAR), _made(Look, WHICH)),
    _made(Drop, WHICH),
)
INSIDE = _made(
    Inside, st.lists(st.one_of(*_PLAIN), min_size=1, max_size=4).map(tuple), st.integers(0, 1)
)
BEFORE = st.lists(st.one_of(_SET, _SET, _RESET), max_size=2).map(tuple)
PLAIN = st.one_of(*_PLAIN)
CLOSING = st.lists(PLAIN, max_size=2).map(tuple)
NOTHING: st.SearchStrategy[Body] = st.just(())
FAIL = _made(Fail, st.lists(WHICH, max_size=2).map(tuple)).map(lambda one: (one,))


def _body(depth: int, least: int, most: int) -> st.SearchStrategy[Body]:
    """Return steps with so many calls inside each other, at most."""
    alone = [*_PLAIN, *_PLAIN]
    parts: list[st.SearchStrategy[Body]] = []
    if depth:
        inner = _body(depth - 1, 2, 6)
        ending = st.tuples(inner, st.sampled_from([NOTHING, NOTHING, FAIL]).flatmap(_itself))
        body = ending.map(_joined)
        call = _made(Call, body, IN, OUT, st.booleans())
        fork = _made(Fork, inner, st.sampled_from([None, None, 0, 1]), BEFORE)
        steps = st.lists(body, min_size=1, max_size=3).map(tuple)
        opening = _made(Open, STREAM, steps, CLOSING, IN, YIELDED)
        driven = _made(Fork, st.tuples(_DRIVE, _RESET), st.sampled_from([None, 0]))
        gather = _made(Gather, st.lists(inner, min_size=2, max_size=2).map(tuple))
        alone += [INSIDE, INSIDE, gather]
        alone += [call] * 6 + [fork] * 2 + [_DRIVE] * 2 + [driven]
        alone += [_MINT]
        first = _made(Drive, STREAM, st.just("next"))
        parts = [st.tuples(opening, first, PLAIN, _DRIVE, st.one_of(PLAIN, driven), _DRIVE)] * 4
    choices = [*(one.map(_as_body) for one in alone), *parts]
    chosen = st.lists(st.sampled_from(choices).flatmap(_itself), min_size=least, max_size=most)
    return chosen.map(lambda bodies: tuple(step for body in bodies for step in body))


def _itself(one: Any) -> Any:
    return one


def _as_body(step: Any) -> Body:
    return (step,)


def _joined(bodies: tuple[Body, Body]) -> Body:
    return bodies[0] + bodies[1]


def _fixed(*steps: Any) -> st.SearchStrategy[Body]:
    return st.tuples(*steps)


_ALL_IN = tuple((number, kind) for number, kind in enumerate(("argument", "keyword", "container")))
_ALL_OUT = tuple((number, "result") for number in range(3))


def _down(body: st.SearchStrategy[Body], hops: int) -> st.SearchStrategy[Body]:
    """Return a call through so many hops that takes all tokens down and up again."""
    for _ in range(hops):
        call = _made(Call, body, st.just(_ALL_IN), st.just(_ALL_OUT), st.just(True))
        body = st.tuples(call)
    return body


def _streamed(*parts: st.SearchStrategy[Body]) -> st.SearchStrategy[Body]:
    """Return a stream of these parts that is given tokens and gives some."""
    return st.tuples(_made(Open, st.just(0), st.tuples(*parts), CLOSING, IN, YIELDED))


# What single steps come to too seldom: tokens that have gone a long way, and what is done to one on
# several sides of a call.
STORIES = (
    st.tuples(_fixed(_SET), _down(_fixed(_RESET), 3), _fixed(_RESET)),
    st.tuples(_fixed(_SET, _SET), _down(_fixed(_RESET, _SET), 1), _fixed(_RESET, _RESET)),
    st.tuples(_down(_fixed(_SET, _SET), 2), _fixed(_RESET), _down(_fixed(_RESET), 1)),
    st.tuples(
        _fixed(_SET, _made(Put, VAR, WHICH, SLOT)),
        _down(_fixed(_made(Take, VAR), _RESET), 2),
        _fixed(_RESET),
    ),
    st.tuples(
        st.one_of(_fixed(_SET), _fixed(_made(Get, VAR))),
        _streamed(_fixed(st.one_of(_SET, _MINT)), _fixed(st.one_of(_SET, _RESET)), _fixed(_RESET)),
        _fixed(*[st.one_of(_NEXT, _made(Fork, st.tuples(_NEXT), st.just(0)))] * 3),
        _fixed(_RESET),
    ),
    st.tuples(
        _fixed(_SET),
        st.tuples(_made(Fork, _down(_fixed(_RESET, _SET), 1), st.sampled_from([None, 0]))),
        _down(_fixed(_RESET, _RESET), 1),
    ),
)
STORY = st.one_of(*STORIES).map(lambda parts: tuple(step for part in parts for step in part))

SCRIPTS = st.one_of(
    _body(3, 8, 14), _body(3, 8, 14), _body(2, 8, 14), st.tuples(STORY, _body(2, 4, 6)).map(_joined)
)
"""Scripts with up to three calls inside each other."""
