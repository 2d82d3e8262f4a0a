"""Walls around what is counted of the source: words, names, prose, lines, and ways through a call.

Each wall is a function that returns what lies beyond it. It finds nothing in the source, and in a
planted source it finds what was planted.
"""

from __future__ import annotations

from tests.house.imports import modules
from tests.house.measures import (
    docs_texts,
    functions_calling,
    lines_by_area,
    one_word_share,
    words_found,
)

TELL = r"(?<![a-z])(tell(s|ing)?|told)(?![a-z])"
MOST_ONE_WORD = 0.45
LEAST_PROSE, MOST_PROSE = 0.25, 1.0
MOST_LINES = {"demo": 600, "collect": 1_000}
WAYS = {
    # A caller sends a call in one place.
    "Task": ("catena.dispatch.caller", 1),
    # A chain enters the Context of a new call in one place, and an open one in another.
    "mount_first": ("catena", 1),
    "mount": ("catena", 1),
    # A coroutine ends, a stream ends, and a stream is collected by the garbage collector.
    "operation.end": ("catena.dispatch", 3),
}
"""What is called, in which package, and how many functions there may call it."""


def share_of_one_word_names(files: dict[str, str]) -> list[str]:
    """The share of names that are one word, where it is too large."""
    share = one_word_share(files)
    return [f"{share:.0%} of names are one word"] if share > MOST_ONE_WORD else []


def prose_beside_code(files: dict[str, str]) -> list[str]:
    """How much prose stands beside the code, where that is too little or too much."""
    lines = lines_by_area(files)["src"]
    share = lines.prose / lines.code
    return [] if LEAST_PROSE <= share <= MOST_PROSE else [f"{share:.2f} lines of prose a line"]


def areas_too_long(files: dict[str, str]) -> list[str]:
    """The areas that have more lines of code than they may."""
    found = {area: lines.code for area, lines in lines_by_area(files).items()}
    most = MOST_LINES.items()
    return [f"{area}: {found[area]}" for area, limit in most if found.get(area, 0) > limit]


def ways_too_many(files: dict[str, str]) -> list[str]:
    """The steps of a call that are done in more functions than they may, or in none."""
    found: list[str] = []
    for called, (package, most) in WAYS.items():
        within = {
            name: text for name, text in files.items() if f"{name}.".startswith(f"{package}.")
        }
        ways = functions_calling(within, called)
        if not 0 < len(ways) <= most:
            found.append(f"{called}: {ways}")
    return found


def test_nothing_is_told() -> None:
    """Source and pages announce, send, record and report: each of these verbs says which it is."""
    assert words_found({**modules(), **docs_texts()}, TELL) == []


def test_a_word_that_is_told_is_found() -> None:
    """Bad input: in a sentence, in a name, and at the beginning; but not within another word."""
    files = {"a": "# It tells.\n_told = 1\n", "b": "Told once.\n", "c": "intellect, stoldid\n"}

    assert [found.partition(": ")[0] for found in words_found(files, TELL)] == ["a:1", "a:2", "b:1"]


def test_names_of_functions_are_a_verb_and_its_object() -> None:
    """Most function names say what is done to what."""
    assert share_of_one_word_names(modules()) == []


def test_too_many_one_word_names_are_found() -> None:
    """Bad input: half of the names are one word; properties and dunders do not count."""
    text = (
        "def look(): ...\ndef take_it(): ...\nclass A:\n"
        " def __init__(self): ...\n @property\n def seen(self): ...\n"
    )

    assert share_of_one_word_names({"catena.a": text}) == ["50% of names are one word"]


def test_prose_is_in_proportion_to_the_code() -> None:
    """There is a line of prose for four lines of code at least, and not more prose than code."""
    assert prose_beside_code(modules()) == []


def test_too_little_and_too_much_prose_is_found() -> None:
    """Bad input: five lines of code without a word, and one with three lines of comment."""
    assert prose_beside_code({"catena.a": "a = 1\n" * 5}) == ["0.00 lines of prose a line"]
    assert prose_beside_code({"catena.a": "# b\n" * 3 + "a = 1\n"}) == [
        "3.00 lines of prose a line"
    ]


def test_demo_and_collect_stay_small() -> None:
    """An example to read and a receiver for a desk do not grow into products of their own."""
    assert areas_too_long(modules()) == []


def test_an_area_that_is_too_long_is_found() -> None:
    """Bad input: one line more than the demo may have; comments and blanks do not count."""
    most = MOST_LINES["demo"]

    assert areas_too_long({"catena.demo.a": "a = 1\n\n# b\n" * most}) == []
    assert areas_too_long({"catena.demo.a": "a = 1\n" * (most + 1)}) == [f"demo: {most + 1}"]


def test_a_call_goes_one_way() -> None:
    """Each step that every call takes is written once."""
    assert ways_too_many(modules()) == []


def test_another_way_through_a_call_is_found() -> None:
    """Bad input: a second function that sends a Task, and one that ends a call's operation."""
    planted = "def send_quickly(): return Task()\ndef end_quietly(operation): operation.end()\n"

    found = ways_too_many({**modules(), "catena.dispatch.caller.planted": planted})

    assert [one.partition(":")[0] for one in found] == ["Task", "operation.end"]
    assert all("catena.dispatch.caller.planted" in one for one in found)


def test_a_way_that_is_gone_is_found() -> None:
    """Bad input: a source in which nothing sends a call has been renamed under this wall."""
    assert [one.partition(":")[0] for one in ways_too_many({"catena": ""})] == list(WAYS)
