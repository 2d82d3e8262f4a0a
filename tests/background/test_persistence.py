"""How variables are stored beside a task, and when their values are over."""

from __future__ import annotations

import time
from typing import Any

import pytest

from catena.background.persistence import (
    PLAIN,
    declare_persistence,
    find_expired,
    persisted,
    set_persistence,
)
from tests.support import variable

HOUR = 3_600.0


@pytest.mark.parametrize("persist", ["never", "plain", "encrypted"])
def test_a_variable_says_how_it_is_stored(persist: Any) -> None:
    """Whoever saves a snapshot finds it by the variable's key."""
    var = variable()
    set_persistence(var, persist)

    assert persisted[var.key].persist == persist


def test_a_variable_that_says_nothing_is_stored() -> None:
    """Its values never expire."""
    key = variable().key

    assert persisted.get(key, PLAIN).persist == "plain"
    assert find_expired({key: 0.0}) == frozenset()


def test_a_value_is_over_at_its_end_and_not_before() -> None:
    """The end is a time of the day, in seconds since the epoch; a value may have none."""
    var = variable()
    set_persistence(var, "plain", expires=lambda value: value)
    now = time.time()

    assert find_expired({var.key: now + HOUR}) == frozenset()
    assert find_expired({var.key: now}) == {var.key}
    assert find_expired({var.key: None}) == frozenset()


def test_only_values_that_can_end_are_read() -> None:
    """A snapshot's values may still be bytes: what has no end is not decoded for this."""
    ending, lasting = variable(), variable()
    set_persistence(ending, "plain", expires=lambda value: value)
    set_persistence(lasting, "never")
    read: list[object] = []

    class Values(dict[Any, Any]):
        def __getitem__(self, key: object) -> Any:
            read.append(key)
            return super().__getitem__(key)

    find_expired(Values({ending.key: 1.0, lasting.key: 1.0}))

    assert read == [ending.key]


def test_what_is_said_later_keeps_what_finds_the_end() -> None:
    """An application that only wants a token stored elsewhere need not say again when it ends."""
    var = variable()
    set_persistence(var, "encrypted", expires=lambda value: value)
    set_persistence(var, "plain")

    assert persisted[var.key].persist == "plain"
    assert find_expired({var.key: 1.0}) == {var.key}


def test_another_word_and_another_object_are_refused() -> None:
    """Misuse fails where it is written, with the words that there are."""
    with pytest.raises(ValueError, match="'never', 'plain' or 'encrypted', not 'always'"):
        set_persistence(variable(), "always")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not ''"):
        declare_persistence(("tests", "key"), persist="")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"catena\.ContextVar, not str"):
        set_persistence("token", "never")  # type: ignore[arg-type]
