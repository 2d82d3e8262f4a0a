"""Laws of the pickler, for values of any shape that are built in."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any
from unittest.mock import patch

import cloudpickle
from hypothesis import strategies as st

from catena.pickling import pickler
from tests.laws.law import Seen, law

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
leaves |= st.text() | st.binary()
keys = st.text() | st.integers() | st.binary()
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.sets(keys, max_size=4)
        | st.frozensets(keys, max_size=4)
    ),
    max_leaves=12,
)


def kinds(value: Any) -> Counter[str]:
    """Count the types of a value and of everything in it."""
    met = Counter([type(value).__name__])
    if isinstance(value, dict):
        value = (*value.keys(), *value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for one in value:
            met += kinds(one)
    return met


@law(
    values,
    floors={
        "NoneType": 5,
        "bool": 5,
        "int": 30,
        "float": 8,
        "str": 30,
        "bytes": 20,
        "list": 20,
        "tuple": 20,
        "dict": 12,
        "set": 8,
        "frozenset": 4,
    },
)
def test_builtins_go_the_quick_way(seen: Seen, value: Any) -> None:
    """D5: what is built in needs no cloudpickle, and standard pickle reads it."""
    met = kinds(value)
    seen.update(met)
    with patch.object(pickler, "Thorough", None), patch.object(cloudpickle, "dumps", None):
        data = pickler.dumps(value)

    for back in (pickler.loads(data), pickle.loads(data)):
        assert back == value
        # Equality takes True for 1 and 0.0 for 0.
        assert kinds(back) == met
