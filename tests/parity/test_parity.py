"""Scripts of every scheduling edge come to the same with Catena as with the stdlib."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.parity.differs import DIFFERS
from tests.parity.run import OURS, THEIRS, compare, loops, observe
from tests.parity.scripts import SCRIPTS

BY_TITLE = {one.title: one for one in SCRIPTS}
DIFFERENT = {one.script.title: one for one in DIFFERS}
ROWS = [(one.title, loop) for one in SCRIPTS for loop in loops(one)]


@pytest.mark.parametrize(("title", "loop"), ROWS)
def test_a_script_comes_to_the_same(title: str, loop: str) -> None:
    """C1, C5, C6, C10: the same values, errors and texts as with contextvars and asyncio."""
    compare(BY_TITLE[title], loop)


@pytest.mark.parametrize(
    ("title", "loop"), [(one.script.title, loop) for one in DIFFERS for loop in loops(one.script)]
)
def test_a_difference_is_as_the_table_says(title: str, loop: str) -> None:
    """C1, C6, C9, C10: what differs by intent differs in this, and has not gone away."""
    row = DIFFERENT[title]

    assert tuple(observe(row.script, THEIRS, loop)) == row.theirs
    assert tuple(observe(row.script, OURS, loop)) == row.ours
    assert row.theirs != row.ours
    assert row.reason


def test_each_script_has_a_clause_and_a_title_of_its_own() -> None:
    """A failure names the clause that it is about, and no script hides another."""
    titles = Counter(one.title for one in [*SCRIPTS, *(row.script for row in DIFFERS)])

    assert [title for title, count in titles.items() if count > 1] == []
    assert [title for title in titles if not re.match(r"[CTD][0-9]+: ", title)] == []


@pytest.mark.parametrize(
    "edge",
    [
        "create_task(",
        "context=",
        "TaskGroup(",
        "gather(",
        "ensure_future(",
        "wait_for(",
        "shield(",
        "as_completed(",
        "aio.wait(",
        "aio.timeout(",
        "aio.Task(",
        "eager_task_factory",
        "set_task_factory(",
        "call_soon(",
        "call_later(",
        "call_at(",
        "add_reader(",
        "add_writer(",
        "add_signal_handler(",
        "add_done_callback(",
        "call_soon_threadsafe",
        "run_in_executor(",
        "to_thread(",
        "run_coroutine_threadsafe(",
        "Runner(",
        "run_until_complete(",
        "start_server(",
        "aio.Queue(",
        ".cancel(",
        "asend(",
        "athrow(",
        "aclose(",
        "asynccontextmanager",
        "threading.Thread(",
        "concurrent.futures",
        "copy_context()",
    ],
)
def test_an_edge_is_in_a_script(edge: str) -> None:
    """C5, C6, C10: each way to run code somewhere else is in at least one script."""
    assert any(edge in one.text for one in SCRIPTS)
