"""Laws of the grammar: every legal word runs, every illegal next symbol is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from catena.errors import ProtocolError
from catena.wire.call_states import DRIVES, END, NEW, TABLE, TO_CALLER, TO_WORKER, Position
from tests.laws.law import Seen, reached

SYMBOLS = sorted(TO_WORKER | TO_CALLER)
ANSWERS = TO_CALLER - {"ack"}
STRANGERS = ("hello", "goodbye", "piece", "unknown", "")

# The same language once more, from each side, and written without states.
WORKER_HEARS = re.compile(
    r"(task( next( cancel)?)?"
    r"|stream( next( cancel)?( (next|send|throw)( cancel)?)*( cancel)?)?)?"
)
CALLER_HEARS = {
    "task": re.compile(r"(nack|ack( return\+?| exception)?)?"),
    "stream": re.compile(r"(nack|ack( yield\+?)*( return\+?| exception)?)?"),
}

Word = tuple[str, ...]


def _legal_words(longest: int) -> Iterator[Word]:
    """Yield every word that the table allows, by walking the table itself."""
    reached: list[tuple[Word, str]] = [((), NEW)]
    while reached:
        word, state = reached.pop()
        yield word
        if len(word) < longest:
            reached += [((*word, symbol), after) for symbol, after in TABLE[state].items()]


def _at(word: Word) -> Position:
    position = Position()
    for symbol in word:
        position.note_sent(symbol)
    return position


def _heard(word: Word, by: frozenset[str]) -> str:
    return " ".join(symbol for symbol in word if symbol in by)


def test_every_legal_word_runs_and_every_illegal_next_symbol_is_refused() -> None:
    """M7: legal order is one table; an illegal frame is refused with both frames' names."""
    seen: Seen = Seen()
    for word in _legal_words(7):
        seen["words"] += 1
        seen["words at the end"] += _at(word).state == END
        state = _at(word).state
        for symbol in (*SYMBOLS, *STRANGERS):
            position = _at(word)
            if symbol in TABLE[state]:
                assert position.note_sent(symbol) == position.state == TABLE[state][symbol]
                seen["steps"] += 1
                continue
            with pytest.raises(ProtocolError) as refused:
                position.note_sent(symbol)
            assert refused.value.frame == symbol
            assert refused.value.after == (word[-1] if word else "nothing")
            assert position.state == state
            seen["refusals"] += 1
    reached(seen, {"words": 100, "words at the end": 40, "steps": 150, "refusals": 1500})


def test_an_end_hears_only_frames_of_its_direction() -> None:
    """M7: what arrives is legal by the table and is one that the other side may send."""
    seen: Seen = Seen()
    for word in _legal_words(7):
        for direction in (TO_WORKER, TO_CALLER):
            for symbol in (*SYMBOLS, *STRANGERS):
                position = _at(word)
                state = position.state
                if symbol in direction and symbol in TABLE[state]:
                    assert position.note_received(symbol, direction) == position.state
                    assert (position.state, position.last) == (TABLE[state][symbol], symbol)
                    seen["heard"] += 1
                    continue
                with pytest.raises(ProtocolError) as refused:
                    position.note_received(symbol, direction)
                assert (refused.value.frame, position.state) == (symbol, state)
                seen["legal the other way"] += symbol in TABLE[state]
                seen["refused"] += 1
    reached(seen, {"heard": 150, "refused": 3000, "legal the other way": 150})


def test_what_a_worker_hears_is_one_regular_expression() -> None:
    """M7: the frames to a worker are those of an independent description, no more, no fewer."""
    heard = {_heard(word, TO_WORKER) for word in _legal_words(10)}

    assert all(WORKER_HEARS.fullmatch(one) for one in heard)
    assert {one for one in heard if one.count(" ") < 4} == set(
        _matching(sorted(TO_WORKER), 4, WORKER_HEARS)
    )
    _check_heard(heard, TO_WORKER)


@pytest.mark.parametrize("kind", ["task", "stream"])
def test_what_a_caller_hears_is_one_regular_expression(kind: str) -> None:
    """M7: the frames to a caller are those of an independent description, no more, no fewer."""
    heard = {_heard(word, TO_CALLER) for word in _legal_words(10) if word[:1] == (kind,)}

    assert all(CALLER_HEARS[kind].fullmatch(one) for one in heard)
    assert {one for one in heard if one.count(" ") < 3} == set(
        _matching(sorted(TO_CALLER), 3, CALLER_HEARS[kind])
    )
    _check_heard(heard, TO_CALLER - ({"yield", "yield+"} if kind == "task" else set()))


def _check_heard(heard: set[str], symbols: frozenset[str]) -> None:
    """See that every symbol was met, as the last of some word."""
    met = Seen(word.rpartition(" ")[2] for word in heard)
    reached(met, dict.fromkeys(symbols, 1))


def _matching(symbols: list[str], longest: int, pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield every word over the symbols that the expression takes; it is closed under prefixes."""
    words = [""]
    while words:
        word = words.pop()
        yield word
        if not word or word.count(" ") + 1 < longest:
            further = (f"{word} {symbol}".strip() for symbol in symbols)
            words += [one for one in further if pattern.fullmatch(one)]


def test_one_step_is_outstanding() -> None:
    """D2: a drive follows an answer, and an answer follows a drive or a Cancel, in every word."""
    seen: Seen = Seen()
    for word in _legal_words(9):
        outstanding = cancelled = False
        for symbol in word:
            if symbol in DRIVES:
                assert not outstanding
                outstanding = True
                seen["drives"] += 1
            elif symbol == "cancel":
                assert not cancelled
                # Between two steps it asks for the end, which answers it.
                seen["cancels of a step" if outstanding else "cancels between steps"] += 1
                outstanding = cancelled = True
            elif symbol in ANSWERS:
                assert outstanding
                crossed = symbol == "yield" and cancelled
                seen["answers that crossed a Cancel"] += crossed
                outstanding = cancelled = crossed
    reached(
        seen,
        {
            "drives": 500,
            "cancels of a step": 100,
            "cancels between steps": 50,
            "answers that crossed a Cancel": 30,
        },
    )


def test_the_table_is_closed() -> None:
    """M7: every state named is in the table, is reached, and can come to an end."""
    reached = {NEW} | {after for row in TABLE.values() for after in row.values()}
    assert reached == set(TABLE)

    ends = {END}
    while True:
        more = {state for state, row in TABLE.items() if ends & set(row.values())} | ends
        if more == ends:
            break
        ends = more
    assert ends == set(TABLE)
    assert {symbol for row in TABLE.values() for symbol in row} == TO_WORKER | TO_CALLER
    assert not TO_WORKER & TO_CALLER
    assert DRIVES < TO_WORKER


def test_only_a_cancel_crosses_and_nobody_sees_an_illegal_frame() -> None:
    """M7: in every interleaving of a lawful caller and a lawful worker each frame is legal."""
    start = (NEW, NEW, (), ())
    seen = {start}
    todo = [start]
    while todo:
        for following in _moves(*todo.pop()):
            if following not in seen:
                seen.add(following)
                todo.append(following)
    assert (END, END, (), ()) in seen
    met = Seen()
    for caller, worker, to_worker, to_caller in seen:
        met["states"] += 1
        met["the worker is at the end before its caller"] += worker == END != caller
        met["a Cancel under way"] += "cancel" in to_worker
        met["a Cancel crosses an answer"] += "cancel" in to_worker and bool(to_caller)
    reached(
        met,
        {
            "states": 50,
            "the worker is at the end before its caller": 5,
            "a Cancel under way": 10,
            "a Cancel crosses an answer": 5,
        },
    )


def _moves(
    caller: str, worker: str, to_worker: Word, to_caller: Word
) -> Iterator[tuple[str, str, Word, Word]]:
    """Yield what one send or one delivery makes of two ends and what is under way between them."""
    for symbol, after in TABLE[caller].items():
        if symbol in TO_WORKER:
            yield after, worker, (*to_worker, symbol), to_caller
    for symbol, after in TABLE[worker].items():
        # A worker that has heard of a Cancel says so in a yield.
        if symbol in TO_CALLER and not (symbol == "yield" and worker.endswith("x")):
            yield caller, after, to_worker, (*to_caller, symbol)
    if to_worker:
        yield caller, _delivered(worker, to_worker[0]), to_worker[1:], to_caller
    if to_caller:
        yield _delivered(caller, to_caller[0]), worker, to_worker, to_caller[1:]


def _delivered(state: str, symbol: str) -> str:
    if state == END:
        return END  # it crossed the end, and is dropped
    assert symbol in TABLE[state], f"{symbol} arrives in state {state}"
    return TABLE[state][symbol]
