"""The grammar once more, as one regular expression per kind of call, over all short words.

A word is what both directions of a call say, in the order in which one end sees it. Every word up
to length six is tried, of any symbols in any order: 5,229,042 of them, of which 67 are legal and 32
complete calls.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from catena.errors import ProtocolError
from catena.wire.call_states import END, TO_CALLER, TO_WORKER, Position
from tests.laws.law import Seen, reached

__all__ = ["test_the_grammar_is_one_regular_expression_over_all_short_words"]

LONGEST = 6

# One letter for each symbol, so that a word is a string of as many letters.
LETTERS = {
    "task": "T",
    "stream": "S",
    "next": "n",
    "send": "s",
    "throw": "t",
    "cancel": "c",
    "ack": "a",
    "nack": "k",
    "yield": "y",
    "yield+": "Y",
    "return": "r",
    "return+": "R",
    "exception": "e",
}

# Complete calls, written without states. A call is refused, or accepted and answered, with at most
# one Cancel in between. A stream is a first step, more steps, and an end: in a step or by a Cancel.
_ANSWERED = "(?:[re]|c[rRe])"
COROUTINE = f"Tn(?:c?k|a{_ANSWERED}|ca[rRe])"

_AFTER_CANCEL = "(?:[rRe]|y[re])"
_LAST = f"(?:[re]|c{_AFTER_CANCEL})"
_STEP = "(?:y|cY)"
_FIRST = f"(?:a{_STEP}|caY)"
GENERATOR = f"Sn(?:c?k|a{_LAST}|ca{_AFTER_CANCEL}|{_FIRST}(?:[nst]{_STEP})*(?:c[re]|[nst]{_LAST}))"

# The same, begun and perhaps not ended.
_CANCELLED = "(?:[rRe]|y[re]?)?"
_BEGUN = f"(?:[re]|c{_CANCELLED})?"
COROUTINE_BEGUN = "T(?:n(?:c?k|a(?:[re]|c[rRe]?)?|c(?:a[rRe]?)?)?)?"
GENERATOR_BEGUN = (
    f"S(?:n(?:c?k|c|a{_BEGUN}|ca{_CANCELLED}|{_FIRST}(?:[nst]{_STEP})*(?:c[re]?|[nst]{_BEGUN})?)?)?"
)


def _texts() -> Iterator[str]:
    """Yield every word of one to six letters, many to a text, one to a line."""
    letters = list(LETTERS.values())
    ends = ["".join(word) for word in itertools.product(letters, repeat=LONGEST // 2)]
    for length in range(1, LONGEST // 2 + 1):
        yield "\n".join("".join(word) for word in itertools.product(letters, repeat=length))
    for length in range(1, LONGEST // 2 + 1):
        for begin in itertools.product(letters, repeat=length):
            yield "\n".join("".join(begin) + end for end in ends)


def _words_of(pattern: str, seen: Seen) -> set[str]:
    """Return those of all words that an expression takes."""
    whole = re.compile(f"^(?:{pattern})$", re.MULTILINE)
    found: set[str] = set()
    for text in _texts():
        seen["tried"] += text.count("\n") + 1
        found.update(whole.findall(text))
    return found


def _words_of_the_table() -> tuple[set[str], set[str]]:
    """Return the words that a Position takes, and those of them that end a call.

    A word that begins with one that is refused is refused, so nothing is tried behind it.
    """
    legal: set[str] = set()
    complete: set[str] = set()
    begun: list[tuple[str, ...]] = [()]
    while begun:
        word = begun.pop()
        for symbol in LETTERS if len(word) < LONGEST else ():
            position = Position()
            try:
                for one in (*word, symbol):
                    position.note_sent(one)
            except ProtocolError:
                continue
            begun.append((*word, symbol))
            letters = "".join(LETTERS[one] for one in begun[-1])
            legal.add(letters)
            if position.state == END:
                complete.add(letters)
    return legal, complete


def test_the_grammar_is_one_regular_expression_over_all_short_words() -> None:
    """M7: of all words up to length six the table takes those of an independent description."""
    seen = Seen()
    legal, complete = _words_of_the_table()
    found = _words_of(f"{COROUTINE_BEGUN}|{GENERATOR_BEGUN}", seen)
    found_complete = {word for word in found if re.fullmatch(f"{COROUTINE}|{GENERATOR}", word)}

    assert LETTERS.keys() == TO_WORKER | TO_CALLER
    assert legal == found
    assert complete == found_complete
    seen["legal"], seen["complete"] = len(found), len(found_complete)
    reached(seen, {"tried": 5_229_042, "legal": 67, "complete": 32})
